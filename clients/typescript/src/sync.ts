import { newKey, TodoClient, TodoError } from "./client.js";
import type { NewTask, Task, TaskChange } from "./client.js";

/** Something that was done here and has not reached the server yet. */
export type Operation =
  | { key: string; kind: "add"; task: NewTask }
  | { key: string; kind: "change"; id: string; change: TaskChange; revision: number | undefined }
  | { key: string; kind: "remove"; id: string; revision: number | undefined }
  | { key: string; kind: "restore"; id: string; task: Task };

export interface SyncOptions {
  /** Called whenever `tasks`, `pending` or `isOnline` has changed. */
  onChange?: () => void;
  /** Called with an operation that was given up: the server refused it, or (412) the task has changed meanwhile. */
  onRefused?: (operation: Operation, error: TodoError) => void;
  /** Keeps what has not been sent over a reload; by default localStorage, where there is one. */
  storage?: Pick<Storage, "getItem" | "setItem">;
  /** Whose copy it is, where several people use one browser. */
  name?: string;
}

const IDS = " ids";
const LONGEST_PAUSE = 30_000; // milliseconds between two attempts to reach the server
const SHORTEST_PAUSE = 1000; // between two streams of events

/** Statuses that the service will not take back: the operation is given up. */
const FINAL = [400, 403, 404, 412, 413, 422];

/**
 * A copy of the list that stays up to date. What is done to it shows at once, and is sent when the server can be
 * reached, in that order; each operation is made once, even if a response is lost or the page is loaded again. (A task
 * whose creation was answered, but not received, can be made twice if that is sent again more than 24 hours later.)
 */
export class Sync {
  #client: TodoClient;
  #options: SyncOptions;
  #foundStorage: Pick<Storage, "getItem" | "setItem"> | undefined;
  #key: string;
  #confirmed = new Map<string, Task>();
  #gone = new Map<string, number>(); // what was removed here, at which revision: an answer on its way may still have it
  #basedOn = new Map<number, number | undefined>(); // for each revision that was made here, the one before
  #since: string | undefined;
  #end = new AbortController();
  #contact = new AbortController(); // ends when the server can't be reached
  #wake = () => {};
  #isSending = false;
  #isOnline: boolean | undefined;

