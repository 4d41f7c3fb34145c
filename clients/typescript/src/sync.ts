import { newKey, TodoClient, TodoError } from "./client.js";
import type { NewTask, Task, TaskChange } from "./client.js";

/** Something that was done here and has not reached the server yet. */
export type Operation =
  | { key: string; kind: "add"; task: NewTask }
  | { key: string; kind: "change"; id: string; change: TaskChange; revision: number | undefined }
  | { key: string; kind: "remove"; id: string; revision: number | undefined };

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

const LONGEST_PAUSE = 30_000; // milliseconds between two attempts to reach the server

/**
 * A copy of the list that stays up to date. What is done to it shows at once, and is sent when the server can be
 * reached, in that order; each operation is made once, even if a response is lost or the page is loaded again.
 */
export class Sync {
  #client: TodoClient;
  #options: SyncOptions;
  #storage: Pick<Storage, "getItem" | "setItem">;
  #key: string;
  #confirmed = new Map<string, Task>();
  #ids = new Map<string, string>(); // of tasks that were added here: the server's
  #since: string | undefined;
  #end = new AbortController();
  #contact = new AbortController(); // ends when the server can't be reached
  #wake = () => {};
  #isSending = false;
  #isOnline = false;

  constructor(client: TodoClient, options: SyncOptions = {}) {
    this.#client = client;
    this.#options = options;
    this.#storage = options.storage ?? globalThis.localStorage ?? memory();
    this.#key = `todo-queue ${options.name ?? ""}`.trim();
    globalThis.addEventListener?.("online", this.#onOnline);
    globalThis.addEventListener?.("offline", this.#onOffline);
    globalThis.addEventListener?.("storage", this.#onStorage);
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
      else if (task !== undefined) tasks.set(operation.id, { ...task, ...(operation.change as Partial<Task>) });
    }
    return tasks;
  }

  /** How many operations have not been sent yet. */
  get pending(): number {
    return this.#queue().length;
  }

  get isOnline(): boolean {
    return this.#isOnline;
  }

  /** Returns an id that works until the server has given another one, and after that, too. */
  add(task: NewTask): string {
    const key = newKey();
    this.#push({ key, kind: "add", task });
    return key;
  }

  change(id: string, change: TaskChange): void {
    this.#push({ key: newKey(), kind: "change", id: this.#resolve(id), change, revision: this.#revision(id) });
  }

  remove(id: string): void {
    this.#push({ key: newKey(), kind: "remove", id: this.#resolve(id), revision: this.#revision(id) });
  }

  close(): void {
    this.#end.abort();
    this.#wake();
    globalThis.removeEventListener?.("online", this.#onOnline);
    globalThis.removeEventListener?.("offline", this.#onOffline);
    globalThis.removeEventListener?.("storage", this.#onStorage);
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#end.signal.aborted; ) {
      try {
        this.#contact = new AbortController();
        await this.#pull();
        await this.#flush();
        this.#setOnline(true);
        failures = 0;
        const signal = AbortSignal.any([this.#end.signal, this.#contact.signal]);
        for await (const event of this.#client.events(this.#since, signal)) {
          if (event.token !== this.#since) await this.#pull();
        }
      } catch (error) {
        if (this.#end.signal.aborted) return;
        this.#setOnline(false);
        const asked = error instanceof TodoError ? (error.retryAfter ?? 0) * 1000 : 0;
        await this.#pause(Math.max(asked, Math.min(500 * 2 ** failures++, LONGEST_PAUSE)));
      }
    }
  }

  async #pull(): Promise<void> {
    for (let more = true; more; ) {
      try {
        const page = await this.#client.changes(this.#since);
        for (const task of page.changed) this.#confirmed.set(task.id, task);
        for (const id of page.removed) this.#confirmed.delete(id);
        this.#since = page.next;
        more = page.more;
      } catch (error) {
        if (!(error instanceof TodoError && error.status === 410)) throw error;
        this.#confirmed.clear();
        this.#since = undefined;
      }
    }
    this.#changed();
  }

  /** Sends what waits, unless another tab is doing so. Throws if the server can't be reached. */
  async #flush(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      const locks = globalThis.navigator?.locks;
      while (this.pending > 0) {
        await (locks === undefined ? this.#sendAll() : locks.request(this.#key, () => this.#sendAll()));
      }
    } finally {
      this.#isSending = false;
    }
  }

  async #sendAll(): Promise<void> {
    for (let operation = this.#queue()[0]; operation !== undefined; operation = this.#queue()[0]) {
      const { key } = operation;
      try {
        const task = await this.#send(operation);
        this.#save(
          this.#queue()
            .filter((one) => one.key !== key)
            .map((one) => this.#rebase(one, operation as Operation, task)),
        );
      } catch (error) {
        if (!(error instanceof TodoError) || error.status >= 500 || error.status === 429 || error.status === 401) throw error;
        this.#save(this.#queue().filter((one) => one.key !== key));
        this.#options.onRefused?.(operation, error);
      }
      this.#changed();
    }
  }

  async #send(operation: Operation): Promise<Task | undefined> {
    if (operation.kind === "add") {
      const task = await this.#client.add(operation.task, operation.key);
      this.#ids.set(operation.key, task.id);
      this.#confirmed.set(task.id, task);
      return task;
    }
    try {
      if (operation.kind === "remove") {
        await this.#client.remove(operation.id, operation.revision);
        this.#confirmed.delete(operation.id);
        return undefined;
      }
      const task = await this.#client.change(operation.id, operation.change, operation.revision);
      this.#confirmed.set(task.id, task);
      return task;
    } catch (error) {
      if (!(error instanceof TodoError)) throw error;
      if (operation.kind === "remove" && error.status === 404) return undefined; // the response was lost
      if (operation.kind !== "change" || error.status !== 412) throw error;
      const task = await this.#client.read(operation.id);
      const isDone = Object.entries(operation.change as object).every(
        ([name, value]) => JSON.stringify(task[name as keyof Task]) === JSON.stringify(value),
      );
      if (!isDone) throw error;
      return task;
    }
  }

  /** What waits behind an operation, after that was made: the task may have got its id, and has another revision. */
  #rebase(waiting: Operation, made: Operation, task: Task | undefined): Operation {
    if (waiting.kind === "add" || task === undefined) return waiting;
    const id = made.kind === "add" && waiting.id === made.key ? task.id : waiting.id;
    return id === task.id ? { ...waiting, id, revision: task.revision } : waiting;
  }

  #push(operation: Operation): void {
    this.#save([...this.#queue(), operation]);
    this.#changed();
    if (this.#isOnline) this.#flush().catch(this.#onOffline); // what fails now is sent with the next contact
    else this.#wake();
  }

  #resolve(id: string): string {
    return this.#ids.get(id) ?? id;
  }

  #revision(id: string): number | undefined {
    return this.#confirmed.get(this.#resolve(id))?.revision;
  }

  #queue(): Operation[] {
    return JSON.parse(this.#storage.getItem(this.#key) ?? "[]") as Operation[];
  }

  #save(operations: Operation[]): void {
    this.#storage.setItem(this.#key, JSON.stringify(operations));
  }

  #changed(): void {
    this.#options.onChange?.();
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

function memory(): Pick<Storage, "getItem" | "setItem"> {
  const values = new Map<string, string>();
  return { getItem: (key) => values.get(key) ?? null, setItem: (key, value) => void values.set(key, value) };
}
