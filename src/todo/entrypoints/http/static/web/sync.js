import { newId, TodoClient, TodoError } from "./client.js";
const LONGEST_PAUSE = 30_000; // milliseconds between two attempts to reach the server
const SHORTEST_PAUSE = 1000; // between two streams of events
/** Statuses that the service will not take back: the operation is given up. */
const FINAL = [400, 403, 404, 409, 412, 413, 422];
/**
 * A copy of the list that stays up to date. What is done to it shows at once, and is sent when the server can be
 * reached, in that order; each operation is made once, even if a response is lost or the page is loaded again.
 */
export class Sync {
    #client;
    #options;
    #foundStorage;
    #prefix; // of the keys of the queue in the storage
    #channel;
    #confirmed = new Map();
    #gone = new Map(); // what was removed here, at which revision: an answer on its way may still have it
    #basedOn = new Map(); // for each revision that was made here, the one before
    #since;
    #end = new AbortController();
    #contact = new AbortController(); // ends when the server can't be reached
    #wake = () => { };
    #isSending = false;
    #isOnline;
    constructor(client, options = {}) {
        this.#client = client;
        this.#options = options;
        this.#prefix = `todo-queue ${JSON.stringify(options.name ?? "")} `;
        this.#channel = globalThis.document && new BroadcastChannel(this.#prefix);
        this.#channel?.addEventListener("message", this.#onMessage);
        globalThis.addEventListener?.("online", this.#onOnline);
        globalThis.addEventListener?.("offline", this.#onOffline);
        globalThis.addEventListener?.("storage", this.#onStorage);
        globalThis.document?.addEventListener("visibilitychange", this.#onVisibility);
        void this.#run();
    }
    /** By id, with what has not been sent yet. */
    get tasks() {
        const tasks = new Map(this.#confirmed);
        for (const operation of this.#queue()) {
            if (operation.kind === "add") {
                if (!tasks.has(operation.id))
                    tasks.set(operation.id, { ...blank(operation.id), ...operation.task });
                continue;
            }
            const task = tasks.get(operation.id);
            if (operation.kind === "remove")
                tasks.delete(operation.id);
            else if (operation.kind === "restore")
                tasks.set(operation.id, { ...operation.task, id: operation.id });
            else if (task !== undefined)
                tasks.set(operation.id, { ...task, ...operation.change });
        }
        return tasks;
    }
    /** How many operations have not been sent yet. */
    get pending() {
        return this.#queue().length;
    }
    /** Undefined until the first attempt to reach the server has ended. */
    get isOnline() {
        return this.#isOnline;
    }
    /** Returns its id. Throws if there is no room to keep what has not been sent. */
    add(task) {
        const id = newId();
        this.#push({ key: newId(), kind: "add", id, task });
        return id;
    }
    /** `seen` is the revision that the change was made on, if that may be an older one: then it is refused (412). */
    change(id, change, seen) {
        const revision = seen === undefined ? this.#revision(id) : this.#advance(id, seen);
        this.#push({ key: newId(), kind: "change", id, change, revision });
    }
    remove(id) {
        this.#push({ key: newId(), kind: "remove", id, revision: this.#revision(id) });
    }
    /** Brings back a task that was removed. */
    restore(task) {
        this.#push({ key: newId(), kind: "restore", id: task.id, task });
    }
    close() {
        this.#end.abort();
        this.#channel?.close();
        this.#wake();
        globalThis.removeEventListener?.("online", this.#onOnline);
        globalThis.removeEventListener?.("offline", this.#onOffline);
        globalThis.removeEventListener?.("storage", this.#onStorage);
        globalThis.document?.removeEventListener("visibilitychange", this.#onVisibility);
    }
    async #run() {
        for (let failures = 0; !this.#isClosed;) {
            let asked = 0;
            failures += 1;
            try {
                this.#contact = new AbortController();
                await this.#pull();
                this.#setOnline(true);
                await this.#flush();
                if (this.#isClosed)
                    return;
                if (this.#isHidden) {
                    failures = 0;
                    await this.#pause(LONGEST_PAUSE);
                    continue;
                }
                const signal = anyOf(this.#end.signal, this.#contact.signal);
                for await (const event of this.#client.events(this.#since, signal, () => (failures = 0))) {
                    if (event.token !== this.#since)
                        await this.#pull();
                }
                this.#client.forgetToken(); // it has probably expired
            }
            catch (error) {
                if (this.#isClosed)
                    return;
                const hasNoEvents = error instanceof TodoError && error.isFromService && error.status === 501;
                if (!hasNoEvents && !this.#isHidden)
                    this.#setOnline(false);
                if (hasNoEvents)
                    asked = LONGEST_PAUSE;
                else if (error instanceof TodoError)
                    asked = (error.retryAfter ?? 0) * 1000;
            }
            const pause = Math.max(asked, SHORTEST_PAUSE * 2 ** Math.max(failures - 1, 0));
            if (!this.#isClosed)
                await this.#pause(Math.min(pause, LONGEST_PAUSE));
        }
    }
    get #isClosed() {
        return this.#end.signal.aborted;
    }
    async #pull() {
        for (let more = true; more;) {
            try {
                const page = await this.#client.changes(this.#since);
                for (const task of page.changed)
                    this.#confirm(task);
                for (const id of page.removed)
                    this.#confirmed.delete(id);
                this.#since = page.next;
                more = page.more;
            }
            catch (error) {
                if (!(error instanceof TodoError && error.status === 410))
                    throw error;
                this.#confirmed.clear();
                this.#gone.clear();
                this.#since = undefined;
            }
        }
        this.#changed();
    }
    /** Takes what the server says, unless it is older than what is known: answers overtake each other. */
    #confirm(task) {
        const known = this.#confirmed.get(task.id)?.revision ?? this.#gone.get(task.id) ?? 0;
        if (task.revision > known)
            this.#confirmed.set(task.id, task);
    }
    /** Sends what waits, unless another tab is doing so. Throws if the server can't be reached. */
    async #flush() {
        if (this.#isSending)
            return;
        this.#isSending = true;
        try {
            const locks = globalThis.navigator?.locks;
            while (this.pending > 0 && !this.#isClosed) {
                await (locks === undefined ? this.#sendAll() : locks.request(this.#prefix, () => this.#sendAll()));
            }
        }
        finally {
            this.#isSending = false;
        }
    }
    async #sendAll() {
        for (let operation = this.#queue()[0]; operation !== undefined && !this.#isClosed; operation = this.#queue()[0]) {
            try {
                await unlessAborted(this.#send(operation), this.#end.signal);
            }
            catch (error) {
                if (!(error instanceof TodoError && error.isFromService && FINAL.includes(error.status)))
                    throw error;
                await this.#pull(); // what it was refused for
                this.#storage.removeItem(this.#prefix + operation.key);
                if (!(operation.kind === "remove" && error.status === 404)) {
                    const { problem } = error;
                    this.#refuse(operation, error);
                    this.#channel?.postMessage({ kind: "refused", operation, problem });
                }
            }
            this.#storage.removeItem(this.#prefix + operation.key);
            this.#changed();
        }
    }
    async #send(operation) {
        const { results, replayed } = await this.#client.batch([format(operation)], operation.key);
        const task = results[0]?.task;
        if (task === undefined) {
            this.#gone.set(operation.id, this.#confirmed.get(operation.id)?.revision ?? 0);
            this.#confirmed.delete(operation.id);
            return;
        }
        this.#confirm(task);
        if (replayed)
            return; // it may have changed since
        const before = operation.kind === "add" ? 0 : operation.kind === "restore" ? operation.task.revision : operation.revision;
        this.#follow(task.revision, before);
        this.#channel?.postMessage({ kind: "made", revision: task.revision, before });
        for (const waiting of this.#queue().slice(1))
            this.#rebase(waiting, operation, task.revision);
    }
    /** An operation that waits behind one on the same task, and was done on what that one made, has another revision. */
    #rebase(waiting, made, revision) {
        if (waiting.id !== made.id || waiting.kind === "add" || waiting.kind === "restore")
            return;
        if (made.kind === "change" && waiting.revision !== made.revision)
            return;
        this.#save({ ...waiting, revision });
    }
    #refuse(operation, error) {
        if (!this.#isClosed)
            report(() => this.#options.onRefused?.(operation, error));
    }
    #follow(revision, before) {
        if (revision !== before)
            this.#basedOn.set(revision, before);
    }
    #push(operation) {
        this.#save(operation);
        this.#changed();
        if (this.#isOnline)
            this.#flush().catch(this.#onOffline); // what fails now is sent with the next contact
        else
            this.#wake();
    }
    /** The latest revision, if it came from this one by changes that were made here. */
    #advance(id, seen) {
        const latest = this.#revision(id);
        if (latest === undefined)
            return undefined; // it waits behind the creation
        for (let one = latest; one !== undefined; one = this.#basedOn.get(one))
            if (one === seen)
                return latest;
        return seen;
    }
    #revision(id) {
        return this.#confirmed.get(id)?.revision;
    }
    /** Looked for once it is needed: a browser takes tens of milliseconds to open its own. */
    get #storage() {
        return (this.#foundStorage ??= this.#options.storage ?? findStorage());
    }
    /** Each operation has a key of its own in the storage, so that tabs never overwrite each other's. */
    #queue() {
        const keys = Array.from({ length: this.#storage.length }, (_, place) => this.#storage.key(place) ?? "");
        return keys
            .filter((key) => key.startsWith(this.#prefix))
            .sort()
            .flatMap((key) => parse(this.#storage.getItem(key)));
    }
    #save(operation) {
        this.#storage.setItem(this.#prefix + operation.key, JSON.stringify(operation));
    }
    #changed() {
        if (!this.#isClosed)
            report(() => this.#options.onChange?.());
    }
    #setOnline(isOnline) {
        if (this.#isOnline === isOnline)
            return;
        this.#isOnline = isOnline;
        this.#changed();
    }
    #pause(milliseconds) {
        return new Promise((resolve) => {
            const timer = setTimeout(resolve, milliseconds);
            this.#wake = () => {
                clearTimeout(timer);
                resolve();
            };
        });
    }
    /** A browser has few connections to a server, so a page that nobody sees gives its stream back. */
    get #isHidden() {
        return globalThis.document?.visibilityState === "hidden";
    }
    #onVisibility = () => (this.#isHidden ? this.#contact.abort() : this.#wake());
    #onOnline = () => this.#wake();
    #onOffline = () => this.#contact.abort();
    #onStorage = (event) => {
        if (event.key?.startsWith(this.#prefix))
            this.#changed();
    };
    #onMessage = ({ data }) => {
        if (data.kind === "made")
            this.#follow(data.revision, data.before);
        else
            this.#refuse(data.operation, new TodoError(data.problem, true));
    };
}
/** As an operation of a batch. */
function format(operation) {
    const { id } = operation;
    if (operation.kind === "add")
        return { op: "create", id, task: operation.task };
    if (operation.kind === "restore")
        return { op: "restore", id };
    const ifRevision = operation.revision === undefined ? {} : { if_revision: operation.revision };
    if (operation.kind === "remove")
        return { op: "remove", id, ...ifRevision };
    return { op: "change", id, task: operation.change, ...ifRevision };
}
function parse(text) {
    try {
        const kept = JSON.parse(text ?? "null");
        return typeof kept === "object" && kept !== null && "kind" in kept ? [kept] : [];
    }
    catch {
        return []; // damaged
    }
}
/** Of a task that the server does not have yet: revision 0, and the time that its id says. */
function blank(id) {
    const now = new Date(parseInt(id.slice(0, 8) + id.slice(9, 13), 16)).toISOString();
    const none = { notes: null, due: null, priority: null, completed_at: null };
    const times = { created_at: now, updated_at: now };
    return { id, title: "", ...none, labels: [], completed: false, user_id: "", ...times, revision: 0 };
}
/** Where browsers allow it. */
function findStorage() {
    try {
        if (globalThis.localStorage !== undefined)
            return globalThis.localStorage;
    }
    catch {
        // blocked
    }
    const values = new Map();
    return {
        get length() {
            return values.size;
        },
        key: (place) => [...values.keys()][place] ?? null,
        getItem: (key) => values.get(key) ?? null,
        setItem: (key, value) => void values.set(key, value),
        removeItem: (key) => void values.delete(key),
        clear: () => values.clear(),
    };
}
/** The error of a callback is its owner's, and stops nothing here. */
function report(callback) {
    try {
        callback();
    }
    catch (error) {
        console.error(error);
    }
}
/** Rejects once the signal says so, even if the promise still waits for something. */
function unlessAborted(promise, signal) {
    return new Promise((resolve, reject) => {
        const onAbort = () => reject(signal.reason);
        signal.addEventListener("abort", onAbort);
        promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
    });
}
/** AbortSignal.any, which browsers have since 2024. */
function anyOf(...signals) {
    const both = new AbortController();
    for (const signal of signals) {
        if (signal.aborted)
            both.abort();
        signal.addEventListener("abort", () => both.abort(), { once: true });
    }
    return both.signal;
}