  constructor(client: TodoClient, options: SyncOptions = {}) {
    this.#client = client;
    this.#options = options;
    this.#key = `todo-queue ${options.name ?? ""}`.trim();
    globalThis.addEventListener?.("online", this.#onOnline);
    globalThis.addEventListener?.("offline", this.#onOffline);
    globalThis.addEventListener?.("storage", this.#onStorage);
    globalThis.document?.addEventListener("visibilitychange", this.#onVisibility);
    void this.#run();
  }

  /** By id, with what has not been sent yet. */
  get tasks(): ReadonlyMap<string, Task> {
    const tasks = new Map(this.#confirmed);
    const now = new Date().toISOString();
    for (const operation of this.#queue()) {
      if (operation.kind === "add") {
        tasks.set(operation.key, { ...blank(operation.key, now), ...(operation.task as Partial<Task>) });
        continue;
      }
      const task = tasks.get(operation.id);
      if (operation.kind === "remove") tasks.delete(operation.id);
      else if (operation.kind === "restore") tasks.set(operation.id, { ...operation.task, id: operation.id });
      else if (task !== undefined) tasks.set(operation.id, { ...task, ...(operation.change as Partial<Task>) });
    }
    return tasks;
  }

  /** How many operations have not been sent yet. */
  get pending(): number {
    return this.#queue().length;
  }

  /** Undefined until the first attempt to reach the server has ended. */
  get isOnline(): boolean | undefined {
    return this.#isOnline;
  }

  /** Returns an id that works until the server has given another one, and after that, too. */
  add(task: NewTask): string {
    const key = newKey();
    this.#push({ key, kind: "add", task });
    return key;
  }

  /** `seen` is the revision that the change was made on, if that may be an older one: then it is refused (412). */
  change(id: string, change: TaskChange, seen?: number): void {
    const revision = seen === undefined ? this.#revision(id) : this.#advance(id, seen);
    this.#push({ key: newKey(), kind: "change", id: this.resolve(id), change, revision });
  }

  remove(id: string): void {
    this.#push({ key: newKey(), kind: "remove", id: this.resolve(id), revision: this.#revision(id) });
  }

  /** Brings back a task that was removed. */
  restore(task: Task): void {
    this.#push({ key: newKey(), kind: "restore", id: this.resolve(task.id), task });
  }

  /** The server's id of a task that was added here, or in another tab; the same if it has none yet. */
  resolve(id: string): string {
    return this.#read<[string, string]>(IDS).find(([key]) => key === id)?.[1] ?? id;
  }

  close(): void {
    this.#end.abort();
    this.#wake();
    globalThis.removeEventListener?.("online", this.#onOnline);
    globalThis.removeEventListener?.("offline", this.#onOffline);
    globalThis.removeEventListener?.("storage", this.#onStorage);
    globalThis.document?.removeEventListener("visibilitychange", this.#onVisibility);
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#isClosed; ) {
      let asked = 0;
      failures += 1;
      try {
        this.#contact = new AbortController();
        await this.#pull();
        await this.#flush();
        if (this.#isClosed) return;
        this.#setOnline(true);
        if (this.#isHidden) {
          failures = 0;
          await this.#pause(LONGEST_PAUSE);
          continue;
        }
        const signal = anyOf(this.#end.signal, this.#contact.signal);
        for await (const event of this.#client.events(this.#since, signal, () => (failures = 0))) {
          if (event.token !== this.#since) await this.#pull();
        }
        this.#client.forgetToken(); // it has probably expired
      } catch (error) {
        if (this.#isClosed) return;
        const hasNoEvents = error instanceof TodoError && error.isFromService && error.status === 501;
        if (!hasNoEvents && !this.#isHidden) this.#setOnline(false);
        if (hasNoEvents) asked = LONGEST_PAUSE;
        else if (error instanceof TodoError) asked = (error.retryAfter ?? 0) * 1000;
      }
      const pause = Math.max(asked, SHORTEST_PAUSE * 2 ** Math.max(failures - 1, 0));
      if (!this.#isClosed) await this.#pause(Math.min(pause, LONGEST_PAUSE));
    }
  }

  get #isClosed(): boolean {
    return this.#end.signal.aborted;
  }

  async #pull(): Promise<void> {
    for (let more = true; more; ) {
      try {
        const page = await this.#client.changes(this.#since);
        for (const task of page.changed) this.#confirm(task);
        for (const id of page.removed) this.#confirmed.delete(id);
        this.#since = page.next;
        more = page.more;
      } catch (error) {
        if (!(error instanceof TodoError && error.status === 410)) throw error;
        this.#confirmed.clear();
        this.#gone.clear();
        this.#since = undefined;
      }
    }
    this.#changed();
  }

  /** Takes what the server says, unless it is older than what is known: answers overtake each other. */
  #confirm(task: Task): void {
    const known = this.#confirmed.get(task.id)?.revision ?? this.#gone.get(task.id) ?? 0;
    if (task.revision > known) this.#confirmed.set(task.id, task);
  }

  /** Sends what waits, unless another tab is doing so. Throws if the server can't be reached. */
  async #flush(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      const locks = globalThis.navigator?.locks;
      while (this.pending > 0 && !this.#isClosed) {
        await (locks === undefined ? this.#sendAll() : locks.request(this.#key, () => this.#sendAll()));
      }
    } finally {
      this.#isSending = false;
    }
  }

  async #sendAll(): Promise<void> {
    for (let operation = this.#queue()[0]; operation !== undefined && !this.#isClosed; operation = this.#queue()[0]) {
      const { key } = operation;
      try {
        const task = await this.#send(operation);
        this.#save(
          this.#queue()
            .filter((one) => one.key !== key)
            .map((one) => this.#rebase(one, operation as Operation, task)),
        );
      } catch (error) {
        if (!(error instanceof TodoError && error.isFromService && FINAL.includes(error.status))) throw error;
        this.#save(this.#queue().filter((one) => one.key !== key));
        const refused = operation;
        report(() => this.#options.onRefused?.(refused, error));
      }
      this.#changed();
    }
  }

  async #send(operation: Operation): Promise<Task | undefined> {
    if (operation.kind === "add") {
      const task = await this.#client.add(operation.task, operation.key);
      this.#rememberId(operation.key, task.id);
      this.#confirm(task);
      return task;
    }
    try {
      if (operation.kind === "restore") {
        const task = await this.#client.restore(operation.id);
        this.#confirm(task);
        return task;
      }
      if (operation.kind === "remove") {
        await this.#client.remove(operation.id, operation.revision);
        this.#gone.set(operation.id, this.#confirmed.get(operation.id)?.revision ?? 0);
        this.#confirmed.delete(operation.id);
        return undefined;
      }
      const task = await this.#client.change(operation.id, operation.change, operation.revision);
      this.#basedOn.set(task.revision, operation.revision);
      this.#confirm(task);
      return task;
    } catch (error) {
      if (!(error instanceof TodoError && error.isFromService)) throw error;
      if (operation.kind === "remove" && error.status === 404) return undefined; // the response was lost
      const mayBeDone = operation.kind === "change" ? error.status === 412 : error.status === 404;
      if (!mayBeDone) throw error;
      const task = await this.#client.read(operation.id);
      const isDone = operation.kind !== "change" || Object.entries(operation.change as object).every(
        ([name, value]) => normalize(task[name as keyof Task]) === normalize(value),
      );
      this.#confirm(task);
      if (!isDone) throw error;
      return task;
    }
  }

  /** What waits behind an operation, after that was made: the task may have got its id, and has another revision. */
  #rebase(waiting: Operation, made: Operation, task: Task | undefined): Operation {
    if (waiting.kind === "add" || task === undefined) return waiting;
    const id = made.kind === "add" && waiting.id === made.key ? task.id : waiting.id;
    if (id !== task.id) return waiting;
    const isOnAnother = waiting.kind === "restore" || (made.kind === "change" && waiting.revision !== made.revision);
    return isOnAnother ? { ...waiting, id } : { ...waiting, id, revision: task.revision };
  }

  #push(operation: Operation): void {
    this.#save([...this.#queue(), operation]);
    this.#changed();
    if (this.#isOnline) this.#flush().catch(this.#onOffline); // what fails now is sent with the next contact
    else this.#wake();
  }

  #rememberId(key: string, id: string): void {
    const ids = [...this.#read<[string, string]>(IDS), [key, id]];
    this.#storage.setItem(this.#key + IDS, JSON.stringify(ids.slice(-1000)));
  }

  /** The latest revision, if it came from this one by changes that were made here. */
  #advance(id: string, seen: number): number {
    const latest = this.#revision(id);
    for (let one = latest; one !== undefined; one = this.#basedOn.get(one)) if (one === seen) return latest ?? seen;
    return seen;
  }

  #revision(id: string): number | undefined {
    return this.#confirmed.get(this.resolve(id))?.revision;
  }

  #queue(): Operation[] {
    return this.#read<Operation>("");
  }

  /** Looked for once it is needed: a browser takes tens of milliseconds to open its own. */
  get #storage(): Pick<Storage, "getItem" | "setItem"> {
    return (this.#foundStorage ??= this.#options.storage ?? findStorage());
  }

  #read<One>(suffix: string): One[] {
    try {
      const kept: unknown = JSON.parse(this.#storage.getItem(this.#key + suffix) ?? "[]");
      return Array.isArray(kept) ? (kept as One[]) : [];
    } catch {
      return []; // somebody else's, or damaged
    }
  }

  #save(operations: Operation[]): void {
    this.#storage.setItem(this.#key, JSON.stringify(operations));
  }

  #changed(): void {
    report(() => this.#options.onChange?.());
  }

  #setOnline(isOnline: boolean): void {
    if (this.#isOnline === isOnline) return;
    this.#isOnline = isOnline;
    this.#changed();
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** A browser has few connections to a server, so a page that nobody sees gives its stream back. */
  get #isHidden(): boolean {
    return globalThis.document?.visibilityState === "hidden";
  }

  #onVisibility = (): void => (this.#isHidden ? this.#contact.abort() : this.#wake());

  #onOnline = (): void => this.#wake();

  #onOffline = (): void => this.#contact.abort();

  #onStorage = (event: StorageEvent): void => {
    if (event.key === this.#key) this.#changed();
  };
}

function blank(id: string, now: string): Task {
  const none = { notes: null, due: null, priority: null, completed_at: null };
  const times = { created_at: now, updated_at: now };
  return { id, title: "", ...none, labels: [], completed: false, user_id: "", ...times, revision: 0 };
}

/** Where browsers allow it. */
function findStorage(): Pick<Storage, "getItem" | "setItem"> {
  try {
    if (globalThis.localStorage !== undefined) return globalThis.localStorage;
  } catch {
    // blocked
  }
  const values = new Map<string, string>();
  return { getItem: (key) => values.get(key) ?? null, setItem: (key, value) => void values.set(key, value) };
}

/** The error of a callback is its owner's, and stops nothing here. */
function report(callback: () => void): void {
  try {
    callback();
  } catch (error) {
    console.error(error);
  }
}

/** As the service keeps a value: trimmed, and its parts in any order. */
function normalize(value: unknown): string {
  return JSON.stringify(value ?? [], (_, part: unknown) => {
    if (typeof part === "string") return part.trim();
    const isObject = typeof part === "object" && part !== null && !Array.isArray(part);
    return isObject ? Object.fromEntries(Object.entries(part).filter(([, one]) => one !== null).sort()) : part;
  });
}

/** AbortSignal.any, which browsers have since 2024. */
function anyOf(...signals: AbortSignal[]): AbortSignal {
  const both = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) both.abort();
    signal.addEventListener("abort", () => both.abort(), { once: true });
  }
  return both.signal;
}
