"""Whatever the parts and the workers, a run writes the same bytes."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from curate.base.parts import PartSize
from curate.pipeline import recipe
from curate.pipeline.engine import engine_of
from curate.runs import Plan, start
from tests.parted import digest, write_dump


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dump(tmp_path_factory.mktemp("dump") / "dump.jsonl")


@pytest.fixture(scope="module")
def expected(dump: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return run(dump, tmp_path_factory.mktemp("expected") / "RUN", 50_000, 1)


def run(dump: Path, out: Path, rows: int, workers: int) -> str:
    with closing(engine_of(workers)) as engine:
        start(dump, Plan(recipe.load(None), engine, out=out, size=PartSize(rows)))
    assert not [path for path in out.parent.iterdir() if path != out]
    return digest(out)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("rows", [2_000, 50_000])
def test_parts_and_workers_change_no_byte(
    dump: Path, expected: str, tmp_path: Path, rows: int, workers: int
) -> None:
    assert run(dump, tmp_path / "RUN", rows, workers) == expected


def test_the_set_has_what_could_go_wrong(dump: Path, tmp_path: Path) -> None:
    run(dump, tmp_path / "RUN", 2_000, 1)
    manifest = json.loads((tmp_path / "RUN" / "manifest.json").read_text())
    counts = {step["name"]: step["dropped"] + step["edited"] for step in manifest["steps"]}
    assert manifest["counts"]["rejects"] and all(
        counts[name] for name in ("strip_end_token", "exact", "near", "quality")
    )
