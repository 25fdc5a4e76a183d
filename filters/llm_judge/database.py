"""A SQLite file of named values that several processes write, and that survives what befalls it.

A process may be killed at any moment, the file may be damaged, and it may come from a stranger.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from curate.base.errors import CurateError

_BUSY = 60.0  # seconds to wait for another process that writes
_DAMAGE = {"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_IOERR_SHORT_READ"}
_ADVICE = (
    "check the free space, the greatest size of a file (ulimit -f) and the folder's rights, or "
    "name another folder with CURATE_CACHE"
)
Value = TypeVar("Value")
# Table, key and value: whether this user wrote the value, whole.
Check = Callable[[str, bytes, bytes], bool]


class Database:
    """Tables of `key` and `value` in a file; None: in memory.

    `is_whole` tells which values of a damaged file may be taken over. Raises `CurateError` where
    the file cannot be written.
    """

    def __init__(self, path: Path | None, tables: tuple[str, ...], is_whole: Check) -> None:
        self.path, self.tables = path, tables
        self.notices: list[str] = []
        self._is_whole = is_whole
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._database: sqlite3.Connection | None = self._open()

    def do(self, action: Callable[[sqlite3.Connection], Value]) -> Value:
        """Act on the database; a damaged one is moved aside first, and one that is shut opened."""
        with self._lock:
            if self._database is None or self._process != os.getpid():
                # A connection must not be used on both sides of a fork.
                self._process, self._database = os.getpid(), self._open()
            for _ in range(2):
                try:
                    return action(self._database)
                except sqlite3.Error as error:
                    if self._database.in_transaction:
                        self._database.rollback()
                    if not _is_damage(error) or self.path is None:
                        raise self._unusable(error) from None
                    self._database.close()
                    self._move_aside(self.path)
                    self._database = self._open()
            raise self._unusable("it is damaged again and again")

    def close(self) -> None:
        """Close the file; a later use opens it again."""
        with self._lock:
            if self._database is not None and self._process == os.getpid():
                self._database.close()
            self._database = None

    def _open(self) -> sqlite3.Connection:
        for _ in range(2):
            try:
                return self._connected()
            except sqlite3.Error as error:
                if not _is_damage(error) or self.path is None:
                    raise self._unusable(error) from None
                self._move_aside(self.path)
        raise self._unusable("it is damaged again and again")

    def _connected(self) -> sqlite3.Connection:
        """An open database with our tables and nothing else in it."""
        database = sqlite3.connect(
            ":memory:" if self.path is None else self.path,
            timeout=_BUSY,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            for pragma in ("trusted_schema = OFF", "cell_size_check = ON"):
                database.execute(f"PRAGMA {pragma}")
            _write_ahead(database)
            database.execute("BEGIN IMMEDIATE")
            for create in self._creates.values():
                database.execute(create.replace("TABLE", "TABLE IF NOT EXISTS", 1))
            database.execute("COMMIT")
            if not self._is_ours(database):
                raise sqlite3.DatabaseError("holds other tables than ours")
            database.text_factory = bytes  # a stranger's value of another kind is no error
        except BaseException:
            database.close()
            raise
        return database

    @property
    def _creates(self) -> dict[str, str]:
        columns = "(key BLOB PRIMARY KEY, value BLOB NOT NULL)"
        return {table: f"CREATE TABLE {table} {columns}" for table in self.tables}

    def _is_ours(self, database: sqlite3.Connection) -> bool:
        """Whether nothing else is in it: a stranger's view or trigger would act on what we do."""
        made = database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return dict(made.fetchall()) == self._creates

    def _move_aside(self, path: Path) -> None:
        """Put a damaged file out of the way, unless another process just did."""
        from filelock import FileLock

        try:
            with FileLock(path.with_suffix(".lock")):
                if not self._is_damaged():
                    return
                number = 1 + len(list(path.parent.glob(f"{path.stem}.damaged-*{path.suffix}")))
                aside = path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")
                for end in ("-wal", "-shm", ""):
                    part = path.with_name(f"{path.name}{end}")
                    if part.exists():
                        part.replace(aside.with_name(f"{aside.name}{end}"))
                saved = self._take_over(aside)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from None
        self.notices.append(
            f"{path} was damaged: it is moved to {aside.name}; {saved:,} values in it were whole "
            "and are kept, the others are asked anew"
        )

    def _is_damaged(self) -> bool:
        try:
            with closing(self._connected()) as database:
                return bool(database.execute("PRAGMA integrity_check(1)").fetchone()[0] != b"ok")
        except sqlite3.Error as error:
            if not _is_damage(error):
                raise
            return True

    def _take_over(self, aside: Path) -> int:
        """Write what is still whole in a damaged file into a new one; how many values that is."""
        saved = 0
        with closing(self._connected()) as new, closing(sqlite3.connect(aside)) as old:
            new.execute("BEGIN IMMEDIATE")
            for table in self.tables:
                query = f"INSERT OR IGNORE INTO {table} VALUES (?, ?)"
                for key, value in self._readable(old, table):
                    if self._is_whole(table, key, value):
                        saved += new.execute(query, (key, value)).rowcount
            new.execute("COMMIT")
        return saved

    def _readable(self, old: sqlite3.Connection, table: str) -> Iterator[tuple[bytes, bytes]]:
        """The values up to the damage, from either end."""
        for order in ("ASC", "DESC"):
            try:
                old.text_factory = str
                old.execute("PRAGMA trusted_schema = OFF")
                if not self._is_ours(old):
                    return
                old.text_factory = bytes
                yield from old.execute(f"SELECT key, value FROM {table} ORDER BY rowid {order}")
                return
            except sqlite3.Error as error:
                if not _is_damage(error):
                    raise

    def _unusable(self, error: object) -> CurateError:
        return CurateError(f"{self.path}: cannot keep answers ({error}); {_ADVICE}")


def _write_ahead(database: sqlite3.Connection) -> None:
    """Commits that survive a killed process and cost no wait for the disk, where that works."""
    try:
        database.execute("PRAGMA journal_mode = WAL").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname == "SQLITE_BUSY" or _is_damage(error):
            raise
        database.execute("PRAGMA journal_mode = DELETE").fetchone()  # as on some network disks
    database.execute("PRAGMA synchronous = NORMAL")


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether it is the file itself, not who may use it, or how much room there is."""
    name = getattr(error, "sqlite_errorname", "")
    if name:
        return name.removesuffix("_VTAB").removesuffix("_INDEX") in _DAMAGE
    return type(error) is sqlite3.DatabaseError
