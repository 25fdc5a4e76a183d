"""The answers of two sides compared by a scorer: asked once, kept beside the cells they are of.

A scorer that compares is asked about each pair of cells, one that scores about each cell. What it
said lies in a file for each, under a hash of the answers and of the scorer, so that a proof that
was stopped asks nothing twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from curate.base.log import Log
from curate.proofs import proof_folder
from curate.proofs.cells import Cell
from curate.proofs.scorers import NO_ANSWER, Asking, Given, Outcome, Scorer

Pair = tuple[Cell, Cell]  # of the same seed
PairKey = tuple[str, str, int]  # names of both sides, and the seed
ByTarget = dict[str, tuple[Outcome, ...]]  # of the prompts that were answered, in order
SAME, SEVERAL = Outcome(0.5), "several_prompts"


class _Unit(NamedTuple):
    """What lies in one file: the answers of a cell, or of two that are compared."""

    name: str
    cell: Cell
    other: Cell | None

    @property
    def answers(self) -> dict[str, list[list[str]]]:
        """Prompt and answers, by target."""
        cells = [self.cell] if self.other is None else [self.cell, self.other]
        return {
            name: [
                [target.prompts[at], *(cell.targets[name].answers[at] for cell in cells)]
                for at in range(len(target.answers))
            ]
            for name, target in self.cell.targets.items()
        }


def key_of(pair: Pair) -> PairKey:
    """How a pair is called."""
    return pair[0].baseline, pair[1].baseline, pair[0].seed


def outcomes(
    scorer: Scorer,
    pairs: Sequence[Pair],
    records: Mapping[str, pl.DataFrame],
    folder: Path,
    log: Log,
) -> dict[PairKey, ByTarget]:
    """Which side of each pair wins, prompt by prompt; `records` are the rows of each target.

    What is not in `folder` is asked, and what could not be asked before. Raises `CurateError`
    where the scorer cannot be asked at all; what it said until then stays.
    """
    units = _units(scorer, pairs)
    known = {unit.name: _read(folder, scorer, unit) for unit in units}
    missing = [unit for unit in units if any(map(_is_missing, known[unit.name].values()))]
    if missing:
        what = "pairs of models" if scorer.is_pairwise else "models"
        log(
            f"{scorer.kind} {scorer.name}: asked about the answers of {len(missing):,} of "
            f"{len(units):,} {what}"
        )
        rows = {name: _rows(frame) for name, frame in records.items()}
        with scorer.opened(log) as ask:
            for unit in missing:
                known[unit.name] = _asked(unit, known[unit.name], rows, ask, scorer)
                _write(folder, scorer, unit, known[unit.name])
    if scorer.is_pairwise:
        return {key_of(pair): known[_pair_name(pair)] for pair in pairs}
    return {
        key_of(pair): _compared(pair, *(known[_cell_name(each)] for each in pair)) for pair in pairs
    }


def _units(scorer: Scorer, pairs: Sequence[Pair]) -> list[_Unit]:
    if scorer.is_pairwise:
        return [_Unit(_pair_name(pair), *pair) for pair in pairs]
    cells = {_cell_name(cell): cell for pair in pairs for cell in pair}
    return [_Unit(name, cell, None) for name, cell in cells.items()]


def _cell_name(cell: Cell) -> str:
    return f"{cell.baseline}.{cell.seed}"


def _pair_name(pair: Pair) -> str:
    return f"{pair[0].baseline}.{_cell_name(pair[1])}"


def _rows(records: pl.DataFrame) -> dict[int, dict[str, Any]]:
    return {row["row"]: row for row in records.iter_rows(named=True)}


def _place(scorer: Scorer, unit: _Unit) -> tuple[str, str]:
    """The name of a unit's file, and the hash of all that its outcomes depend on."""
    of = proof_folder.content_hash({"scorer": scorer.plan, "answers": unit.answers})
    return f"{scorer.kind}.{unit.name}", of


