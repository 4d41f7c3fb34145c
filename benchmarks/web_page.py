"""How soon the web page shows the tasks, and how smoothly it scrolls, in a real browser on loopback.

Ends with status 1 if the page and all its files are 60 KB compressed or more, if 1,000 tasks take 200 ms or more until
the first of them are painted, or 10,000 take a second.
"""

import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from playwright.sync_api import Browser, Page
from tests.support import browser
from tests.support.databases import migrated, sqlite_url
from tests.support.serving import Server, serving, signed

from benchmarks.side_by_side import fill

ROUNDS = 7
LIMITS = {1_000: 200, 10_000: 1000}
"""Milliseconds until the first rows are painted, by tasks."""
SIZE = 60_000
"""Bytes."""

WAIT_FOR_ROWS = """
new MutationObserver((_, observer) => {
  if (!document.querySelector("#list > li")) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => (window.painted = performance.now())));
}).observe(document, { childList: true, subtree: true });
"""

SCROLL = """new Promise((resolve) => {
  const took = [];
  let last = performance.now();
  const step = () => {
    const now = performance.now();
    took.push(now - last);
    last = now;
    scrollBy(0, 150);
    if (scrollY + innerHeight < document.documentElement.scrollHeight - 1) requestAnimationFrame(step);
    else resolve(took);
  };
  requestAnimationFrame(step);
})"""


class Visits(NamedTuple):
    page: Page
    first: float
    """Milliseconds until the first tasks are painted."""
    second: float
    page_first: float
    """Milliseconds until anything is painted, on the first visit."""


def visit(chromium: Browser, server: Server, number: int) -> Visits:
    context = chromium.new_context(viewport={"width": 1200, "height": 900})
    context.add_init_script(WAIT_FOR_ROWS)
    times: list[float] = []
    painted: list[float] = []
    page = context.new_page()
    for _ in range(2):
        page.goto("about:blank")
        page.goto(f"{server.url}/#token={signed({'sub': f'person-{number}'})}")
        page.locator("#list > li").first.wait_for()
        page.wait_for_timeout(100)
        times.append(page.evaluate("window.painted"))
        painted.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    return Visits(page, times[0], times[1], painted[0])


def main() -> int:
    failures = []
    with TemporaryDirectory() as directory:
        url = migrated(sqlite_url(Path(directory) / "todo.db"))
        fill(url, [(f"person-{number}", number) for number in LIMITS])
        with serving(Path(directory), url, ACCESS_LOG="false") as server, browser.launch() as chromium:
            for number, limit in LIMITS.items():
                rounds = [visit(chromium, server, number) for _ in range(ROUNDS)]
                first = statistics.median(visits.first for visits in rounds)
                second = statistics.median(visits.second for visits in rounds)
                page_first = statistics.median(visits.page_first for visits in rounds)
                print(f"{number} tasks are painted after {first:.0f} ms; on a second visit {second:.0f} ms")
                print(f"the page itself is painted after {page_first:.0f} ms")
                if first >= limit:
                    failures.append(f"{number} tasks take {first:.0f} ms, not less than {limit}")
                frames = rounds[0].page.evaluate(SCROLL)
                late = sum(frame > 50 for frame in frames)
                print(f"scrolling through them: {len(frames)} frames, {late} of them after more than 50 ms")
                for visits in rounds:
                    visits.page.context.close()
            sizes: list[int] = []
            page = chromium.new_page()
            page.on("response", lambda response: sizes.append(int(response.headers.get("content-length", 0))))
            page.goto(server.url)
            page.wait_for_load_state("networkidle")
            print(f"the page and its files: {len(sizes)} responses, {sum(sizes)} bytes")
            if sum(sizes) >= SIZE:
                failures.append(f"the page and its files are {sum(sizes)} bytes")
    print(*failures, sep="\n", file=sys.stderr)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
