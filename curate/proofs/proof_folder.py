"""PROOF: what was laid down, the targets, a file for each training, and what came of all.

`plan.json` is written before the first training. What scorers say of answers lies beside the cells
that these are in. While a proof is under way, `work` holds what the
trainings need; a proof that was stopped goes on with the cells that are there, and no other plan
may use them.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError, shown
from curate.base.folder import MANIFEST, check_out, locked, write_atomic, writing
from curate.base.places import check_input, check_place
from curate.base.spelling import option
from curate.proofs.cells import Cell, cell_of

MAKER = "curate prove"
PLAN, PROOF, PAGE = "plan.json", "proof.json", "proof.html"
WORK, MODELS = "work", "models"
_NAMES = re.compile(
    rf"{re.escape(PLAN)}|{PROOF}|{PAGE}|{MANIFEST}|(cell|target|scores)\.[\w.-]+\.jsonl?|{WORK}|{MODELS}"
    r"|\..*\.unfinished"
)

_FOLLOWING = ("sets.", "pools.", "amount.")


def plan_hash(plan: Mapping[str, Any]) -> str:
    """What cells say they belong to."""
    return hashlib.sha256(_text(_identity(plan)).encode()).hexdigest()


def _identity(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a plan this one: all but what things are called, for all have hashes."""
    same: dict[str, Any] = json.loads(_text(plan))
    for part in ("run", "model", "template"):
        same[part].pop("name", None)
    for target in same["targets"]:
        target.pop("source", None)
    # Who compares answers changes no training: a finished proof may be asked about.
    same.pop("scorers", None)
    return same


def _text(values: Any) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


@contextmanager
def opened(out: str, inputs: Sequence[str], plan: Mapping[str, Any], force: bool) -> Iterator[Path]:
    """The folder of a proof, with its plan in it; no other run writes to it until the block ends.

    A proof of the same plan is gone on with. Raises `CurateError` for one of another plan, unless
    `force`, and for a folder that holds anything else.
    """
    folder = _place(out, inputs)
    with locked(folder):
        is_other = not goes_on(out, inputs, plan, force)
        with writing(out):
            if is_other:
                _emptied(folder)
            folder.mkdir(exist_ok=True)
            write_atomic(folder / PLAN, _text(plan))
        yield folder


def _place(out: str, inputs: Sequence[str]) -> Path:
    """The folder to write to. Raises `CurateError` where that could harm an input."""
    folder = check_place(out)
    for name in inputs:
        check_input(out, folder, name, (PLAN,))
    return folder


def goes_on(out: str, inputs: Sequence[str], plan: Mapping[str, Any], force: bool) -> bool:
    """Whether a proof of this plan lies in a folder; False where one would begin there.

    Raises `CurateError` as `opened` does. Writes nothing.
    """
    folder = _place(out, inputs)
    earlier = _read_plan(folder)
    if earlier is None:
        check_out(out, MAKER, False, inputs)
    is_same = earlier is not None and plan_hash(earlier) == plan_hash(plan)
    if earlier is not None and not is_same and not force:
        raise CurateError(
            f"{out}: holds a proof of another plan ({_changed(earlier, plan)}); choose another "
            f"{option('out')}, or {option('force', True)} to begin anew"
        )
    _check_ours(folder, out)
    return is_same


def _read_plan(folder: Path) -> dict[str, Any] | None:
    """The plan of an earlier proof; None where there is none of ours."""
    path = folder / PLAN
    if path.is_symlink() or not path.is_file():
        return None
    try:
        plan = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(plan, dict) and plan.get("maker") == MAKER
    try:
        return plan if is_ours and _identity(plan) else None
    except (LookupError, TypeError, AttributeError):  # a stranger's
        return None


def _check_ours(folder: Path, out: str) -> None:
    """Raise `CurateError` for a file that no proof writes, and for a link."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    for entry in entries:
        if entry.is_symlink() or not _NAMES.fullmatch(entry.name):
            raise CurateError(
                f"{out}: holds {shown(entry.name)}, which {MAKER} does not write; move it away, or "
                f"choose another {option('out')}"
            )


def _emptied(folder: Path) -> None:
    """Remove all that an earlier proof wrote (`_check_ours` has looked at each name)."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _changed(earlier: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """What differs, by name: the first three."""
    before, now = (dict(_flat("", _identity(each))) for each in (earlier, plan))
    names = [name for name in {**now, **before} if before.get(name) != now.get(name)]
    # These differ wherever anything does that they follow from.
    names.sort(key=lambda name: name.startswith(_FOLLOWING) and name != "amount.asked_for")
    first = [
        f"{name} was {shown(before.get(name), 60)}, now {shown(now.get(name), 60)}"
        for name in names[:3]
    ]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(first) + more


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), each)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, each in enumerate(value):
            yield from _flat(f"{name}.{number}", each)
    else:
        yield name, value


def target_file(folder: Path, name: str) -> Path:
    """Where the rows of a target lie."""
    return folder / f"target.{name}.jsonl"


def work_of(folder: Path, name: str) -> Path:
    """Where a training lies while it is under way."""
    return folder / WORK / name


def keep_model(folder: Path, name: str, model: Path) -> None:
    """Move a model to those that stay."""
    place = folder / MODELS / name
    place.parent.mkdir(exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    model.rename(place)


def _cell_file(folder: Path, baseline: str, seed: int) -> Path:
    return folder / f"cell.{baseline}.{seed}.json"


def write_cell(folder: Path, plan: str, cell: Cell) -> None:
    """Write what came of one training, whole or not at all."""
    values = cell.as_dict()
    content = {"plan": plan, "sha256": content_hash(values), "cell": values}
    with writing(folder):
        write_atomic(_cell_file(folder, cell.baseline, cell.seed), json.dumps(content) + "\n")


def read_cell(folder: Path, plan: str, baseline: str, seed: int) -> Cell | None:
    """What came of a training of this plan; None where it has not been, or its file is damaged."""
    try:
        content = json.loads(_cell_file(folder, baseline, seed).read_bytes())
        if content["plan"] != plan or content["sha256"] != content_hash(content["cell"]):
            return None
        return cell_of(content["cell"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def has_cell(folder: Path, baseline: str, seed: int) -> bool:
    """Whether there is a file of that training, whatever is in it."""
    return _cell_file(folder, baseline, seed).is_file()


def scores_file(folder: Path, name: str) -> Path:
    """Where scores of answers lie; `name` says whose, and of which answers."""
    return folder / f"scores.{name}.json"


def write_scores(folder: Path, name: str, of: str, values: Mapping[str, Any]) -> None:
    """Write scores, whole or not at all; `of` is the hash of what they are scores of."""
    content = {"of": of, "sha256": content_hash(values), "scores": values}
    with writing(folder):
        write_atomic(scores_file(folder, name), json.dumps(content) + "\n")


def read_scores(folder: Path, name: str, of: str) -> dict[str, Any]:
    """The scores of these answers by this scorer; nothing where there are none, or damaged ones."""
    try:
        content = json.loads(scores_file(folder, name).read_bytes())
        if content["of"] != of or content["sha256"] != content_hash(content["scores"]):
            return {}
        return dict(content["scores"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}


def content_hash(values: Mapping[str, Any]) -> str:
    """A hash of plain values."""
    # As it is read again: lists for tuples.
    plain = json.dumps(json.loads(json.dumps(values)), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()
