"""A proof: what was compared, what came of it, and its words and values for others."""

from __future__ import annotations

import dataclasses
from typing import Any

from curate.proofs import sentences
from curate.proofs.answers import Shown
from curate.proofs.comparisons import Comparison
from curate.proofs.design import PRIMARY, Design
from curate.proofs.summaries import Summary
from curate.proofs.win_lines import win_lines
from curate.proofs.win_rates import WinRates


@dataclasses.dataclass(frozen=True)
class Proof:
    """All comparisons of a run.

    `primary` are those of bits per byte, over all targets and on each; `secondary` those of other
    metrics. `summaries` are of the selected rows and of each baseline. Seeds that a baseline lacks
    are left out of all. `answers` are some to be read on the page, `wins` how often the selected
    rows' answers win, by each who was asked. `warnings` are sentences on trainings that went wrong.
    """

    design: Design
    seeds: list[int]
    seeds_left_out: list[int]
    summaries: list[Summary]
    primary: list[Comparison]
    secondary: list[Comparison]
    answers: list[Shown]
    wins: list[WinRates] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def overall(self) -> list[Comparison]:
        """The comparisons that a verdict is about: one for each baseline, over all targets."""
        return [each for each in self.primary if each.target is None]

    def on_targets(self, baseline: str, metric: str = PRIMARY) -> list[Comparison]:
        """One baseline's comparisons, target by target."""
        return [
            each
            for each in (*self.primary, *self.secondary)
            if (each.metric, each.baseline) == (metric, baseline) and each.target is not None
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `proof.json`; the same cells and design give the same."""
        return {
            "design": self.design.as_dict(),
            "seeds": self.seeds,
            "seeds_left_out": self.seeds_left_out,
            "verdicts": {each.baseline: each.verdict for each in self.overall},
            "sentences": self.lines(),
            "baselines": [dataclasses.asdict(each) for each in self.summaries],
            "primary": [each.as_dict() for each in self.primary],
            "secondary": [each.as_dict() for each in self.secondary],
            **({"win_rates": [each.as_dict() for each in self.wins]} if self.wins else {}),
        }

    def sentences(self) -> list[str]:
        """A sentence for each baseline over all targets, and what went wrong."""
        made = sentences.sentences(self.primary, self.summaries, self.seeds)
        return [*made, *self.warnings]

    def lines(self) -> list[str]:
        """What a terminal shows: verdicts, a table of the baselines, what the brackets are."""
        made = [*self.sentences(), *sentences.facts(self.summaries, self.seeds_left_out)]
        return [*made, *(line for each in self.wins for line in ("", *win_lines(each)))]
