"""Answers kept between runs in a database: each as it comes, so that a killed run goes on.

Every value carries a checksum made with the user's own secret over its name and content. What is
damaged, was moved to another name or comes from somebody else is as good as absent.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import orjson

from curate.base.errors import CurateError
from curate.base.user_key import key_of
from filters.llm_judge.question import Answer

FILE = "answers.sqlite"
_DIGEST = 16
_SMALL = 200  # bytes under which compressing saves nothing
_AT_ONCE = 500  # keys in one query
_BUSY = 60.0  # seconds to wait for another process that writes
_TABLES = {
    table: f"CREATE TABLE {table} (key BLOB PRIMARY KEY, value BLOB NOT NULL)"
    for table in ("answers", "failures", "remembered")
}
_DAMAGE = {"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_SCHEMA"}
_ADVICE = (
    "check the free space, the greatest size of a file (ulimit -f) and the folder's rights, or "
    "name another folder with CURATE_CACHE"
)
Value = TypeVar("Value")


class Answers:
    """What judges answered, under 16-byte keys, in `folder/answers.sqlite`; None: in memory.

    Several threads and processes may use one folder. `notices` says, in sentences, what was
    found damaged. Raises `CurateError` where the folder cannot be written.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.notices: list[str] = []
        self._lock = threading.RLock()
        self._closed = False
        self._key = secrets.token_bytes(32)
        self._database = self._open()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """Those of the answers that are kept."""
        return {key: _answer_of(value) for key, value in self._get("answers", keys).items()}

    def put(self, key: bytes, answer: Answer) -> None:
        """Keep an answer, for good when this returns; what failed under its key is forgotten.

        Raises `ValueError` for an answer with a problem: a failure is no answer.
        """
        if answer.problem:
            raise ValueError("an answer with a problem is never kept as an answer")
        value = self._sealed("answers", key, _value_of(answer))

        def write() -> None:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, value))
            self._database.execute("DELETE FROM failures WHERE key = ?", (key,))
            self._database.execute("COMMIT")

        self._do(write)

    def fail(self, key: bytes, problem: str) -> None:
        """Keep why a question has no answer, only to quote it."""
        self._put("failures", key, problem)

    def failures(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """Why questions that have no answer so far have none."""
        return {key: str(value) for key, value in self._get("failures", keys).items()}

    def remember(self, name: str, what: Any) -> None:
        """Keep something of JSON's types under a name, with the time."""
        self._put("remembered", name.encode(), [time.time(), what])

    def recall(self, name: str, within: float = float("inf")) -> Any:
        """What was remembered under a name in the last `within` seconds; None if nothing was."""
        found = self._get("remembered", [name.encode()]).get(name.encode())
        return found[1] if found is not None and 0 <= time.time() - found[0] <= within else None

    def forget(self, name: str) -> None:
        """Remember nothing under this name any more."""

        def delete() -> None:
            self._database.execute("DELETE FROM remembered WHERE key = ?", (name.encode(),))

        self._do(delete)

    def count(self) -> int:
        """How many answers are kept."""
        found: list[int] = []
        query = "SELECT count(*) FROM answers"
        self._do(lambda: found.append(self._database.execute(query).fetchone()[0]))
        return found[0]

    def close(self) -> None:
        """Close the database; a later use opens it again."""
        with self._lock:
            self._database.close()
            self._closed = True

    def _get(self, table: str, keys: Sequence[bytes]) -> dict[bytes, Any]:
        """The values under these keys that this user wrote, whole."""
        found: list[tuple[bytes, bytes]] = []
        for some in _batches(keys, _AT_ONCE):
            marks = ",".join("?" * len(some))
            query = f"SELECT key, value FROM {table} WHERE key IN ({marks})"
            found += self._do(partial(self._fetched, query, some))
        opened = {key: self._opened(table, key, value) for key, value in found}
        strangers = sum(value is None for value in opened.values())
        if strangers and table == "answers":
            self._note_strangers()
        return {key: orjson.loads(value) for key, value in opened.items() if value is not None}

    def _fetched(self, query: str, keys: list[bytes]) -> list[tuple[bytes, bytes]]:
        return self._database.execute(query, keys).fetchall()

    def _put(self, table: str, key: bytes, value: Any) -> None:
        sealed = self._sealed(table, key, orjson.dumps(value))
        query = f"INSERT OR REPLACE INTO {table} VALUES (?, ?)"
        self._do(lambda: self._database.execute(query, (key, sealed)))

    def _sealed(self, table: str, key: bytes, content: bytes) -> bytes:
        packed = b"z" + zlib.compress(content) if len(content) > _SMALL else b"-" + content
        return self._digest(table, key, packed) + packed

    def _opened(self, table: str, key: bytes, value: object) -> bytes | None:
        """The content of a sealed value; None where this user did not write it under this key."""
        if not isinstance(value, bytes) or not isinstance(key, bytes):
            return None
        digest, packed = value[:_DIGEST], value[_DIGEST:]
        if not secrets.compare_digest(digest, self._digest(table, key, packed)):
            return None
        return zlib.decompress(packed[1:]) if packed[:1] == b"z" else packed[1:]

    def _digest(self, table: str, key: bytes, packed: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._key, digest_size=_DIGEST)
        digest.update(f"{table} {len(key)} ".encode() + key + packed)
        return digest.digest()

    def _note_strangers(self) -> None:
        notice = f"{self._path}: kept answers that are damaged or of somebody else are asked anew"
        if notice not in self.notices:
            self.notices.append(notice)

    @property
    def _path(self) -> str:
        return ":memory:" if self.folder is None else str(self.folder / FILE)

    def _do(self, action: Callable[[], Value]) -> Value:
        """Act on the database; a damaged one is moved aside first, and one that is shut opened."""
        with self._lock:
            if self._closed:
                self._database, self._closed = self._open(), False
            for _ in range(2):
                try:
                    return action()
                except sqlite3.Error as error:
                    self._roll_back()
                    if not _is_damage(error):
                        raise self._unusable(error) from None
                    self._begin_anew()
            raise CurateError(f"{self._path}: is damaged again and again; {_ADVICE}")

    def _roll_back(self) -> None:
        if self._database.in_transaction:
            self._database.rollback()

    def _open(self) -> sqlite3.Connection:
        try:
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._key = key_of(self.folder)
        except OSError as error:
            raise CurateError(
                f"{self.folder}: cannot be written ({error.strerror}); {_ADVICE}"
            ) from None
        for _ in range(2):
            try:
                return self._connected()
            except sqlite3.Error as error:
                if not _is_damage(error) or self.folder is None:
                    raise self._unusable(error) from None
                self._move_aside()
        raise CurateError(f"{self._path}: is damaged again and again; {_ADVICE}")

    def _connected(self) -> sqlite3.Connection:
        """An open database with our tables and nothing else in it."""
        database = sqlite3.connect(
            self._path, timeout=_BUSY, isolation_level=None, check_same_thread=False
        )
        try:
            for pragma in ("trusted_schema = OFF", "cell_size_check = ON"):
                database.execute(f"PRAGMA {pragma}")
            _write_ahead(database)
            database.execute("BEGIN IMMEDIATE")
            for create in _TABLES.values():
                database.execute(create.replace("TABLE", "TABLE IF NOT EXISTS", 1))
            database.execute("COMMIT")
            # A view or a trigger of a stranger would act on what is written.
            made = database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
            if dict(made.fetchall()) != _TABLES:
                raise sqlite3.DatabaseError("holds other tables than ours")
            database.text_factory = bytes  # a stranger's value of another kind is no error
        except BaseException:
            database.close()
            raise
        return database

    def _begin_anew(self) -> None:
        self._database.close()
        if self.folder is not None:
            self._move_aside()
        self._database = self._connected()

    def _move_aside(self) -> None:
        """Put a damaged database out of the way, unless another process just did."""
        from filelock import FileLock

        assert self.folder is not None
        with FileLock(self.folder / "answers.lock"):
            try:
                database = self._connected()
                damage = database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok"
                database.close()
            except sqlite3.Error as error:
                damage = _is_damage(error)
            if not damage:
                return
            number = 1 + len(list(self.folder.glob("answers.damaged-*.sqlite")))
            aside = self.folder / f"answers.damaged-{number}.sqlite"
            for end in ("-wal", "-shm", ""):
                part = self.folder / f"{FILE}{end}"
                if part.exists():
                    part.replace(aside.with_name(f"{aside.name}{end}"))
        self.notices.append(
            f"{self._path} was damaged: it is moved to {aside.name}, and what it held is asked anew"
        )

    def _unusable(self, error: sqlite3.Error) -> CurateError:
        return CurateError(f"{self._path}: cannot keep answers ({error}); {_ADVICE}")


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


def _value_of(answer: Answer) -> bytes:
    return orjson.dumps(
        [
            answer.text,
            answer.probabilities,
            answer.bound,
            answer.model,
            answer.finish,
            answer.tokens_in,
            answer.tokens_out,
        ]
    )


def _answer_of(value: list[Any]) -> Answer:
    text, probabilities, *rest = value
    return Answer(text, tuple(probabilities), *rest)


def _batches(keys: Iterable[bytes], size: int) -> Iterable[list[bytes]]:
    rest = iter(keys)
    while some := list(islice(rest, size)):
        yield some
