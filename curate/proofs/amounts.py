"""Sets at several amounts of trained tokens: where do more stop helping?"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from curate.base import spelling
from curate.base.errors import CurateError
from curate.base.folder import write_atomic, writing
from curate.base.log import Log
from curate.base.spelling import option, shares_of
from curate.pipeline.run_folder import RunFolder
from curate.proofs import page, proof_folder
from curate.proofs.amount_results import AmountProof, judge_amounts
from curate.proofs.axes import TOKENS, Axis
from curate.proofs.cells import SELECTED, Cell
from curate.proofs.design import Design
from curate.proofs.matching import TOLERANCE, Amount, amount
from curate.proofs.mixtures import mixtures, share_of
from curate.proofs.options import BASE, ProveOptions
from curate.proofs.prepared import PlannedSet, Prepared
from curate.proofs.preparing import prepare, unmatched
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
    """The same targets and settings at each value of what is varied, ascending.

    `main` is that of all sets. Where shares are varied the baselines are the same at all of them,
    and are trained once.
    """

    at: Mapping[float, Prepared]
    main: Prepared
    axis: Axis = TOKENS

    @property
    def names(self) -> tuple[str, ...]:
        """The sets: selected rows and baselines."""
        return (SELECTED, *self.main.baselines)

    def called(self, baseline: str, value: float) -> str:
        """The name of a set at a value, as its cells have it."""
        is_one = self.axis.is_share and baseline != SELECTED
        return baseline if is_one else at_amount(baseline, value)

    @property
    def sets(self) -> tuple[PlannedSet, ...]:
        """Every set, seed and value; names of sets have their value behind them."""
        return tuple(
            dataclasses.replace(
                each,
                matched=dataclasses.replace(
                    each.matched, baseline=self.called(each.matched.baseline, value)
                ),
            )
            for value, prepared in self.at.items()
            for each in prepared.sets
        )

    @property
    def plan(self) -> dict[str, Any]:
        """What is laid down before anything is trained; plain values."""
        one = "a share" if self.axis.is_share else "an amount"
        steps = f"each set: {one} minus the next smaller one, and the largest minus the smallest"
        plan = self.main.plan
        design = plan["design"]
        return {
            **plan,
            "design": {**design, "families": {**design["families"], "amounts": steps}},
            "amounts": [dataclasses.asdict(each.amount) for each in self.at.values()],
            "sweep": {self.axis.name: list(self.at)},
            "sets": [each.as_dict() for each in self.sets],
        }

    @property
    def schedule(self) -> Schedule:
        """A training for each set, seed and value."""
        one = schedule_of(self.main)
        return dataclasses.replace(one, plan=self.plan, sets=self.sets)


def at_amount(baseline: str, value: float) -> str:
    """The name of a set at an amount or a share.

    >>> at_amount("random", 25_000), at_amount("selected", 0.1)
    ('random.25000', 'selected.0.1')
    """
    return f"{baseline}.{value}"


def prepare_amounts(run: Path, options: ProveOptions, design: Design, log: Log) -> PreparedAmounts:
    """Read and match for the largest amount first, then for the others. Raises `CurateError`.

    All steps hold about as many tokens, those of the smallest amount, so that amounts differ in how
    many steps there are. Draws are nested: what a seed draws for an amount is in all larger ones.
    """
    largest = prepare(run, options, design, log)
    found: dict[float, Prepared] = {tokens: _at(largest, tokens) for tokens in options.amounts[:-1]}
    found[options.amounts[-1]] = largest
    steps = [each.amount.steps for each in found.values()]
    if len({*steps}) < len(steps):
        raise CurateError(
            f"{spelling.amounts(*options.amounts)}: these are "
            f"{', '.join(map(str, steps))} steps of {options.batch_tokens:,.0f} trained tokens, "
            "so two are the same training; name amounts that are further apart, or set a smaller "
            "batch_tokens"
        )
    return PreparedAmounts(found, largest)


def prepare_sweep(run: Path, options: ProveOptions, design: Design, log: Log) -> PreparedAmounts:
    """What is prepared for amounts, or for shares."""
    if options.group is not None:
        return prepare_shares(run, options, design, log)
    return prepare_amounts(run, options, design, log)


def prepare_shares(run: Path, options: ProveOptions, design: Design, log: Log) -> PreparedAmounts:
    """The selected rows mixed anew for each share, at the same tokens. Raises `CurateError`.

    Without an amount it is what all shares can give, times the passes that are asked for. No row of
    a mixture is in it twice.
    """
    assert options.group is not None
    found = mixtures(RunFolder.open(run), options.group, options.shares)
    one = unmatched(run, options, design, log)
    most = min(each.most(one.selected) for each in found)
    given = shares_of(options.group, *options.shares)
    for each in found:
        each.check(one.selected, options.tokens or 1, most, given)
    own = amount(most, options.tokens, options.epochs, options.batch_tokens)
    at: dict[float, Prepared] = {}
    for each in found:
        mixed = dataclasses.replace(one, amount=own, mixture=each, notices=(), baselines=())
        at[each.share] = mixed
    _check_apart(at, given)
    first = dataclasses.replace(at[found[0].share], baselines=one.baselines)
    first = dataclasses.replace(first, notices=(*one.notices, *first.off, *first.shared))
    return PreparedAmounts({**at, found[0].share: first}, first, Axis(options.group))


def _check_apart(at: Mapping[float, Prepared], given: str) -> None:
    """Raise `CurateError` where two shares are the same sets, as rows are whole."""
    rows = {share: tuple(each.matched.rows for each in one.sets) for share, one in at.items()}
    for smaller, larger in pairwise(rows):
        if rows[smaller] == rows[larger]:
            raise CurateError(
                f"{given}: {smaller:.9g} and {larger:.9g} are the very same sets, as rows are "
                f"whole; name shares that are further apart, or raise {option('tokens')}"
            )


def _at(largest: Prepared, tokens: int) -> Prepared:
    """The same for a smaller amount. What is off by whole rows is said."""
    options = largest.options
    own = int(largest.selected.tokens.sum())
    smaller: Amount = amount(own, tokens, options.epochs, options.batch_tokens)
    return dataclasses.replace(largest, amount=smaller, notices=())


def prove_sweep(
    run: Path, options: ProveOptions, design: Design, how: Running, log: Log
) -> AmountProof:
    """See `curate.prove_amounts` and `curate.prove_shares`."""
    prepared = prepare_sweep(run, options, design, log)
    check_scorers(prepared.main, how)
    for line in notices_of(prepared):
        log(line)
    command = command_of(run, options, design, how.out)
    with done(prepared.schedule, how, command, sweep_lines(prepared), log) as (folder, cells):
        return _concluded(prepared, folder, cells, command, log)


def sweep_lines(prepared: PreparedAmounts) -> list[str]:
    """The sets at each value as lines."""
    if not prepared.axis.is_share:
        return [line for each in prepared.at.values() for line in set_lines(each)]
    made = []
    for value, each in prepared.at.items():
        first, *lines = set_lines(each)
        made += [f"at {prepared.axis.long(value)}: {first}", *lines]
    return made


def _asked(
    prepared: PreparedAmounts, by_name: Mapping[str, Sequence[Cell]], folder: Path, log: Log
) -> dict[float, list[Asked]]:
    """What scorers say of the answers of the selected rows' models and of others, by value."""
    found: dict[float, list[Asked]] = {value: [] for value in prepared.at}
    pairs = {
        (value, name): list(
            zip(
                by_name[prepared.called(SELECTED, value)],
                by_name[prepared.called(name, value)],
                strict=True,
            )
        )
        for value in prepared.at
        for name in prepared.main.baselines
    }
    every = [pair for each in pairs.values() for pair in each]
    for scorer, outcomes in ask(prepared.main, every, folder, log):
        for value, asked in found.items():
            own = {
                (name, pair[1].seed): outcomes[key_of(pair)]
                for name in prepared.main.baselines
                for pair in pairs[value, name]
            }
            asked.append(Asked(scorer.kind, scorer.name, own))
    return found


