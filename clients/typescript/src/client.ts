import type { components, operations } from "./api.js";

type Schemas = components["schemas"];
export type Task = Schemas["Task"];
export type RemovedTask = Schemas["RemovedTask"];
export type NewTask = Schemas["NewTask"];
export type TaskChange = Schemas["TaskChange"];
export type Changes = Schemas["Changes"];
export type BatchOperation = Schemas["Batch"]["operations"][number];
export type BatchResults = Schemas["BatchResults"];
/** Every error of the service: application/problem+json (RFC 9457). */
export type Problem = Schemas["Problem"];
export type Filter = Omit<NonNullable<operations["listTasks"]["parameters"]["query"]>, "limit" | "cursor">;

/** Something of yours has changed: ask for the changes since the last ones that you have. */
export interface ChangeEvent {
  /** What `next` is once you have them; to go on listening from here, not to ask for changes. */
  token: string;
  revision: number;
}

/** A refusal. Its message is one sentence for a person. */
export class TodoError extends Error {
  constructor(
    readonly problem: Problem,
    /** Whether the service itself said so, and not a proxy in front of it. */
    readonly isFromService: boolean,
    /** Seconds after which to try again, if that may help. */
    readonly retryAfter?: number,
  ) {
    super(problem.detail);
  }

  get status(): number {
    return this.problem.status;
  }
}

const SILENCE = 45_000; // milliseconds after which a stream is dead: the service says something every 15 seconds

export interface Options {
  /** Where the service is, such as https://todo.example.com. */
  url: string;
  /** Fetches a token, as from Better Auth's /api/auth/token. Called at first, and with each one that was rejected. */
  getToken: (rejected?: string) => Promise<string>;
  /** Another fetch than the global one. */
  fetch?: typeof fetch;
}

interface Request {
  method?: string;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** Makes requests. A rejected token is renewed once, for all requests that wait for it together. */
export class TodoClient {
  #url: string;
  #getToken: (rejected?: string) => Promise<string>;
  #fetch: typeof fetch;
  #token: Promise<string> | undefined;
  /** The latest that an answer or an event has named. What is read afterwards must not be older (Min-Revision). */
  #revision = 0;

  constructor(options: Options) {
    this.#url = options.url.replace(/\/+$/, "");
    this.#getToken = options.getToken;
    this.#fetch = options.fetch ?? ((...request) => fetch(...request));
  }

  /** For signing out: the next request gets a new token. */
  forgetToken(): void {
    this.#token = undefined;
    this.#revision = 0;
  }

  async list(filter: Filter = {}): Promise<Task[]> {
    return this.#json(`/api/tasks${format(filter)}`);
  }

  async read(id: string): Promise<Task> {
    return this.#json(at("tasks", id));
  }

  /** A request that was lost can be sent again with the same key: it creates the task only once. */
  async add(task: NewTask, key: string = newId()): Promise<Task> {
    return this.#json("/api/tasks", { method: "POST", body: task, headers: { "Idempotency-Key": key } });
  }

  /** Fields that are not named stay as they are; null clears one. With a revision, only if the task is still at it. */
  async change(id: string, change: TaskChange, ifRevision?: number): Promise<Task> {
    return this.#json(at("tasks", id), { method: "PATCH", body: change, headers: ifMatch(ifRevision) });
  }

  /** Into the trash. */
  async remove(id: string, ifRevision?: number): Promise<void> {
    await this.#send(at("tasks", id), { method: "DELETE", headers: ifMatch(ifRevision) });
  }

  async trash(): Promise<RemovedTask[]> {
    return this.#json("/api/trash");
  }

  async restore(id: string): Promise<Task> {
    return this.#json(`${at("trash", id)}/restore`, { method: "POST" });
  }

  /** Deletes one removed task for good, or all of them. */
  async purge(id?: string): Promise<void> {
    await this.#send(id === undefined ? "/api/trash" : at("trash", id), { method: "DELETE" });
  }

  /**
   * Does several things in one act, all or none. A request that was lost can be sent again with the same key: nothing
   * is done twice. `replayed` says that this was so.
   */
  async batch(operations: BatchOperation[], key: string = newId()): Promise<BatchResults & { replayed: boolean }> {
    const headers = { "Idempotency-Key": key };
    const response = await this.#send("/api/batch", { method: "POST", body: { operations }, headers });
    const replayed = response.headers.get("Idempotency-Replayed") === "true";
    return { ...((await response.json()) as BatchResults), replayed };
  }