def _read(folder: Path, scorer: Scorer, unit: _Unit) -> ByTarget:
    """What is known of a unit; an outcome that is still to be asked for has the problem for it."""
    found = proof_folder.read_scores(folder, *_place(scorer, unit))
    return {
        name: _outcomes(found.get(name), len(column), scorer.is_pairwise)
        or (Outcome(None, NO_ANSWER),) * len(column)
        for name, column in unit.answers.items()
    }


def _outcomes(found: Any, count: int, is_pairwise: bool) -> tuple[Outcome, ...] | None:
    """The outcomes in a file; None where these are not so many, or none that we write."""
    if not isinstance(found, list) or len(found) != count:
        return None
    if not all(isinstance(each, list) and _is_outcome(each, is_pairwise) for each in found):
        return None
    return tuple(Outcome(*each) for each in found)


def _is_outcome(values: Sequence[Any], is_pairwise: bool) -> bool:
    """A number (of two answers the share of a win), or a problem in its place."""
    if list(map(type, values[1:])) != [str, bool]:
        return False
    value, problem, _ = values
    if value is None:
        return bool(problem)
    if type(value) is not float:
        return False
    return bool(value in (0.0, 0.5, 1.0) if is_pairwise else math.isfinite(value))


def _write(folder: Path, scorer: Scorer, unit: _Unit, known: ByTarget) -> None:
    values = {name: [list(each) for each in column] for name, column in known.items()}
    proof_folder.write_scores(folder, *_place(scorer, unit), values)


def _is_missing(column: Sequence[Outcome]) -> bool:
    return any(each.problem == NO_ANSWER for each in column)


def _asked(
    unit: _Unit,
    known: ByTarget,
    rows: Mapping[str, Mapping[int, Mapping[str, Any]]],
    ask: Asking,
    scorer: Scorer,
) -> ByTarget:
    """What is known, and the scorer's word on the rest."""
    made = {name: list(column) for name, column in known.items()}
    split = _split_rows(unit)
    places: list[tuple[str, int]] = []
    given: list[Given] = []
    for name, at, each in _open(unit, known):
        key, *answers = each
        if key.split(" #")[0] in split:
            made[name][at] = Outcome(None, SEVERAL)
        elif scorer.is_pairwise and answers[0] == answers[1]:
            made[name][at] = SAME
        else:
            places.append((name, at))
            given.append(Given(rows[name][int(key.split()[0])], *answers))
    for (name, at), outcome in zip(places, ask(given) if given else [], strict=True):
        made[name][at] = outcome
    return {name: tuple(column) for name, column in made.items()}


def _open(unit: _Unit, known: ByTarget) -> Iterator[tuple[str, int, list[str]]]:
    """What is not known: target, place, and prompt with answers."""
    for name, column in unit.answers.items():
        for at, each in enumerate(column):
            if known[name][at].problem == NO_ANSWER:
                yield name, at, each


def _split_rows(unit: _Unit) -> set[str]:
    """Rows with several prompts: which of their answers a key is of, nobody can say by it."""
    prompts = (key for target in unit.cell.targets.values() for key in target.prompts)
    return {key.split(" #")[0] for key in prompts if " #" in key}


def _compared(pair: Pair, one: ByTarget, other: ByTarget) -> ByTarget:
    """Who wins by scores."""
    answers = [{name: each.answers for name, each in cell.targets.items()} for cell in pair]
    return {
        name: tuple(
            _won(one_score, other_score, mine == others)
            for one_score, other_score, mine, others in zip(
                column, other[name], *(each[name] for each in answers), strict=True
            )
        )
        for name, column in one.items()
    }


def _won(one: Outcome, other: Outcome, is_same: bool) -> Outcome:
    if one.value is None or other.value is None:
        return Outcome(None, one.problem or other.problem)
    if is_same:  # a score may have other last digits beside other answers
        return SAME
    return Outcome(0.5 + 0.5 * ((one.value > other.value) - (one.value < other.value)))
