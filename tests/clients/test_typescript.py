"""The TypeScript client: compiled strictly, run in Node.js and in two pages of real browsers."""

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from playwright.sync_api import Browser, Page

from tests.support import browser
from tests.support.database_proxy import DatabaseProxy, Fault
from tests.support.databases import sqlite_url
from tests.support.serving import Person, Server, serving
from todo.entrypoints.http.openapi import make_document

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "typescript"
WEB = ROOT / "src" / "todo" / "entrypoints" / "http" / "static" / "web"
BINARIES = ROOT / "tests" / "node_tools" / "node_modules" / ".bin"

pytestmark = pytest.mark.skipif(
    not os.environ.get("CI") and (shutil.which("node") is None or not BINARIES.is_dir()),
    reason="needs Node.js and `make tests/node_tools/node_modules`",
)


def run(directory: Path, *command: str | Path) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("client")
    run(CLIENT, BINARIES / "tsc", "-p", CLIENT, "--outDir", directory)
    return directory


def test_its_types_are_those_of_the_openapi_document(tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_bytes(msgspec.json.encode(make_document("/")))
    run(tmp_path, BINARIES / "openapi-typescript", "openapi.json", "-o", "api.ts")
    assert (tmp_path / "api.ts").read_text() == (CLIENT / "src" / "api.ts").read_text()


@pytest.mark.parametrize("name", ["client.js", "sync.js"])
def test_the_web_page_has_its_code(built: Path, name: str) -> None:
    """If not, `make web` compiles it again."""
    assert (WEB / name).read_text() == (built / name).read_text()


IN_NODE = """
import assert from "node:assert/strict";
import { Sync, TodoClient, TodoError } from "CLIENT/index.js";

const [url, token] = process.argv.slice(2);
const tokens = ["x.y.z", token];
let asked = 0;
const client = new TodoClient({ url, getToken: async () => tokens[Math.min(asked++, 1)] });
const titles = (tasks) => [...tasks].map((task) => task.title).sort();
const until = async (holds) => {
  for (const deadline = Date.now() + 8000; !holds(); ) {
    assert(Date.now() < deadline, `${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

// A rejected token is renewed once, for all requests together.
assert.deepEqual((await Promise.all([client.list(), client.list(), client.list()])).flat(), []);
assert.equal(asked, 2);

// Requests.
const milk = await client.add({ title: "Buy milk", labels: ["shop", "a&b"] }, "k-1");
assert.equal((await client.add({ title: "Buy milk", labels: ["shop", "a&b"] }, "k-1")).id, milk.id);
assert.equal((await client.list({ label: ["a&b"], completed: false })).length, 1);
assert.equal((await client.list({ q: "bread" })).length, 0);
assert.equal((await client.change(milk.id, { completed: true }, milk.revision)).completed, true);
const stale = await client.change(milk.id, { title: "x" }, milk.revision).catch((error) => error);
assert(stale instanceof TodoError && stale.status === 412 && stale.message.includes("changed since"));
const wrong = await client.add({ title: " " }).catch((error) => error);
assert.equal(wrong.problem.errors[0].pointer, "/title");
await client.remove(milk.id);
assert.deepEqual(titles(await client.trash()), ["Buy milk"]);
await client.restore(milk.id);

// A copy.
const refused = [];
const sync = new Sync(client, { onRefused: (operation, error) => refused.push([operation.kind, error.status]) });
await until(() => sync.isOnline);
assert.deepEqual(titles(sync.tasks.values()), ["Buy milk"]);
const other = await client.add({ title: "Other" });
await until(() => sync.tasks.has(other.id));
const id = sync.add({ title: "Local" });
sync.change(id, { completed: true, labels: ["x"] });
assert.equal(sync.tasks.get(id).completed, true);
await until(() => sync.pending === 0);
assert.deepEqual(titles(sync.tasks.values()), ["Buy milk", "Local", "Other"]);
sync.remove(id);
await until(() => sync.pending === 0);
assert.deepEqual(titles(await client.list()), ["Buy milk", "Other"]);

// What was removed is brought back, also before anything was sent.
const removed = sync.tasks.get(other.id);
sync.remove(other.id);
await until(() => sync.pending === 0);
assert.deepEqual(titles(sync.tasks.values()), ["Buy milk"]);
sync.restore(removed);
assert.deepEqual(titles(sync.tasks.values()), ["Buy milk", "Other"]);
await until(() => sync.pending === 0);
const unsent = sync.add({ title: "Unsent" });
const undone = sync.tasks.get(unsent);
sync.remove(unsent);
sync.restore(undone);
sync.change(unsent, { completed: true });
await until(() => sync.pending === 0);
assert.deepEqual(titles(await client.list()), ["Buy milk", "Other", "Unsent"]);
assert.equal((await client.read(unsent)).completed, true);
assert.deepEqual(refused, []);

// A change that changes nothing, and one before the creation was answered.
sync.change(unsent, { title: "Unsent " });
await until(() => sync.pending === 0);
sync.change(unsent, { title: "Sent" }, sync.tasks.get(unsent).revision);
const young = sync.add({ title: "Young" });
const seenAs = sync.tasks.get(young).revision;
await until(() => sync.pending === 0);
sync.change(young, { title: "Youngish" }, seenAs);
await until(() => sync.pending === 0);
assert.deepEqual(titles(await client.list()), ["Buy milk", "Other", "Sent", "Youngish"]);
assert.deepEqual(refused, []);

// A change of what was seen before the changes of this copy is made; before those of others, it is refused.
const seen = sync.tasks.get(other.id).revision;
sync.change(other.id, { priority: "low" });
await until(() => sync.pending === 0);
sync.change(other.id, { priority: "high" }, seen);
await until(() => sync.pending === 0);
assert.equal((await client.change(other.id, { notes: "theirs" })).priority, "high");
await until(() => sync.tasks.get(other.id).notes === "theirs");
sync.change(other.id, { notes: "mine" }, seen);
await until(() => sync.pending === 0);
assert.deepEqual(refused.pop(), ["change", 412]);
assert.equal(sync.tasks.get(other.id).notes, "theirs");

sync.add({ title: "" });
await until(() => sync.pending === 0);
assert.deepEqual(refused.at(-1), ["add", 400]);
sync.close();
console.log("done");
process.exit(0);
"""


def test_it_works_in_node(built: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_TLS_REJECT_UNAUTHORIZED", "0")
    person = server.person()
    (built / "package.json").write_text('{"type": "module"}')
    (tmp_path / "story.mjs").write_text(IN_NODE.replace("CLIENT", str(built)))
    assert run(tmp_path, "node", "story.mjs", server.url, person.token) == "done\n"


# Servers and proxies that misbehave, as a fetch of the story's own.
AWKWARD = r"""
import assert from "node:assert/strict";
import { Sync, TodoClient } from "CLIENT/index.js";

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const until = async (holds) => {
  for (const deadline = Date.now() + 8000; !holds(); await sleep(5)) assert(Date.now() < deadline, `${holds}`);
};
const answer = (status, body, headers = {}) => new Response(JSON.stringify(body), { status, headers });
const problem = (status) =>
  answer(status, { title: "x", status, detail: "no" }, { "Content-Type": "application/problem+json" });
const task = (id, revision, more = {}) => ({ id, revision, title: "x", completed: false, labels: [], ...more });
const nothing = { changed: [], removed: [], next: "t", more: false };
const made = (task) => answer(200, { revision: 9, results: [task ? { status: 200, task } : { status: 204 }] });
const store = () => {
  const kept = new Map();
  return {
    get length() { return kept.size; },
    key: (place) => [...kept.keys()][place] ?? null,
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
};
/** A client whose requests are counted and answered by the first route that fits, and an endless stream of events. */
const make = (routes) => {
  const asked = [];
  const fetch = async (url, init) => {
    const [operation] = url.endsWith("/batch") ? JSON.parse(init.body).operations : [];
    const line = operation === undefined ? `${init.method ?? "GET"} ${url.slice(1)}` : `batch ${operation.op}`;
    asked.push(line);
    for (const [pattern, respond] of routes) if (pattern.test(line)) return respond(line, init);
    if (line.includes("/api/events")) return new Response(new ReadableStream());
    return answer(200, nothing);
  };
  return { asked, client: new TodoClient({ url: "/", getToken: async () => "token", fetch }) };
};

// A stream that ends at once, and a Retry-After that is a date or absurd, are no reason to ask again and again.
for (const events of [
  () => new Response(": listening\n\n"),
  () => answer(503, {}, { "Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT" }),
  () => answer(503, {}, { "Retry-After": "1e300" }),
]) {
  const { asked, client } = make([[/api.events/, events]]);
  const sync = new Sync(client, { storage: store() });
  await sleep(700);
  assert(asked.length < 10, `${asked.length} requests`);
  sync.close();
}

// What a proxy says is no refusal.
{
  let isUp = false;
  const { asked, client } = make([
    [/^batch remove/, () => (isUp ? made() : answer(404, "not found"))],
    [/changes/, () => answer(200, { ...nothing, changed: [task("a", 1)] })],
  ]);
  const sync = new Sync(client, { storage: store(), onRefused: () => assert.fail("refused") });
  await until(() => sync.isOnline);
  sync.remove("a");
  await until(() => asked.includes("batch remove"));
  assert.equal(sync.pending, 1);
  isUp = true;
  await until(() => sync.pending === 0);
  assert.equal(sync.tasks.size, 0);
  sync.close();
}

// An answer that was overtaken does not bring back what is older.
{
  let release;
  const held = new Promise((resolve) => (release = resolve));
  let pulls = 0;
  const { client } = make([
    [/changes/, async () => {
      if (pulls++ > 0) await held;
      return answer(200, { ...nothing, changed: [task("a", pulls === 1 ? 1 : 2)] });
    }],
    [/events/, () => new Response(new ReadableStream({
      start: (stream) => stream.enqueue(new TextEncoder().encode('id: u\nevent: changed\ndata: {"revision":2}\n\n')),
    }))],
    [/^batch change/, (_, init) => made(task("a", 3, JSON.parse(init.body).operations[0].task))],
  ]);
  const sync = new Sync(client, { storage: store() });
  await until(() => pulls === 2);
  sync.change("a", { title: "new" });
  await until(() => sync.pending === 0);
  release();
  await sleep(50);
  assert.deepEqual([sync.tasks.get("a").title, sync.tasks.get("a").revision], ["new", 3]);
  sync.close();
}

// A copy that is closed sends nothing any more; what callbacks throw, and what is not a queue, stops nothing.
{
  const storage = store();
  storage.setItem('todo-queue "" 1', "{damaged");
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const { asked, client } = make([[/^batch create/, async () => (await held, made(task("a", 1)))]]);
  const sync = new Sync(client, { storage, onChange: () => { throw new Error("of a callback, which is reported"); } });
  await until(() => sync.isOnline);
  for (const title of ["1", "2", "3"]) sync.add({ title });
  await until(() => asked.includes("batch create"));
  sync.close();
  release();
  await sleep(50);
  assert.equal(asked.filter((line) => line === "batch create").length, 1);
  assert.equal(sync.pending, 3); // whether the first was made, its key will tell
}

// No id is no address.
await assert.rejects(make([]).client.purge(""), TypeError);
const { asked, client } = make([]);
await client.remove("../trash");
assert.deepEqual(asked, ["DELETE api/tasks/..%2Ftrash"]);
console.log("done");
process.exit(0);
"""


def test_awkward_servers_lose_nothing_and_are_not_flooded(built: Path, tmp_path: Path) -> None:
    (built / "package.json").write_text('{"type": "module"}')
    (tmp_path / "story.mjs").write_text(AWKWARD.replace("CLIENT", str(built)))
    assert run(tmp_path, "node", "story.mjs") == "done\n"


PAGE = """<!doctype html><title>todo</title><script type="module">
import { Sync, TodoClient } from "./index.js";
const [url, token, name] = JSON.parse(decodeURIComponent(location.hash.slice(1)));
const client = new TodoClient({ url, getToken: async () => token });
window.refused = [];
const onRefused = (operation, error) => refused.push([operation.kind, error.status]);
window.sync = new Sync(client, { name, onRefused });
window.titles = () => [...sync.tasks.values()].map((task) => task.title).sort();
window.find = (title) => [...sync.tasks.values()].find((task) => task.title === title).id;
</script>"""


class Pages:
    """Opens the page, for a person and at a URL of the service."""

    def __init__(self, browser: Browser, origin: str) -> None:
        self.origin = origin
        self._browser = browser

    @contextmanager
    def open(self, name: str, url: str, person: Person) -> Iterator["OpenPage"]:
        context = self._browser.new_context()
        page = context.new_page()
        page.goto(f"{self.origin}/page.html#{quote(json.dumps([url, person.token, name]))}")
        yield OpenPage(page)
        context.close()


class OpenPage:
    def __init__(self, page: Page) -> None:
        self._page = page

    def run(self, code: str) -> Any:
        return self._page.evaluate(code)

    def reload(self) -> None:
        self._page.reload()

    def wait_for(self, code: str, expected: Any, seconds: float = 20) -> float:
        """Returns how long it took."""
        began = time.monotonic()
        while (found := self.run(code)) != expected:
            assert time.monotonic() - began < seconds, found
            self._page.wait_for_timeout(5)
        return time.monotonic() - began


@pytest.fixture
def pages(built: Path, chromium: Browser) -> Iterator[Pages]:
    (built / "page.html").write_text(PAGE)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(built))

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Pages(chromium, f"http://127.0.0.1:{listening.server_address[1]}")
        finally:
            listening.shutdown()
            thread.join()


@contextmanager
def serving_over_a_network(pages: Pages, tmp_path: Path) -> Iterator[tuple[Server, DatabaseProxy, str]]:
    """A server, a network before it that can be cut, and the server's URL through that network."""
    with (
        serving(tmp_path, sqlite_url(tmp_path / "todo.db"), CORS_ORIGINS=pages.origin) as server,
        closing(DatabaseProxy(server.address)) as network,
    ):
        yield server, network, f"http://127.0.0.1:{network.port}"


@browser.needs_browser
def test_what_one_page_does_the_other_shows_and_a_cut_network_loses_nothing(pages: Pages, tmp_path: Path) -> None:
    with serving_over_a_network(pages, tmp_path) as (server, network, cut):
        ann = server.person("ann")
        with (
            pages.open("one", server.url, ann) as one,
            pages.open("two", cut, ann) as two,
        ):
            for page in (one, two):
                page.wait_for("sync.isOnline", True)
            one.run("sync.add({title: 'First'})")
            assert two.wait_for("titles()", ["First"]) < 1
            two.run("sync.change(find('First'), {title: 'Changed'})")
            assert one.wait_for("titles()", ["Changed"]) < 1

            network.inject(Fault.RESET)
            two.wait_for("sync.isOnline", False)
            two.run("sync.add({title: 'Offline'})")
            two.run("sync.change(find('Offline'), {completed: true})")
            two.run("sync.change(find('Changed'), {priority: 'high'})")
            one.run("sync.add({title: 'Meanwhile'})")
            assert two.run("[titles(), sync.pending]") == [["Changed", "Offline"], 3]
            assert one.run("titles()") == ["Changed", "Meanwhile"]
            network.inject(Fault.NONE)
            whole = ["Changed", "Meanwhile", "Offline"]
            two.wait_for("[titles(), sync.pending, sync.isOnline]", [whole, 0, True])
            one.wait_for("titles()", whole)

            # What another has changed meanwhile is not overwritten.
            network.inject(Fault.RESET)
            two.wait_for("sync.isOnline", False)
            two.run("sync.change(find('Meanwhile'), {title: 'Mine'})")
            one.run("sync.change(find('Meanwhile'), {title: 'Theirs'})")
            one.wait_for("sync.pending", 0)
            network.inject(Fault.NONE)
            two.wait_for("[titles(), refused]", [["Changed", "Offline", "Theirs"], [["change", 412]]])
        tasks = {task["title"]: task for task in ann.tasks()}
        assert sorted(tasks) == ["Changed", "Offline", "Theirs"]
        assert (tasks["Offline"]["completed"], tasks["Changed"]["priority"]) == (True, "high")


@browser.needs_browser
def test_what_waits_survives_a_reload(pages: Pages, tmp_path: Path) -> None:
    with serving_over_a_network(pages, tmp_path) as (server, network, cut):
        ann = server.person("ann")
        with pages.open("one", cut, ann) as page:
            page.wait_for("sync.isOnline", True)
            network.inject(Fault.RESET)
            page.wait_for("sync.isOnline", False)
            page.run("sync.add({title: 'Offline'})")
            page.reload()
            page.wait_for("[titles(), sync.isOnline]", [["Offline"], False])
            assert ann.tasks() == []
            network.inject(Fault.NONE)
            page.wait_for("[titles(), sync.pending]", [["Offline"], 0])
        assert [task["title"] for task in ann.tasks()] == ["Offline"]
