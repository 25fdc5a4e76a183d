"""The process that speaks to Ray for `curate.pipeline.on_ray`, and what runs on Ray's nodes."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version as version_of
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError, brief, one_line
from curate.base.folder import writing
from curate.base.version import __version__
from curate.pipeline.portable import Pickled, portable, unpickled
from curate.pipeline.workers import RETRIES, follow_parent

# Bytes of the store of a Ray of our own: rows that are in memory pass through it.
_STORE = 512 << 20
# Seconds after which a node that does not answer is given up.
_PATIENCE = 60
# Before Ray is imported.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
# The same for a Ray of our own: else it listens on all interfaces.
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
# The packages whose versions decide on bytes.
_DECIDE = ("polars", "numpy")


class RayFault(CurateError):
    """What became of an item in Ray's hands; it does not name the item."""


@dataclass(frozen=True)
class Asked:
    """Where to work: see `OnRay`."""

    count: int | None  # items at once; None: as many as there are cores
    address: str | None
    shared: Path | None


def drive(connection: Connection, asked: Asked, folder: str) -> None:
    """Answer questions, `(failed, answer)` for each, until the parent ends or is gone.

    `folder` is for the files of a Ray of our own.
    """
    follow_parent()
    _silence()
    driver = Driver(asked, folder)
    while True:
        try:
            what, given = connection.recv()
        except EOFError:
            return
        if what == "end":
            driver.end()
            return
        try:
            message = (False, getattr(driver, what)(*given))
        except Exception as error:
            message = (True, portable(error))
        connection.send(message)


