"""What was measured last, as JSON that pictures.py draws and model.py calculates with."""

import json
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parents[1] / "docs" / "figures"


def save(name: str, figures: Any) -> None:
    (DIRECTORY / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")


def load(name: str) -> Any:
    return json.loads((DIRECTORY / f"{name}.json").read_text())
