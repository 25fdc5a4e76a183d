"""A run on Ray writes the bytes of any other, and what goes wrong there is one sentence."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

import curate
from curate.base.errors import CurateError
from curate.base.parts import PartSize
from curate.pipeline import recipe
from curate.pipeline.engine import engine_of
from curate.runs import Plan, start
from tests.parted import digest, write_dump
from tests.test_workers import Breaks, Deadly, Square

pytest.importorskip("ray", reason="needs the extra ray")
pytestmark = pytest.mark.slow

_RAY = "import sys; from ray.scripts.scripts import main; sys.argv[0] = 'ray'; main()"
_SECRET = "5e" * 32
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_TOKEN": _SECRET, "RAY_AUTH_MODE": "token"}


@dataclass(frozen=True)
class Slow:
    """Gives its item back, after a second."""

    def __call__(self, item: int) -> int:
        time.sleep(1)
        return item

    def about(self, item: int) -> str:
        return f"item {item}"


class Cluster(NamedTuple):
    """Nodes of one machine: `address`, and the process ids of each node's raylet."""

    address: str
    nodes: list[int]


def ray_command(folder: Path, *words: str) -> None:
    command = [sys.executable, "-c", _RAY, *words]
    environment = os.environ | _QUIET
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]


def raylets() -> set[int]:
    found = subprocess.run(["pgrep", "-f", "raylet/raylet"], capture_output=True, text=True)
    return {int(line) for line in found.stdout.split()}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("ray")
    # Short, as Ray puts sockets far below it.
    sockets = tempfile.mkdtemp(prefix="curate-test-", dir="/tmp")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    ours = ["--num-cpus=1", "--disable-usage-stats", "--node-ip-address=127.0.0.1"]
    before = raylets()
    head = ["--head", f"--port={port}", "--include-dashboard=false", "--temp-dir", sockets]
    ray_command(folder, "start", *head, *ours)
    first = raylets() - before
    ray_command(folder, "start", "--address", address, *ours)
    second = raylets() - before - first
    yield Cluster(address, [*first, *second])
    ray_command(folder, "stop", "--force")
    shutil.rmtree(sockets, ignore_errors=True)


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", _SECRET)


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dump(tmp_path_factory.mktemp("dump") / "dump.jsonl")


