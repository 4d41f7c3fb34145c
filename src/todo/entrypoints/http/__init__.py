"""The HTTP entrypoint. ``todo.entrypoints.http:app`` is for every ASGI server that imports its application: its
settings are the environment's, and the schema is brought up to date by ``todo db upgrade``."""

import sys
from typing import Any

# Where advanced-alchemy is installed, which is the migrations' here, Litestar loads it, and SQLAlchemy's ORM with it,
# for a class of pagination. Told that it is not there, Litestar does without, and so does every start of a server.
if "advanced_alchemy" not in sys.modules:
    sys.modules["advanced_alchemy"] = None  # type: ignore[assignment] # the import system's word for: not there
    try:
        import litestar  # noqa: F401 - loaded is what it is to be
    finally:
        del sys.modules["advanced_alchemy"]


def __getattr__(name: str) -> Any:
    """``app``, made when it is first asked for: whoever wants another part has settings of their own."""
    if name != "app":
        raise AttributeError(name)
    from todo.entrypoints.http.application import from_environment

    globals()[name] = made = from_environment()
    return made
