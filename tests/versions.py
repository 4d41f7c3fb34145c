"""Prints the requirements of the service in their lowest or latest versions, and what its tests need, for pip."""

import re
import sys
import tomllib
from itertools import chain
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
needs = [*project["project"]["dependencies"], *chain(*project["project"]["optional-dependencies"].values())]
bounds = r">=([^,;\s]+)(,<[^;\s]+)?"
print(*(re.sub(bounds, r"==\1" if sys.argv[1] == "lowest" else "", need) for need in needs), sep="\n")
print(*project["dependency-groups"]["dev"], sep="\n")
