"""An hour of everything: memory and open files stay flat, and nothing fails."""

import os
import statistics
import threading
import time
from itertools import count
from pathlib import Path

import httpx
import psutil
import pytest
from tests.support.serving import Person, serving, signed

SECONDS = int(os.environ.get("SOAK_SECONDS", "3600"))
WARM_UP = min(300, SECONDS // 4)
PEOPLE = 12


def work(person: Person, stopped: threading.Event, faults: list[str]) -> None:
    try:
        for round_ in count():
            if stopped.is_set():
                return
            if round_ % 500 == 0:  # a token is good for a quarter of an hour
                person.api.headers["Authorization"] = f"Bearer {signed({'sub': person.user_id})}"
            tag = person.api.get("/api/tasks").headers["etag"]
            assert person.api.get("/api/tasks", headers={"If-None-Match": tag}).status_code == 304
            task = person.api.post("/api/tasks", json={"title": "x"}, headers={"Idempotency-Key": os.urandom(8).hex()})
            one = f"/api/tasks/{task.json()['id']}"
            for answer, status in (
                (task, 201),
                (person.api.patch(one, json={"completed": True}), 200),
                (person.api.get("/api/tasks?completed=true&limit=5&q=x"), 200),
                (person.api.put(one, json={"title": "y"}, headers={"If-Match": '"1"'}), 412),
                (person.api.get(one), 200),
                (person.api.delete(one), 204),
                (person.api.get(one), 404),
            ):
                if answer.status_code != status:
                    faults.append(f"{answer.request.method}: {answer.status_code} in place of {status}")
    except (httpx.HTTPError, AssertionError) as error:
        faults.append(repr(error))


@pytest.mark.timeout(SECONDS + 300)
def test_memory_and_descriptors_stay_flat(tmp_path: Path, empty_database: str) -> None:
    with serving(tmp_path, empty_database) as server:
        process, stopped = psutil.Process(server.pid), threading.Event()
        faults: list[str] = []
        threads = [threading.Thread(target=work, args=(server.person(), stopped, faults)) for _ in range(PEOPLE)]
        for thread in threads:
            thread.start()
        samples: list[tuple[float, float, int]] = []
        began = time.monotonic()
        while time.monotonic() - began < SECONDS and not faults:
            time.sleep(max(1, SECONDS / 360))
            if time.monotonic() - began > WARM_UP:
                samples.append(((time.monotonic() - began) / 3600, process.memory_info().rss / 1e6, process.num_fds()))
        stopped.set()
        for thread in threads:
            thread.join()
        assert faults == []
    hours, memory = [hour for hour, _, _ in samples], [megabytes for _, megabytes, _ in samples]
    files = [number for _, _, number in samples]
    slope, intercept = statistics.linear_regression(hours, memory)
    rest = [one - slope * hour - intercept for hour, one in zip(hours, memory, strict=True)]
    spread = statistics.pvariance(hours) * len(hours)
    error = (sum(one**2 for one in rest) / (len(rest) - 2) / spread) ** 0.5
    print(
        f"\n{SECONDS} s: {statistics.fmean(memory):.1f} MB, {slope:+.2f} ± {error:.2f} MB an hour;"
        f" {min(files)} to {max(files)} open files"
    )
    assert slope - 3 * error < 1  # MB an hour: no more than chance would have it
    assert max(files) - min(files) <= 4
