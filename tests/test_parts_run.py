"""Whatever the parts and the workers, a run writes the same bytes."""

from __future__ import annotations

import hashlib
import json
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from curate.base.parts import PartSize
from curate.pipeline import recipe
from curate.pipeline.engine import engine_of
from curate.runs import Plan, start

ROWS = 6_000
_WORDS = [f"w{n}" for n in range(300)]


def lines() -> list[str]:
    """Rows with duplicates, near duplicates, faults, wrappers, tags of their own, and rejects."""
    chance, made = random.Random(5), list[str]()
    for number in range(ROWS):
        text = " ".join(chance.choices(_WORDS, k=chance.randint(3, 40)))
        row: dict[str, Any] = {"instruction": f"Write about {text}?", "output": f"About {text}."}
        kind = number % 20
        if kind == 1:
            row = json.loads(made[-1]) if made[-1].startswith("{") else row
        elif kind == 2 and made[-1].startswith("{"):
            row = json.loads(made[-1])
            row["output"] = row.get("output", "") + " Indeed so."
        elif kind == 3:
            row["output"] = ""
        elif kind == 4:
            row["output"] += "</s>"
        elif kind == 5:
            row["score"] = number / 7
        elif kind == 6:
            row["output"] = "Я не знаю, что сказать об этом, но попробую." + text
        made.append("no row" if kind == 7 else json.dumps(row, ensure_ascii=False))
    return made


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dump") / "dump.jsonl"
    path.write_text("\n".join(lines()) + "\n", "utf-8")
    return path


def digest(run: Path) -> str:
    """One hash of all that a run wrote, but for how long it took."""
    whole = hashlib.sha256()
    for path in sorted(run.iterdir()):
        data = path.read_bytes()
        if path.name == "report.html":
            continue  # it shows the seconds
        if path.name == "manifest.json":
            manifest = json.loads(data)
            del manifest["seconds"]
            data = json.dumps(manifest).encode()
        whole.update(path.name.encode() + data)
    return whole.hexdigest()


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
