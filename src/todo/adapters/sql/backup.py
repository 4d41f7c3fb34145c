"""Copies of a SQLite file while others use it, by SQLite's own way of doing so (its Online Backup API)."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from todo.adapters.sql.sqlite import BUSY_TIMEOUT, PRIMARY
from todo.adapters.sql.tables import SCHEMA_VERSION, VERSION_TABLE
from todo.domain.refusals import Unavailable

HEADROOM = 1_000_000
"""More revisions than are given while a copy is restored."""


def back_up(database: Path, copy: Path) -> None:
    """Writes a whole copy, of one moment, for its owner's eyes alone. Raises Unavailable; then there is none."""
    if os.path.lexists(copy):
        raise Unavailable(f"{copy} is there already; name another file.")
    try:
        with TemporaryDirectory(dir=copy.absolute().parent, prefix=".todo-backup-") as folder:
            half = Path(folder) / "half"
            with _opened(database, "ro") as source, _opened(half, "rwc") as target:
                _check(source, database)
                _copy(source, target)
                target.execute("PRAGMA journal_mode = DELETE")  # one file, that can be carried about by itself
            half.chmod(0o600)
            _reach_the_disk(half)
            os.link(half, copy)  # which takes no other file's place, even now
        _reach_the_disk(copy.absolute().parent)
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"The backup failed, and {copy} was not made.") from error


def restore(database: Path, copy: Path) -> None:
    """Puts what a copy has in the place of what the database has, for its users at once and as a whole.

    Revisions go on above all that were ever given: no entity tag of before names anything of now. The database may be
    damaged, so long as SQLite knows it for one. Raises Unavailable; then the database is as it was.
    """
    try:
        if database.exists() and copy.exists() and copy.samefile(database):
            raise Unavailable(f"{copy} is the database itself.")
        with (
            TemporaryDirectory(dir=database.absolute().parent, prefix=".todo-restore-") as folder,
            _opened(Path(folder) / "anew", "rwc") as anew,
            _opened(database, "rwc") as target,
        ):
            with _opened(copy, "ro") as source:
                _check(source, copy)
                _copy(source, anew)
            above = _newest_revision(target) + HEADROOM
            anew.execute("UPDATE users SET revision = revision + ?", (above,))
            anew.execute("UPDATE tasks SET revision = revision + ?", (above,))
            try:
                target.execute("PRAGMA synchronous = FULL")
                _copy(anew, target)
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode & PRIMARY not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                    raise
                raise Unavailable(
                    f"{database} is past mending: stop what uses it, move it and its -wal away, and restore again."
                ) from error
            target.execute("PRAGMA journal_mode = WAL")
    except (sqlite3.Error, OSError) as error:
        raise Unavailable("The backup can't be restored, and the database is as it was.") from error


def _copy(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Raises TimeoutError: SQLite itself would wait without end for others who write."""
    until = time.monotonic() + BUSY_TIMEOUT

    def give_up_in_time(status: int, *_: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > until:
            raise TimeoutError("another program holds it")

    source.backup(target, progress=give_up_in_time)


def _newest_revision(database: sqlite3.Connection) -> int:
    try:
        return int(database.execute("SELECT coalesce(max(revision), 0) FROM users").fetchone()[0])
    except sqlite3.DatabaseError:
        # It is new, or damaged. No other has changed a thousand times a second from 1970 on.
        return int(time.time() * 1000)


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
