"""Copies of a SQLite file while others use it, by SQLite's own Online Backup API."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from todo.adapters.sql.sqlite.database import PRIMARY_CODE
from todo.adapters.sql.sqlite.threads import BUSY_TIMEOUT
from todo.adapters.sql.tables import RESTORE_HEADROOM, SCHEMA_VERSION, VERSION_TABLE
from todo.domain.refusals import OperatorNeeded


def back_up(database: Path, copy: Path) -> None:
    """Writes a whole copy, of one moment, readable by its owner alone. Raises OperatorNeeded; then there is none."""
    if os.path.lexists(copy):
        raise OperatorNeeded(f"{copy} exists already; name another file.")
    try:
        with TemporaryDirectory(dir=copy.absolute().parent, prefix=".todo-backup-") as folder:
            draft = Path(folder) / "draft"
            with _open(database, "ro") as source, _open(draft, "rwc") as target:
                _check(source, database)
                _copy(source, target)
                target.execute("PRAGMA journal_mode = DELETE")  # one file, to be moved by itself
            draft.chmod(0o600)
            _sync(draft)
            os.link(draft, copy)  # which replaces no file, even now
        _sync(copy.absolute().parent)
    except (sqlite3.Error, OSError) as error:
        raise OperatorNeeded(f"The backup failed, and {copy} was not written.") from error


def restore(database: Path, copy: Path) -> None:
    """Replaces the content of the database with that of a backup, at once for everybody who uses it.

    Each person begins a new epoch, and revisions continue above all that were ever given, so that everything which
    clients hold is outdated. A damaged database is replaced, too, as long as SQLite recognises it.

    Raises OperatorNeeded; then the database is as it was.
    """
    try:
        if database.exists() and copy.exists() and copy.samefile(database):
            raise OperatorNeeded(f"{copy} is the database itself.")
        with (
            TemporaryDirectory(dir=database.absolute().parent, prefix=".todo-restore-") as folder,
            _open(Path(folder) / "draft", "rwc") as draft,
            _open(database, "rwc") as target,
        ):
            with _open(copy, "ro") as source:
                _check(source, copy)
                _copy(source, draft)
            above = _newest_revision(target) + RESTORE_HEADROOM
            draft.execute("UPDATE users SET revision = revision + ?, epoch = lower(hex(randomblob(16)))", (above,))
            try:
                target.execute("PRAGMA synchronous = FULL")
                _copy(draft, target)
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode & PRIMARY_CODE not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                    raise
                raise OperatorNeeded(
                    f"{database} is beyond repair: stop what uses it, move it and its -wal away, and restore again."
                ) from error
            target.execute("PRAGMA journal_mode = WAL")
    except (sqlite3.Error, OSError) as error:
        raise OperatorNeeded("The backup can't be restored, and the database is as it was.") from error


def _copy(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Raises TimeoutError: SQLite itself would wait for other writers without end."""
    deadline = time.monotonic() + BUSY_TIMEOUT

    def check_deadline(status: int, *_: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > deadline:
            raise TimeoutError("another program holds it")

    source.backup(target, progress=check_deadline)


def _newest_revision(database: sqlite3.Connection) -> int:
    try:
        return int(database.execute("SELECT coalesce(max(revision), 0) FROM users").fetchone()[0])
    except sqlite3.DatabaseError:
        # It is new, or damaged. Nobody has changed tasks a thousand times a second since 1970.
        return int(time.time() * 1000)


@contextmanager
def _open(file: Path, mode: str) -> Iterator[sqlite3.Connection]:
    url = f"{file.absolute().as_uri()}?mode={mode}"
    with closing(sqlite3.connect(url, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)) as connection:
        yield connection


def _check(connection: sqlite3.Connection, file: Path) -> None:
    """That a file is a sound database of this program or an earlier release."""
    try:
        integrity = connection.execute("PRAGMA integrity_check(1)").fetchone()
        versions = [version for (version,) in connection.execute(f"SELECT version_num FROM {VERSION_TABLE}")]  # noqa: S608 - ours
    except sqlite3.DatabaseError as error:
        raise OperatorNeeded(f"{file} can't be read, or is not a todo database.") from error
    if integrity != ("ok",):
        raise OperatorNeeded(f"{file} is damaged.")
    if max(versions, default="") > SCHEMA_VERSION:
        raise OperatorNeeded(f"{file} was written by a newer release of todo; use that.")


def _sync(path: Path) -> None:
    """To the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
