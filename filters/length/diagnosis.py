"""The numbers about a set's lengths, and what follows from them in plain words.

The thresholds are those of published sets: Alpaca, Dolly and LIMA pass, the 1,000 longest
answers of Alpaca are flagged.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

WARN_C10, FLAG_C10 = 0.20, 0.35
NARROW_SPREAD = 0.45  # sd of log(1 + l)
BLIND_ETA2 = 0.02  # adjusted eta^2: below, and inside the null's 95 %, length ignores the task
FEW_FOR_ETA2 = 200  # with fewer rows "inside the null" says nothing
FEW_ROWS = 20  # with fewer rows no share means anything
WALL_SHARE, WALL_ROWS = 0.01, 5
EXPLAINED_ETA2 = 0.5  # adjusted eta^2 from which the task says where answers are short

# What sentences call the texts whose lengths these are.
NAMES = {"response": "responses", "turn": "average turns", "prompt": "prompts"}

Verdict = Literal["pass", "warn", "flag"]

# Every reason a verdict can have, with one sentence for the docs and the report.
REASONS = {
    "concentrated": (
        f"more than {WARN_C10:.0%} of the rows lie within 10 % of one length, or within 1 of one"
        " below nine"
    ),
    "narrow": f"the spread of log(1 + length) is below {NARROW_SPREAD}",
    "task_blind": "the task group explains no more of the length than chance does",
    "wall": f"{WALL_SHARE:.0%} of the rows or more stop in mid-sentence at one length",
}


@dataclass(frozen=True)
class GroupLengths:
    """The lengths of one task group."""

    group: str
    rows: int
    quantiles: dict[str, int]
    concentration: float
    spread: float


@dataclass(frozen=True)
class Diagnosis:
    """Every number about the lengths of a set, and what follows from them.

    `concentration` (C10) is the largest share of rows within 10 % of one length,
    `concentration_at` that length, `concentration_floor` the least that these lengths allow.
    Below nine, where 10 % is nothing, `short_concentration` is the largest share of rows within 1
    of one length, which have `short_low` to `short_high`; `short_same` that of one length alone,
    and `short_asked` the share of the former whose requests ask for a length.
    `spread` and `spread_within` are the standard deviation of log(1 + length) overall and within
    groups; `eta2` is the share of its variance that the task group explains, `eta2_null`
    and `eta2_null95` the mean and 95 % quantile under random assignment, `eta2_adjusted` what is
    left of it after chance. `wall` is the share of rows that stop unfinished at `wall_at`;
    `wall_stands_out` where that is more than the answers of other lengths let expect. The score
    correlations are Spearman's, overall and within
    groups, of the score that came with the rows. None: not measurable here. `of` is whose lengths
    these are, one of `NAMES`.
    """

    unit: str
    rows: int
    mean: float
    maximum: int
    quantiles: dict[str, int]
    concentration: float
    concentration_at: int
    concentration_floor: float
    spread: float
    spread_within: float
    eta2: float | None = None
    eta2_null: float | None = None
    eta2_null95: float | None = None
    eta2_adjusted: float | None = None
    wall: float | None = None
    wall_at: int | None = None
    wall_stands_out: bool = False
    score_correlation: float | None = None
    score_correlation_within: float | None = None
    short_concentration: float = 0.0
    short_low: int = 0
    short_high: int = 0
    short_same: float = 0.0
    short_asked: float | None = None
    of: str = "response"
    groups: tuple[GroupLengths, ...] = field(default=(), repr=False)
    verdict: Verdict = "pass"
    reasons: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts, ready for JSON."""
        plain = dataclasses.asdict(self)
        for name in ("groups", "reasons", "sentences"):
            plain[name] = list(plain[name])
        return plain

    @property
    def texts(self) -> str:
        """What has these lengths."""
        return NAMES[self.of]

    def teaches(self, follows: str) -> str:
        """What follows for a model from the lengths of answers; of prompts nothing does."""
        return "" if self.of == "prompt" else f": a model trained on this {follows}"


