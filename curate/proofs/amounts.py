"""Sets at several amounts of trained tokens: where do more stop helping?"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.base import spelling
from curate.base.errors import CurateError
from curate.base.folder import write_atomic, writing
from curate.base.log import Log
from curate.proofs import page, proof_folder
from curate.proofs.amount_results import AmountProof, judge_amounts
from curate.proofs.cells import SELECTED, Cell
from curate.proofs.design import Design
from curate.proofs.matching import Amount, amount
from curate.proofs.options import BASE, ProveOptions
from curate.proofs.preparing import PlannedSet, Prepared, prepare
from curate.proofs.runner import (
    about_page,
    ask,
    before_line,
    bits_per_byte,
    check_scorers,
    command_of,
    schedule_of,
    set_lines,
)
from curate.proofs.schedule import Running, Schedule, done
from curate.proofs.scored_answers import key_of
from curate.proofs.verdicts import Asked


@dataclasses.dataclass(frozen=True)
class PreparedAmounts:
    """The same rows, targets and settings at each amount, ascending, by the tokens asked for."""

    at: Mapping[int, Prepared]

    @property
    def largest(self) -> Prepared:
        """What is prepared for the largest amount."""
        return self.at[max(self.at)]

    @property
    def names(self) -> tuple[str, ...]:
        """The sets: selected rows and baselines."""
        return (SELECTED, *self.largest.baselines)

    @property
    def sets(self) -> tuple[PlannedSet, ...]:
        """Every set, seed and amount; names of sets have their amount behind them."""
        return tuple(
            dataclasses.replace(
                each,
                matched=dataclasses.replace(
                    each.matched, baseline=at_amount(each.matched.baseline, tokens)
                ),
            )
            for tokens, prepared in self.at.items()
            for each in prepared.sets
        )

    @property
    def plan(self) -> dict[str, Any]:
        """What is laid down before anything is trained; plain values."""
        steps = "each set: an amount minus the next smaller one, and the largest minus the smallest"
        plan = self.largest.plan
        design = plan["design"]
        return {
            **plan,
            "design": {**design, "families": {**design["families"], "amounts": steps}},
            "amounts": [dataclasses.asdict(each.amount) for each in self.at.values()],
            "sweep": {"tokens": list(self.at)},
            "sets": [each.as_dict() for each in self.sets],
        }

    @property
    def schedule(self) -> Schedule:
        """A training for each set, seed and amount."""
        one = schedule_of(self.largest)
        return dataclasses.replace(one, plan=self.plan, sets=self.sets)


def at_amount(baseline: str, tokens: int) -> str:
    """The name of a set at an amount, as its cells have it.

    >>> at_amount("random", 25_000)
    'random.25000'
    """
    return f"{baseline}.{tokens}"


def prepare_amounts(run: Path, options: ProveOptions, design: Design, log: Log) -> PreparedAmounts:
    """Read and match for the largest amount first, then for the others. Raises `CurateError`.

    All steps hold about as many tokens, those of the smallest amount, so that amounts differ in how
    many steps there are. Draws are nested: what a seed draws for an amount is in all larger ones.
    """
    largest = prepare(run, options, design, log)
    found = {tokens: _at(largest, tokens) for tokens in options.amounts[:-1]}
    found[options.amounts[-1]] = largest
    steps = [each.amount.steps for each in found.values()]
    if len({*steps}) < len(steps):
        raise CurateError(
            f"{spelling.amounts(*options.amounts)}: these are "
            f"{', '.join(map(str, steps))} steps of {options.batch_tokens:,.0f} trained tokens, "
            "so two are the same training; name amounts that are further apart, or set a smaller "
            "batch_tokens"
        )
    return PreparedAmounts(found)


def _at(largest: Prepared, tokens: int) -> Prepared:
    """The same for a smaller amount. What is off by whole rows is said."""
    options = largest.options
    own = int(largest.selected.tokens.sum())
    smaller: Amount = amount(own, tokens, options.epochs, options.batch_tokens)
    return dataclasses.replace(largest, amount=smaller, notices=())


def prove_amounts(
    run: Path, options: ProveOptions, design: Design, how: Running, log: Log
) -> AmountProof:
    """See `curate.prove_amounts`."""
    prepared = prepare_amounts(run, options, design, log)
    check_scorers(prepared.largest, how)
    for line in notices_of(prepared):
        log(line)
    command = command_of(run, options, design, how.out)
    lines = [line for each in prepared.at.values() for line in set_lines(each)]
    with done(prepared.schedule, how, command, lines, log) as (folder, cells):
        return _concluded(prepared, folder, cells, command, log)


def _asked(
    prepared: PreparedAmounts, by_name: Mapping[str, Sequence[Cell]], folder: Path, log: Log
) -> dict[int, list[Asked]]:
    """What scorers say of the answers of the selected rows' models and of others, by amount."""
    found: dict[int, list[Asked]] = {tokens: [] for tokens in prepared.at}
    pairs = {
        tokens: [
            pair
            for name in prepared.largest.baselines
            for pair in zip(
                by_name[at_amount(SELECTED, tokens)], by_name[at_amount(name, tokens)], strict=True
            )
        ]
        for tokens in prepared.at
    }
    every = [pair for each in pairs.values() for pair in each]
    for scorer, outcomes in ask(prepared.largest, every, folder, log):
        for tokens, own in pairs.items():
            named = {
                (other.baseline.removesuffix(f".{tokens}"), other.seed): outcomes[key_of(pair)]
                for pair in own
                for other in pair[1:]
            }
            found[tokens].append(Asked(scorer.kind, scorer.name, named))
    return found


def notices_of(prepared: PreparedAmounts) -> Iterator[str]:
    """What a user should know of the sets; of smaller amounts, how far their tokens are off."""
    yield from prepared.largest.notices
    for tokens, each in prepared.at.items():
        if each is not prepared.largest:
            yield from (f"at {tokens:,} tokens, {line}" for line in each.off)


def _concluded(
    prepared: PreparedAmounts, folder: Path, cells: Sequence[Cell], command: str, log: Log
) -> AmountProof:
    """The verdicts of all cells, as values and as a page."""
    (base,) = (cell for cell in cells if cell.baseline == BASE)
    log(before_line(base))
    by_name: dict[str, list[Cell]] = {}
    for cell in cells:
        by_name.setdefault(cell.baseline, []).append(cell)
    found = {
        tokens: [
            dataclasses.replace(cell, baseline=name)
            for name in prepared.names
            for cell in by_name[at_amount(name, tokens)]
        ]
        for tokens in prepared.at
    }
    proof = judge_amounts(
        found, prepared.largest.design, _asked(prepared, by_name, folder, log), base
    )
    before = {name: bits_per_byte(target) for name, target in base.targets.items()}
    values = {"plan": prepared.plan, "before_training": before, **proof.as_dict()}
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    about = about_page(prepared.largest, prepared.plan, base, command)
    about["notices"] = [*proof.step_lines(), *notices_of(prepared), before_line(base)]
    about["curves"] = [proof.curve]
    with writing(folder):
        write_atomic(folder / proof_folder.PROOF, text)
        page.write_page(proof.largest, about, folder / proof_folder.PAGE)
    return proof
