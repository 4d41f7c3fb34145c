"""The HTTP entrypoint."""

import sys

# Where advanced-alchemy is installed, which is the migrations' here, Litestar loads it, and SQLAlchemy's ORM with it,
# for a class of pagination. Told that it is not there, Litestar does without, and so does every start of a server.
if "advanced_alchemy" not in sys.modules:
    sys.modules["advanced_alchemy"] = None  # type: ignore[assignment] # the import system's word for: not there
    try:
        import litestar  # noqa: F401 - loaded is what it is to be
    finally:
        del sys.modules["advanced_alchemy"]