def judged(found: Diagnosis) -> Diagnosis:
    """The diagnosis with its verdict, reasons and sentences.

    Flagged: concentration above 0.35, or a wall, or two weaker signs that agree. One weak sign
    only warns: a set of mathematics, say, is narrow for good reason, and so are short answers that
    were asked for, or that the task group explains. Under 20 rows: pass.
    """
    if not found.rows:
        return dataclasses.replace(found, sentences=(f"There are no {found.texts} to measure.",))
    if found.rows < FEW_ROWS:
        few = f"{found.rows} {found.texts} are too few to judge their lengths."
        return dataclasses.replace(found, sentences=(few,))
    signs: list[tuple[str, str]] = []
    if found.concentration > WARN_C10:
        signs.append(("concentrated", _concentrated(found)))
    if _is_short(found):
        signs.append(("concentrated", _short(found)))
    if found.spread < NARROW_SPREAD:
        signs.append(("narrow", _narrow(found)))
    if _ignores_task(found):
        signs.append(("task_blind", _blind(found)))
    if _is_wall(found):
        signs.append(("wall", _walled(found)))
    strong = found.concentration > FLAG_C10 or _is_wall(found) or _is_strongly_short(found)
    slugs = tuple(dict.fromkeys(slug for slug, _ in signs))
    verdict: Verdict = "flag" if strong or len(slugs) > 1 else "warn" if slugs else "pass"
    return dataclasses.replace(
        found,
        verdict=verdict,
        reasons=slugs,
        sentences=tuple(sentence for _, sentence in signs) or (_fine(found),),
    )


def _ignores_task(found: Diagnosis) -> bool:
    if found.eta2 is None or found.eta2_null95 is None or found.eta2_adjusted is None:
        return False
    inside = found.eta2 <= found.eta2_null95 and found.eta2_adjusted < BLIND_ETA2
    return inside and found.rows >= FEW_FOR_ETA2


def _is_wall(found: Diagnosis) -> bool:
    share = found.wall or 0.0
    enough = share >= WALL_SHARE and round(share * found.rows) >= WALL_ROWS
    return enough and found.wall_stands_out


def _is_short(found: Diagnosis) -> bool:
    return found.short_concentration > WARN_C10


def _is_strongly_short(found: Diagnosis) -> bool:
    return (
        _is_short(found)
        and found.short_concentration > FLAG_C10
        and not _are_asked(found)
        and not _task_explains(found)
    )


def _are_asked(found: Diagnosis) -> bool:
    return found.of != "prompt" and (found.short_asked or 0.0) >= 0.5


def _task_explains(found: Diagnosis) -> bool:
    return found.of != "prompt" and (found.eta2_adjusted or 0.0) >= EXPLAINED_ETA2


def units(low: int, high: int, unit: str) -> str:
    """`1 word`, `3 words`, `1 to 3 words`."""
    if low < high:
        return f"{low:,} to {high:,} {unit}"
    return f"{low:,} {unit.removesuffix('s') if low == 1 else unit}"


def _percent(share: float | None, digits: int = 0) -> str:
    return f"{100 * (share or 0.0):.{digits}f} %"


def _concentrated(found: Diagnosis) -> str:
    strong = found.concentration > FLAG_C10
    follows = "stops there whatever the task" if strong else "is biased towards that length"
    low, high = -(-9 * found.concentration_at // 10), 11 * found.concentration_at // 10
    return (
        f"{_percent(found.concentration)} of the {found.texts} have {low:,} to {high:,}"
        f" {found.unit}{found.teaches(follows)}."
    )


def _short(found: Diagnosis) -> str:
    if _are_asked(found):
        follows = f"; {_percent(found.short_asked)} of their requests ask for a length"
    elif _task_explains(found):
        follows = (
            f"; the task group explains {_percent(found.eta2)} of the variation in length, so that"
            " a model can learn where answers are so short"
        )
    elif found.short_concentration > FLAG_C10:
        follows = found.teaches("answers so briefly whatever the task")
    else:
        follows = found.teaches("is biased towards such short answers")
    lengths = units(found.short_low, found.short_high, found.unit)
    return f"{_percent(found.short_concentration)} of the {found.texts} have {lengths}{follows}."


def _narrow(found: Diagnosis) -> str:
    low, high = found.quantiles["0.1"], found.quantiles["0.9"]
    return (
        f"Eight of ten {found.texts} have {units(low, high, found.unit)} (spread"
        f" {found.spread:.2f} on the log scale; varied sets have about 1.2)."
    )


def _blind(found: Diagnosis) -> str:
    return (
        f"The task group explains {_percent(found.eta2, 1)} of the variation in length, no more"
        f" than chance does ({_percent(found.eta2_null, 1)})."
    )


def _walled(found: Diagnosis) -> str:
    return (
        f"{_percent(found.wall, 1)} of the {found.texts} stop in mid-sentence at {found.wall_at:,}"
        f" {found.unit}: they were cut off at a limit."
    )


def _fine(found: Diagnosis) -> str:
    middle = found.quantiles["0.5"]
    most = max(found.concentration, found.short_same)
    return (
        f"Lengths are varied: the median is {units(middle, middle, found.unit)}, and at most"
        f" {_percent(most)} of the {found.texts} lie within 10 % of one length."
    )