def _silence() -> None:
    """What Ray prints is no sentence of ours; its errors come as exceptions."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


class Driver:
    """Speaks to Ray: items that are given are worked on, and answered in their order."""

    def __init__(self, asked: Asked, folder: str) -> None:
        self._asked, self._folder = asked, folder
        self._waiting: deque[Any] = deque()
        self._ray: Any = None
        self._work: Any = None  # what Ray's processes do
        self._sent: Any = None
        self._name = ""

    def start(self) -> int:
        """Start Ray, or find the cluster; how many items are worked on at once."""
        is_cluster = self._asked.address is not None
        own = {} if is_cluster else _LOOPBACK
        for name, value in (_QUIET | own | _token(is_cluster=is_cluster)).items():
            os.environ.setdefault(name, value)
        import ray

        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if not is_cluster:
            count = self._asked.count or os.cpu_count() or 1
            here = {"num_cpus": count, "object_store_memory": _STORE, "_temp_dir": self._folder}
            with _explained("Ray does not start on this machine"):
                ray.init(address="local", include_dashboard=False, **here, **quiet)
            self._ray = ray
            return count
        where = brief(self._asked.address or "")
        with _explained(f"{where}: cannot work on a Ray cluster there"):
            ray.init(address=self._asked.address, **quiet)
        self._ray = ray
        self._check_nodes()
        return self._asked.count or max(1, int(ray.cluster_resources().get("CPU", 1)))

    def task(self, given: Pickled) -> None:
        """What is done with the items that come."""
        self._name = hashlib.blake2b(given[1], digest_size=16).hexdigest()
        # Once, as Ray stores a function again for each time that it is made one of Ray's.
        self._work = self._work or self._ray.remote(max_retries=RETRIES, num_cpus=1)(_do)
        self._sent = self._ray.put(given)  # once, whatever the number of items

    def item(self, item: Any) -> None:
        """Begin with an item."""
        self._waiting.append(self._work.remote(self._name, self._sent, item))

    def answer(self) -> Any:
        """The answer to the first item that has none yet."""
        errors = self._ray.exceptions
        try:
            failed, answer = self._ray.get(self._waiting.popleft())
        except errors.OutOfMemoryError as error:
            raise RayFault(
                "Ray ended the process that worked on it, as memory is short on its node"
            ) from error
        except (errors.WorkerCrashedError, errors.NodeDiedError) as error:
            raise RayFault(f"the Ray process that worked on it died {RETRIES + 1} times") from error
        except errors.LocalRayletDiedError as error:
            raise RayFault(
                "the Ray node of this machine went away; the same command goes on with what was "
                "done, once the cluster is there again"
            ) from error
        except errors.RayError as error:
            raise RayFault(f"Ray could not do it ({one_line(error)})") from error
        if failed:
            raise answer
        return answer

    def forget(self) -> None:
        """Nobody awaits the answers that are due."""
        while self._waiting:
            with suppress(Exception):  # done already, or its node is gone
                self._ray.cancel(self._waiting.popleft(), force=True)

    def end(self) -> None:
        """Leave the cluster, or end a Ray of our own."""
        if self._ray is not None:
            self._ray.shutdown()

    def _check_nodes(self) -> None:
        """Each node has the versions that are here, and sees the folder that files are in."""
        if self._asked.shared is None:
            return
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

        ray, word = self._ray, secrets.token_hex(8)
        probe = self._asked.shared.absolute() / f".{secrets.token_hex(8)}.probe"
        look = ray.remote(num_cpus=0, max_retries=0)(_look)
        nodes = [node for node in ray.nodes() if node["Alive"]]
        with writing(probe):
            probe.parent.mkdir(parents=True, exist_ok=True)
            probe.write_text(word)
        try:
            there = [On(node["NodeID"], soft=False) for node in nodes]
            asked = [look.options(scheduling_strategy=on).remote(str(probe), word) for on in there]
            for node, reference in zip(nodes, asked, strict=True):
                self._check_node(node["NodeManagerAddress"], reference)
        finally:
            probe.unlink(missing_ok=True)

    def _check_node(self, name: str, reference: Any) -> None:
        errors = self._ray.exceptions
        with _explained(f"the Ray node {name} cannot work for curate {__version__}"):
            try:
                theirs, sees = self._ray.get(reference, timeout=_PATIENCE)
            except (errors.TaskUnschedulableError, errors.NodeDiedError):
                return  # it went away, so it gets no work either
        if theirs != (ours := _versions()):
            raise CurateError(
                f"the Ray node {name} has {_listed(theirs)}, and here is {_listed(ours)}; the same "
                "bytes need the same versions"
            )
        if not sees:
            raise CurateError(
                f"the Ray node {name} does not see {self._asked.shared}; give a folder that all "
                "nodes share: --work DIR"
            )


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """What Ray raises, of whatever class, as one sentence."""
    try:
        yield
    except CurateError:
        raise
    except Exception as error:
        raise CurateError(f"{what} ({brief(one_line(error), 500)})") from error


def _token(*, is_cluster: bool) -> dict[str, str]:
    """What a cluster that asks for a token needs; for a Ray of our own a token of its own.

    Without one in the environment Ray would write one into the home folder.
    """
    is_named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if is_cluster:
        is_known = is_named or (Path.home() / ".ray" / "auth_token").is_file()
        # With an address Ray sends the token that it knows only if it is asked to.
        return {"RAY_AUTH_MODE": "token"} if is_known else {}
    return {} if is_named else {"RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _versions() -> dict[str, str]:
    python = ".".join(map(str, sys.version_info[:2]))
    return {"curate": __version__, "python": python, **{name: version_of(name) for name in _DECIDE}}


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _look(probe: str, word: str) -> tuple[dict[str, str], bool]:
    """On a node: its versions, and whether it sees a file with this word."""
    try:
        sees = Path(probe).read_text() == word
    except OSError:
        sees = False
    return _versions(), sees


# In a process of Ray: the task that it had last, by name.
_known: dict[str, Any] = {}


def _do(name: str, given: Pickled, item: Any) -> tuple[bool, Any]:
    """In a process of Ray: whether it failed, and the answer or the error."""
    try:
        if name not in _known:
            task = unpickled(given)
            _known.clear()
            _known[name] = task
        return False, _known[name](item)
    except Exception as error:
        return True, portable(error)
