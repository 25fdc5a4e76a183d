"""The folder of a suite: all numbers, all answers; and where answers wait until it is whole.

While a suite runs, answers are added to a hidden file beside the folder. A run into the same folder
goes on with them, and with those of the folder itself: what an answer depends on is in its key.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from curate.base.folder import atomic_folder, is_made_by, write_manifest, writing
from curate.base.replacing import Kind, check_replaced
from curate.evals.suite_files import SuiteFile
from curate.evals.suite_model import Measured
from curate.evals.suite_results import SuiteEvaluation, SuiteOptions
from trainer.after.suite.asking import Kept, read_kept

MAKER = "curate eval --suite"
NUMBERS, ANSWERS = "eval.json", "answers.jsonl"


def settings_of(manifest: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What an evaluation was made with; it may be a stranger's manifest."""
    given = manifest.get("settings")
    known = given.items() if isinstance(given, dict) else ()
    return {"": {str(name): str(value) for name, value in known}}


KIND = Kind(MAKER, "evaluation", settings_of)


def waiting(out: str | PathLike[str]) -> Path:
    """Where the answers are kept of a suite that has not ended."""
    place = Path(out).absolute()
    return place.with_name(f".{place.name}.{ANSWERS}")


@contextmanager
def opened(
    out: str | PathLike[str], force: bool, inputs: Sequence[str], about: Mapping[str, Any]
) -> Iterator[tuple[Path, Kept, str | None]]:
    """A folder to write into, which appears when it is whole, and the answers that there are.

    Third comes what is to be said of an earlier evaluation there. `about` is what the manifest
    will say. Raises `CurateError` where it would harm anything, or replace one of other data.
    """
    replaced = check_replaced(out, KIND, about, force)
    with atomic_folder(out, MAKER, force, inputs, (NUMBERS, ANSWERS)) as folder:
        earlier = [Path(out) / ANSWERS] if is_made_by(Path(out), MAKER) else []
        yield folder, Kept(waiting(out), read_kept([*earlier, waiting(out)])), replaced


def about(
    files: Sequence[SuiteFile], models: Sequence[str], options: SuiteOptions
) -> dict[str, Any]:
    """What the manifest says of inputs and settings."""
    return {
        "sources": [{"source": each.name, "sha256": each.sha256} for each in files],
        "settings": {
            "models": ", ".join(models),
            **{name: str(value) for name, value in dataclasses.asdict(options).items()},
        },
    }


def write(
    folder: Path, found: SuiteEvaluation, measured: Sequence[Measured], about: Mapping[str, Any]
) -> None:
    """Write the numbers and the answers, model by model and in the order of the rows."""
    text = json.dumps(found.as_dict(), indent=2, ensure_ascii=False) + "\n"
    lines = [f"{one.line(each.result.model)}\n" for each in measured for one in each.answers]
    with writing(folder):
        (folder / NUMBERS).write_bytes(text.encode("utf-8", "replace"))
        (folder / ANSWERS).write_bytes("".join(lines).encode("utf-8"))
        write_manifest(folder, MAKER, about)


def forget(out: str | PathLike[str]) -> None:
    """Remove the file of answers, all of which are in the folder now."""
    waiting(out).unlink(missing_ok=True)
