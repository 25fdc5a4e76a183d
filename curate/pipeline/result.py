"""What a run made of its records: who is kept, and every verdict, read part by part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl

from curate.base.contract import Filter
from curate.base.parts import Part, together
from curate.base.schema import RECORDS, with_text
from curate.pipeline import ledger
from curate.pipeline.steps import Step, StepReport
from curate.pipeline.work import Work


@dataclass(frozen=True)
class Result:
    """What became of every record.

    `parts` hold all records as they were last seen (fixes applied), `kept` is a Boolean series of
    the same height, `pages` the names under which `work` has the verdicts of each step, `steps` the
    funnel, `tables` those of the steps' findings, by `STEP.NAME`.
    """

    parts: Sequence[Part]
    kept: pl.Series
    about: pl.DataFrame
    pages: Sequence[tuple[str, str]]
    work: Work
    steps: Sequence[StepReport]
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    @cached_property
    def records(self) -> pl.DataFrame:
        """All records, put together."""
        return together(self.parts, RECORDS)

    @cached_property
    def verdicts(self) -> pl.DataFrame:
        """The ledger, put together."""
        return pl.concat([pl.DataFrame(schema=ledger.LEDGER), *self.ledger()])

    def ledger(self) -> Iterator[pl.DataFrame]:
        """The ledger, some lines at a time."""
        for part in self.parts:
            yield ledger.read_lines(self.about.slice(part.start, part.height))
        for step, name in self.pages:
            for part in self.parts:
                about = self.about.slice(part.start, part.height)
                yield ledger.lines(step, self.work.verdicts(name, part), about)

    def verdicts_on(self, part: Part) -> pl.DataFrame:
        """All that steps decided on the rows of a part: lines of the ledger."""
        about = self.about.slice(part.start, part.height)
        pages = [
            ledger.lines(step, self.work.verdicts(name, part), about) for step, name in self.pages
        ]
        return pl.concat([pl.DataFrame(schema=ledger.LEDGER), *pages])

    def scores_on(self, part: Part) -> pl.DataFrame:
        """All scores that steps gave the rows of a part: `row`, `step`, `score`, by step."""
        found = [ledger.scores(step, self.work.verdicts(name, part)) for step, name in self.pages]
        none = pl.DataFrame(schema={name: ledger.LEDGER[name] for name in ("row", "step", "score")})
        return pl.concat([none, *found], how="diagonal")


def remember(steps: Sequence[Step], result: Result) -> None:
    """Let the steps that keep something beyond the run do so; to be called once it is written."""
    actions = [step.action for step in steps if isinstance(step.action, Filter)]
    keepers = [action for action in actions if type(action).remember is not Filter.remember]
    if keepers:
        kept = with_text(result.records.filter(result.kept))
        for action in keepers:
            action.remember(kept)