  async changes(since?: string): Promise<Changes> {
    return this.#json(`/api/changes${format({ since })}`);
  }

  /**
   * Until the token expires, the server stops or the signal says so. Throws if the connection breaks. `onOpen` is called
   * once the service listens.
   */
  async *events(since?: string, signal?: AbortSignal, onOpen?: () => void): AsyncGenerator<ChangeEvent, void> {
    const response = await this.#send(`/api/events${format({ since })}`, signal === undefined ? {} : { signal });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      for (let text = ""; ; ) {
        const silence = new Promise<never>((_, reject) => {
          timer = setTimeout(() => reject(new TypeError("The stream is silent.")), SILENCE);
        });
        const { done, value } = await Promise.race([reader.read(), silence]);
        clearTimeout(timer);
        if (done) return;
        onOpen?.();
        const messages = (text + value).split("\n\n");
        text = messages.pop() ?? "";
        for (const message of messages) {
          const id = /^id: (.*)$/m.exec(message)?.[1];
          const data = /^data: (.*)$/m.exec(message)?.[1];
          if (id === undefined || data === undefined) continue;
          const { revision } = JSON.parse(data) as { revision: number };
          this.#revision = Math.max(this.#revision, revision);
          yield { token: id, revision };
        }
      }
    } finally {
      clearTimeout(timer);
      await reader.cancel().catch(() => undefined);
    }
  }

  async #json<Answer>(path: string, request?: Request): Promise<Answer> {
    return (await (await this.#send(path, request)).json()) as Answer;
  }

  async #send(path: string, request: Request = {}): Promise<Response> {
    const { body, headers, ...rest } = request;
    const send = (token: string) =>
      this.#fetch(this.#url + path, {
        ...rest,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        headers: {
          ...headers,
          ...(request.method === undefined ? { "Min-Revision": String(this.#revision) } : {}),
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
          Authorization: `Bearer ${token}`,
        },
      });
    const first = await this.#currentToken();
    let response = await send(first);
    if (response.status === 401) response = await send(await this.#currentToken(first)); // it has expired
    if (response.ok) {
      const revision = /^(?:W\/)?"(\d+)[".]/.exec(response.headers.get("ETag") ?? "")?.[1];
      this.#revision = Math.max(this.#revision, Number(revision ?? 0));
      return response;
    }
    throw await makeError(response);
  }

  /** The token that all requests share. The first that was rejected replaces it. */
  async #currentToken(rejected?: string): Promise<string> {
    const current = this.#token;
    const known = await current?.catch(() => undefined);
    if (this.#token === current && (known === undefined || known === rejected)) {
      this.#token = this.#getToken(rejected);
    }
    return this.#token ?? this.#currentToken();
  }
}

let latest = 0;

/** A UUID of version 7 (RFC 9562, section 5.7), each greater than the one before. */
export function newId(): string {
  latest = Math.max(Date.now(), latest + 1);
  const random = crypto.getRandomValues(new Uint8Array(10));
  random[0] = (random[0]! & 0x0f) | 0x70;
  random[2] = (random[2]! & 0x3f) | 0x80;
  const hex = latest.toString(16).padStart(12, "0") + Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}

function ifMatch(revision: number | undefined): Record<string, string> {
  return revision === undefined ? {} : { "If-Match": `"${revision}"` };
}

function format(query: Record<string, unknown>): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).filter((one) => one !== undefined).map((one) => [name, String(one)]),
  );
  return pairs.length === 0 ? "" : `?${new URLSearchParams(pairs)}`;
}

/** The path of a task. An empty id would be the path of all of them. */
function at(list: "tasks" | "trash", id: string): string {
  if (id === "") throw new TypeError("The id is empty.");
  return `/api/${list}/${encodeURIComponent(id)}`;
}

/** A proxy in front of the service has error pages of its own. */
async function makeError(response: Response): Promise<TodoError> {
  const isFromService = response.headers.get("Content-Type") === "application/problem+json";
  const detail = "The service is away; try again in a moment.";
  const problem: Problem = isFromService
    ? ((await response.json()) as Problem)
    : { type: "about:blank", title: response.statusText, status: response.status, detail };
  const retryAfter = Number(response.headers.get("Retry-After") ?? NaN); // a date counts as none
  return new TodoError(problem, isFromService, ...(Number.isFinite(retryAfter) ? [Math.max(retryAfter, 0)] : []));
}