@pytest.fixture(scope="module")
def expected(dump: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("expected") / "RUN"
    with closing(engine_of(1)) as engine:
        start(dump, Plan(recipe.load(None), engine, out=out))
    return digest(out)


def run(dump: Path, out: Path, rows: int, address: str | None = None) -> str:
    with closing(engine_of(2, "ray", address, out.parent)) as engine:
        start(dump, Plan(recipe.load(None), engine, out=out, size=PartSize(rows)))
    assert not [path for path in out.parent.iterdir() if path != out]
    return digest(out)


@pytest.mark.parametrize("rows", [2_000, 5_000])
def test_ray_on_this_machine_changes_no_byte(
    dump: Path, expected: str, tmp_path: Path, rows: int
) -> None:
    assert run(dump, tmp_path / "RUN", rows) == expected


def test_a_cluster_of_two_nodes_changes_no_byte(
    cluster: Cluster, dump: Path, expected: str, tmp_path: Path
) -> None:
    assert run(dump, tmp_path / "RUN", 5_000, cluster.address) == expected


def test_a_node_that_dies_costs_its_items_another_try(
    cluster: Cluster, dump: Path, expected: str, tmp_path: Path
) -> None:
    assert len(cluster.nodes) == 2
    killing = threading.Timer(6, os.kill, (cluster.nodes[1], signal.SIGKILL))
    killing.start()
    assert run(dump, tmp_path / "RUN", 2_000, cluster.address) == expected
    killing.join()


def test_a_cluster_that_goes_away_is_one_sentence_and_nothing_is_lost(
    cluster: Cluster, dump: Path, expected: str, tmp_path: Path
) -> None:
    task, seen = Slow(), []
    with closing(engine_of(1, "ray", cluster.address, tmp_path)) as engine:
        answers = engine.map(task, range(20))
        seen.append(next(answers))
        os.kill(cluster.nodes[0], signal.SIGKILL)
        with pytest.raises(CurateError, match=r"^item \d+: the Ray .* went away; the same command"):
            list(answers)
    assert seen == [0]
    ray_command(tmp_path, "stop", "--force")
    with (
        closing(engine_of(1, "ray", cluster.address, tmp_path)) as engine,
        pytest.raises(CurateError, match=r"^127\S+: nobody answers there \(.*HOST:PORT"),
    ):
        list(engine.map(task, [1]))
    assert run(dump, tmp_path / "RUN", 2_000) == expected


def test_a_worker_that_dies_costs_its_item_another_try(tmp_path: Path) -> None:
    with closing(engine_of(2, "ray")) as engine:
        deadly = Deadly(folder=str(tmp_path), at=3, times=3)
        assert list(engine.map(deadly, range(8))) == [n * n for n in range(8)]
        (tmp_path / "more").mkdir()
        deadly = Deadly(folder=str(tmp_path / "more"), at=1, times=99)
        with pytest.raises(CurateError, match=r"^square of 1: the Ray process .*died 4 times"):
            list(engine.map(deadly, range(3)))
        assert list(engine.map(Square(), [5])) == [25]  # what failed is forgotten


def test_an_error_of_a_task_is_raised_where_its_answer_was_due() -> None:
    with closing(engine_of(2, "ray")) as engine:
        answers = engine.map(Square(), [1, 2, -3, 4])
        assert [next(answers), next(answers)] == [1, 4]
        with pytest.raises(CurateError, match=r"^-3 has no square here$"):
            next(answers)
        assert list(engine.map(Square(), [5])) == [25]
        with pytest.raises(RuntimeError, match="broken glass"):
            list(engine.map(Breaks(), [1]))


def listening() -> set[str]:
    """Addresses (hexadecimal, with their ports) at which some process of this machine listens."""
    tables = (Path("/proc/net") / name for name in ("tcp", "tcp6"))
    lines = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
    return {line[1] for line in lines if line[3] == "0A"}


def test_a_ray_of_our_own_listens_on_loopback_alone_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    (tmp_path / "home").mkdir()
    before, temporary = listening(), set(Path("/tmp").glob("curate-ray-*"))
    with closing(engine_of(2, "ray")) as engine:
        assert list(engine.map(Square(), [3])) == [9]
        new = listening() - before
        loopback = ("0100007F", "0000000000000000FFFF00000100007F", f"{'0' * 24}01000000")
        assert new and {each for each in new if each.split(":")[0] not in loopback} == set()
    assert list(tmp_path.rglob("*")) == [tmp_path / "home"]
    assert set(Path("/tmp").glob("curate-ray-*")) == temporary


def test_code_of_the_users_own_reaches_ray(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "import polars as pl\n"
        "from curate.base.contract import Filter, Judgement\n"
        "@dataclass(frozen=True)\n"
        "class Short(Filter):\n"
        "    name = 'short'\n"
        "    per_row = True\n"
        "    reasons = {'long': 'It is long.'}\n"
        "    def measure(self, records):\n"
        "        return records.select(size=pl.col('prompt').str.len_chars())\n"
        "    def judge(self, measures):\n"
        "        return Judgement.of(measures['size'] < 100, reason='long')\n"
    )
    (tmp_path / "recipe.yaml").write_text("steps: ['mine.py:Short']\n")
    monkeypatch.chdir(tmp_path)
    made = []
    for name in ("processes", "ray"):
        with closing(engine_of(2, name)) as engine:
            plan = Plan(recipe.load("recipe.yaml"), engine, out=Path(name), size=PartSize(2_000))
            start(dump, plan)
        made.append(digest(Path(name)))
    assert made[0] == made[1]


def test_what_no_engine_is_or_reads_is_a_sentence() -> None:
    with pytest.raises(CurateError, match=r"^engine is 'spark'; expected one of processes, ray$"):
        engine_of(2, "spark")
    with pytest.raises(CurateError, match=r"^address is 'there:1', which engine proc"):
        engine_of(2, address="there:1")


def test_a_cluster_needs_a_folder_that_its_nodes_see(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match=r"^address needs out or work, a folder that all nodes"):
        curate.run([{"prompt": "a", "response": "b"}], engine="ray", address="127.0.0.1:1")
