"""Ten thousand random histories on a standby that is five seconds behind, and is promoted in the middle."""

from pathlib import Path

import pytest
from tests.api.test_standby import run_through_a_promotion


@pytest.mark.timeout(1800)
def test_nobody_reads_less_than_they_wrote(tmp_path: Path) -> None:
    told = run_through_a_promotion(tmp_path, people=10_000, steps=8, lag="5s")
    print(f"\n{told}")
