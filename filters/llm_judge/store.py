"""Answers kept between runs in a database: each as it comes, so that a killed run goes on.

Every value carries a checksum made with the user's own secret over its name and content. What is
damaged, was moved to another name or comes from somebody else is as good as absent.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import time
import zlib
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from curate.base.errors import CurateError
from curate.base.user_key import key_of
from filters.llm_judge.database import Database
from filters.llm_judge.question import Answer

FILE = "answers.sqlite"
_DIGEST = 16
_SMALL = 200  # bytes under which compressing saves nothing
_AT_ONCE = 500  # keys in one query


class Answers:
    """What judges answered, under 16-byte keys, in `folder/answers.sqlite`; None: in memory.

    Several threads and processes may use one folder. Raises `CurateError` where it cannot be
    written.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._strangers = False
        self._key = secrets.token_bytes(32)
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CurateError(
                    f"{folder}: cannot be written ({error.strerror}); name another folder with "
                    "CURATE_CACHE"
                ) from None
            self._key = key_of(folder)
        self._is_brief = folder is not None and not _is_kept(folder, self._key)
        path = None if folder is None else folder / FILE
        self._database = Database(path, ("answers", "remembered"), self._is_whole)

    def __reduce__(self) -> tuple[type[Answers], tuple[Path | None]]:
        return Answers, (self.folder,)

    @property
    def notices(self) -> list[str]:
        """What was found damaged or not ours, in sentences."""
        found = list(self._database.notices)
        if self._is_brief:
            found.append(
                f"{self.folder}: its file key is not this user's alone (chmod 600), so no later "
                "run will believe the answers that are kept now"
            )
        if self._strangers:
            where = self._database.path
            found.append(
                f"{where}: answers in it that are damaged or of somebody else are asked anew"
            )
        return found

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """Those of the answers that are kept."""
        return {key: _answer_of(value) for key, value in self._get("answers", keys).items()}

    def put(self, key: bytes, answer: Answer) -> Answer:
        """Keep an answer, for good when this returns.

        Of several the first one is kept, and it is what is given back: runs that ask at once
        decide by the same answers, and so do those after them. Raises `ValueError` for an answer
        with a problem: a failure is no answer.
        """
        if answer.problem:
            raise ValueError("an answer with a problem is never kept as an answer")
        value = self._sealed("answers", key, _value_of(answer))

        def write(database: sqlite3.Connection) -> bytes:
            database.execute("BEGIN IMMEDIATE")
            found = _fetched(database, table="answers", keys=[key])
            if not (found and self._is_whole("answers", *found[0])):
                found = [(key, value)]
                database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", found[0])
            database.execute("COMMIT")
            return found[0][1]

        kept = self._database.do(write)
        return answer if kept == value else _answer_of(_opened(kept))

    def remember(self, name: str, what: Any) -> None:
        """Keep something of JSON's types under a name, with the time."""
        self._put("remembered", name.encode(), [time.time(), what])

    def recall(self, name: str, within: float = float("inf")) -> Any:
        """What was remembered under a name in the last `within` seconds; None if nothing was."""
        found = self._get("remembered", [name.encode()]).get(name.encode())
        return found[1] if found is not None and 0 <= time.time() - found[0] <= within else None

    def forget(self, name: str) -> None:
        """Remember nothing under this name any more."""
        query = "DELETE FROM remembered WHERE key = ?"
        self._database.do(lambda database: database.execute(query, (name.encode(),)))

    def count(self) -> int:
        """How many answers are kept."""
        query = "SELECT count(*) FROM answers"
        return int(self._database.do(lambda database: database.execute(query).fetchone()[0]))

    def close(self) -> None:
        """Close the database; a later use opens it again."""
        self._database.close()

    def _get(self, table: str, keys: Sequence[bytes]) -> dict[bytes, Any]:
        """The values under these keys that this user wrote, whole."""
        found = {}
        for some in _batches(keys, _AT_ONCE):
            for key, value in self._database.do(partial(_fetched, table=table, keys=some)):
                if self._is_whole(table, key, value):
                    found[key] = _opened(value)
                else:
                    self._strangers |= table == "answers"
        return found

    def _put(self, table: str, key: bytes, value: Any) -> None:
        sealed = self._sealed(table, key, orjson.dumps(value))
        query = f"INSERT OR REPLACE INTO {table} VALUES (?, ?)"
        self._database.do(lambda database: database.execute(query, (key, sealed)))

    def _sealed(self, table: str, key: bytes, content: bytes) -> bytes:
        packed = b"z" + zlib.compress(content) if len(content) > _SMALL else b"-" + content
        return self._digest(table, key, packed) + packed

    def _is_whole(self, table: str, key: bytes, value: object) -> bool:
        """Whether this user wrote the value under this key of this table."""
        if not isinstance(value, bytes):
            return False
        return secrets.compare_digest(
            value[:_DIGEST], self._digest(table, key, memoryview(value)[_DIGEST:])
        )

    def _digest(self, table: str, key: bytes, packed: bytes | memoryview) -> bytes:
        digest = hashlib.blake2b(key=self._key, digest_size=_DIGEST)
        digest.update(b"%b %d %b" % (table.encode(), len(key), key))
        digest.update(packed)
        return digest.digest()


def _is_kept(folder: Path, key: bytes) -> bool:
    """Whether a later process will find this secret again."""
    try:
        return (folder / "key").read_bytes() == key
    except OSError:
        return False


def _fetched(
    database: sqlite3.Connection, *, table: str, keys: list[bytes]
) -> list[tuple[bytes, bytes]]:
    marks = ",".join("?" * len(keys))
    query = f"SELECT key, value FROM {table} WHERE key IN ({marks})"
    return database.execute(query, keys).fetchall()


def _opened(value: bytes) -> Any:
    """What stands in a value that is known to be whole."""
    packed = value[_DIGEST:]
    return orjson.loads(zlib.decompress(packed[1:]) if packed[:1] == b"z" else packed[1:])


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
