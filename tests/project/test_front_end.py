"""docs/front-end.md: its code is type-checked, and called by a page in a real browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support import better_auth, browser
from tests.support.databases import sqlite_url
from tests.support.serving import serving

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "front-end.md"
CLIENT = ROOT / "clients" / "typescript" / "src"
MODULES = better_auth.PROGRAM.parent / "node_modules"

# What the code uses of Next.js and Node.js, whose types are not installed.
SURROUNDINGS = """
declare module "next/headers" { export function headers(): Promise<Headers>; }
declare const process: { env: Record<string, string | undefined> };
"""

# Ann signs up, and works with tasks.
STORY = """
import { TodoError } from "todo-client";
import { tasks } from "./tasks.js";

const seen = {};
try {
  const account = { name: "ann", email: "ann@mail.example", password: "a password of hers" };
  const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(account) };
  await fetch("/api/auth/sign-up/email", init);

  const milk = await tasks.add({ title: "Buy milk" }, "k-1");
  seen.replayed = (await tasks.add({ title: "Buy milk" }, "k-1")).id === milk.id;
  seen.changed = (await tasks.change(milk.id, { completed: true })).completed;
  seen.listed = (await tasks.list()).map((task) => task.title);
  const refused = (error) => error instanceof TodoError && error.problem.errors[0].pointer;
  seen.refusal = await tasks.add({ title: " " }).catch(refused);
  await tasks.remove((await tasks.add({ title: "Buy bread", labels: ["shop"] })).id);
  await tasks.remove(milk.id);
  seen.missing = await tasks.read(milk.id).catch((error) => error.problem.status);

  // The token becomes invalid: the next request fetches another.
  const stock = window.fetch;
  let tokens = 0;
  window.fetch = async (url, init) => {
    if (url !== "/api/auth/token") return stock(url, init);
    tokens += 1;
    return tokens === 1 ? new Response(JSON.stringify({ token: "x.y.z" })) : stock(url, init);
  };
  tasks.forgetToken();
  seen.again = (await Promise.all([tasks.list(), tasks.list(), tasks.list()])).flat().length;
  seen.tokens = tokens; // the invalid one, and one for all requests
  window.fetch = stock;

  await fetch("/api/auth/sign-out", { ...init, body: "{}" });
  tasks.forgetToken();
  sessionStorage.setItem("seen", JSON.stringify(seen));
  await tasks.list(); // navigates to the sign-in page
} catch (error) {
  if (!sessionStorage.getItem("seen")) sessionStorage.setItem("seen", JSON.stringify({ error: String(error) }));
}
"""

PAGE_OF_STORY = """<script src="surroundings.js"></script>
<script type="importmap">{ "imports": { "todo-client": "./index.js" } }</script>
<script type="module" src="story.js"></script>"""


@pytest.fixture(scope="module")
def front_end(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files of the page, compiled into `made`."""
    directory = tmp_path_factory.mktemp("front-end")
    for code in re.findall(r"```ts\n(.*?)```", PAGE.read_text(), re.DOTALL):
        file = directory / code.splitlines()[0].removeprefix("// ")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code)
    (directory / "surroundings.d.ts").write_text(SURROUNDINGS)
    (directory / "node_modules").symlink_to(MODULES)
    shutil.copytree(CLIENT, directory / "todo-client")
    (directory / "tsconfig.json").write_text(
        json.dumps(
            {
                "compilerOptions": {
                    "strict": True,
                    "noUncheckedIndexedAccess": True,
                    "skipLibCheck": True,
                    "target": "es2022",
                    "module": "es2022",
                    "moduleResolution": "bundler",
                    "lib": ["es2022", "dom", "dom.iterable", "dom.asynciterable"],
                    "outDir": "made",
                    "rootDir": ".",
                    "paths": {"todo-client": ["./todo-client/index.ts"]},
                }
            }
        )
    )
    run = subprocess.run(
        ["node", MODULES / "typescript" / "bin" / "tsc"], cwd=directory, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, "")
    return directory


@better_auth.needs_better_auth
def test_the_code_compiles(front_end: Path) -> None:
    made = {str(file.relative_to(front_end / "made")) for file in (front_end / "made").rglob("*.js")}
    ours = {"lib/auth.js", "lib/tasks.js", "lib/copy.js", "lib/tasks-on-server.js", "app/api/auth/[...all]/route.js"}
    assert {file for file in made if not file.startswith("todo-client/")} == ours


@better_auth.needs_better_auth
@browser.needs_browser
@pytest.mark.parametrize("host", ["127.0.0.1", browser.LAN_HOST])
def test_the_code_works_on_a_page_of_another_origin(
    front_end: Path, tmp_path: Path, host: str, chromium: Browser
) -> None:
    pages = front_end / "made" / "lib"
    shutil.copytree(front_end / "made" / "todo-client", pages, dirs_exist_ok=True)
    with (
        better_auth.better_auth(files=str(pages), host=host) as issuer,
        serving(
            tmp_path,
            sqlite_url(tmp_path / "todo.db"),
            BETTER_AUTH_URL=issuer.url,
            JWT_JWKS_URL=f"{issuer.url.replace(host, '127.0.0.1')}/api/auth/jwks",
            CORS_ORIGINS=issuer.url,
        ) as service,
    ):
        (pages / "surroundings.js").write_text(f"process = {{ env: {{ NEXT_PUBLIC_TODO_URL: '{service.url}' }} }};")
        (pages / "story.js").write_text(STORY)
        (pages / "story").write_text(PAGE_OF_STORY)
        (pages / "sign-in").write_text("")
        page = chromium.new_page()
        page.goto(f"{issuer.url}/story")
        page.wait_for_url(f"{issuer.url}/sign-in")
        seen = page.evaluate("sessionStorage.getItem('seen')")
        page.close()
    assert json.loads(seen) == {
        "replayed": True,
        "changed": True,
        "listed": ["Buy milk"],
        "refusal": "/title",
        "missing": 404,
        "again": 0,
        "tokens": 2,
    }


@pytest.mark.parametrize("setting", re.findall(r"\b(?:BETTER_AUTH|JWT|CORS)_[A-Z_]+", PAGE.read_text()))
def test_the_page_names_existing_settings_only(setting: str) -> None:
    from todo.settings import ServerSettings

    assert setting.lower() in ServerSettings.__struct_fields__
