"""Batches of two servers on the same tasks, a thousand times: none waits for another in a circle, none is torn."""

from pathlib import Path

import pytest
from tests.api.test_two_servers import run_opposing_batches
from tests.support.databases import migrated
from tests.support.serving import serving


@pytest.mark.timeout(1800)
def test_a_thousand_rounds_of_opposing_batches(tmp_path: Path, empty_postgres: str) -> None:
    url = migrated(empty_postgres)
    with serving(tmp_path, url) as first, serving(tmp_path, url) as second:
        run_opposing_batches((first, second), "who-opposes", rounds=1000)