def notices_of(prepared: PreparedAmounts) -> Iterator[str]:
    """What a user should know of the sets; at other values, how far their tokens are off."""
    yield from prepared.main.notices
    for value, each in prepared.at.items():
        if each is not prepared.main:
            yield from (f"at {_at_value(prepared.axis, value)}, {line}" for line in each.off)
        yield from _share_lines(each)


def _at_value(axis: Axis, value: float) -> str:
    return axis.long(value) if axis.is_share else f"{value:,} tokens"


def _share_lines(prepared: Prepared) -> Iterator[str]:
    """A mixture whose share is not the one asked for, as rows are whole."""
    if prepared.mixture is None:
        return
    pool, mixture = prepared.selected, prepared.mixture
    made = [
        share_of(each.matched.rows, mixture.rows, pool.rows, pool.tokens)
        for each in prepared.sets
        if each.matched.baseline == SELECTED
    ]
    far = max(made, key=lambda share: abs(share - mixture.share))
    if abs(far - mixture.share) > TOLERANCE:
        yield (f"{mixture.share:g} of {mixture.group}: up to {far:.3f} in a set, as rows are whole")


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
        value: [
            dataclasses.replace(cell, baseline=name)
            for name in prepared.names
            for cell in by_name[prepared.called(name, value)]
        ]
        for value in prepared.at
    }
    asked = _asked(prepared, by_name, folder, log)
    proof = judge_amounts(found, prepared.main.design, asked, base, prepared.axis)
    before = {name: bits_per_byte(target) for name, target in base.targets.items()}
    values = {"plan": prepared.plan, "before_training": before, **proof.as_dict()}
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    about = about_page(prepared.main, prepared.plan, base, command)
    about["notices"] = [*proof.step_lines(), *notices_of(prepared), before_line(base)]
    about["curves"] = [proof.curve]
    with writing(folder):
        write_atomic(folder / proof_folder.PROOF, text)
        page.write_page(proof.largest, about, folder / proof_folder.PAGE)
    return proof
