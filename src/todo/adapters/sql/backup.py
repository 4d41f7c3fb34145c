"""Copies of a SQLite file while others use it, by SQLite's own way of doing so (its Online Backup API)."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from todo.adapters.sql.sqlite import BUSY_TIMEOUT
from todo.adapters.sql.tables import SCHEMA_VERSION, VERSION_TABLE
from todo.domain.refusals import Unavailable


def back_up(database: Path, copy: Path) -> None:
    """Writes a whole copy, of one moment. Raises Unavailable; then there is none."""
    if os.path.lexists(copy):
        raise Unavailable(f"{copy} is there already; name another file.")
    half = copy.with_name(f"{copy.name}.part")
    try:
        with _opened(database, "ro") as source:
            _check(source, database)
            with _opened(half, "rwc") as target:
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")  # one file, that can be carried about by itself
        _reach_the_disk(half)
        half.rename(copy)
        _reach_the_disk(copy.absolute().parent)
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"The backup failed, and {copy} was not made.") from error
    finally:
        half.unlink(missing_ok=True)


def restore(database: Path, copy: Path) -> None:
    """Puts what a copy has in the place of what the database has, for its users at once and as a whole.

    Raises Unavailable; then the database is as it was.
    """
    try:
        with _opened(copy, "ro") as source:
            _check(source, copy)
            with _opened(database, "rwc") as target:
                target.execute("PRAGMA synchronous = FULL")
                source.backup(target)
    except sqlite3.Error as error:
        raise Unavailable("The backup can't be restored, and the database is as it was.") from error


@contextmanager
def _opened(file: Path, mode: str) -> Iterator[sqlite3.Connection]:
    url = f"{file.absolute().as_uri()}?mode={mode}"
    with closing(sqlite3.connect(url, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)) as connection:
        yield connection


def _check(connection: sqlite3.Connection, file: Path) -> None:
    """That a file is a sound database of ours, and none of a later program's."""
    try:
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()
        versions = [version for (version,) in connection.execute(f"SELECT version_num FROM {VERSION_TABLE}")]  # noqa: S608 - ours
    except sqlite3.DatabaseError as error:
        raise Unavailable(f"{file} can't be read, or is no database of todo's.") from error
    if found != ("ok",):
        raise Unavailable(f"{file} is damaged.")
    if max(versions, default="") > SCHEMA_VERSION:
        raise Unavailable(f"{file} is of a newer todo than this one; use that.")


def _reach_the_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
