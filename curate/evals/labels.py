"""Models as classifiers of the same labelled rows, side by side, with intervals."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.base.errors import CurateError
from curate.base.log import Log
from curate.evals.label_data import Encoder, LabelData
from trainer.after import chat, labels
from trainer.after.labels import Classified
from trainer.data.labelled import LabelledRows, LeftOut
from trainer.evaluation import classes as measures
from trainer.evaluation.classes import INVALID, RESAMPLES, Difference, Report
from trainer.evaluation.label_choice import SCORINGS, Prior, Scoring

if TYPE_CHECKING:
    from trainer.data.rows import Ints


@dataclasses.dataclass(frozen=True)
class LabelOptions:
    """How rows are classified, and how often they are drawn again for the intervals.

    `base` is what an adapter goes on where it is not the one that it names, of the first model.
    """

    scoring: Scoring = "sum"
    prior: Prior = "model"
    base: str | None = None
    device: str = "auto"
    seed: int = 0
    resamples: int = RESAMPLES


@dataclasses.dataclass(frozen=True)
class ModelLabels:
    """One model's classes for the rows, and how right they are.

    `mass` is the mean probability that its answer is a label at all (None for `generate`).
    `ahead` is how far the first model is ahead of it, None for the first.
    """

    model: str
    classified: Classified
    report: Report
    mass: float | None
    ahead: Difference | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without what is known of each row."""
        return {
            "model": self.model,
            **self.report.as_dict(),
            "label_mass": self.mass,
            "first_is_ahead": None if self.ahead is None else dataclasses.asdict(self.ahead),
            "read": None
            if self.classified.reading is None
            else dataclasses.asdict(self.classified.reading),
        }


@dataclasses.dataclass(frozen=True)
class LabelEvaluation:
    """What models make of labelled rows; `models[0]` is the one that was asked for.

    `truth` [rows] are numbers of `classes`. `majority` is how right it is to answer the commonest
    class always, which `commonest` names. `notices` say what was assumed or left out.
    """

    data: str
    classes: tuple[str, ...]
    numbers: Ints
    ids: tuple[str, ...]
    truth: Ints
    models: tuple[ModelLabels, ...]
    majority: Report
    commonest: str
    left_out: tuple[LeftOut, ...]
    options: LabelOptions
    notices: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: all but the rows, which `row_dicts` gives."""
        reasons = Counter(one.reason for one in self.left_out)
        return {
            "data": self.data,
            "rows": len(self.truth),
            "left_out": dict(sorted(reasons.items())),
            "classes": list(self.classes),
            "prior": dict(zip(self.classes, self.priors(), strict=True)),
            "scoring": self.options.scoring,
            "corrected_for": self.options.prior,
            "seed": self.options.seed,
            "resamples": self.options.resamples,
            "models": [each.as_dict() for each in self.models],
            "majority": {"class": self.commonest, **self.majority.as_dict()},
            "notices": list(self.notices),
        }

    def priors(self) -> list[float]:
        """Each class's share of the rows."""
        found = np.bincount(self.truth, minlength=len(self.classes)) / len(self.truth)
        return [float(share) for share in found]

    def row_dicts(self) -> list[dict[str, Any]]:
        """Each row: its label, and what every model made of it."""
        return [self._row(place) for place in range(len(self.truth))]

    def _row(self, place: int) -> dict[str, Any]:
        return {
            "row": int(self.numbers[place]),
            "id": self.ids[place],
            "label": self.classes[self.truth[place]],
            "models": [_of_row(each, place, self.classes) for each in self.models],
        }


def _of_row(of: ModelLabels, place: int, classes: Sequence[str]) -> dict[str, Any]:
    found = of.classified
    number = int(found.predicted[place])
    row: dict[str, Any] = {
        "model": of.model,
        "predicted": None if number == INVALID else classes[number],
    }
    if found.nats is not None:
        row["log_p"] = dict(zip(classes, (-found.nats[place]).tolist(), strict=True))
    if found.answers is not None:
        row["answer"] = found.answers[place]
    return row


def evaluate(
    models: Sequence[str], data: LabelData, options: LabelOptions, log: Log
) -> LabelEvaluation:
    """Classify the rows with every model, the first of which is compared with each other.

    All models are measured on the same rows: what one cannot take is left out for all. Raises
    `CurateError` for what cannot be evaluated.
    """
    check_options(options)
    given, found, notices = [], [], list[str]()
    encoder = Encoder(data, notices.append)
    for number, model in enumerate(models):
        log(f"loading {model}")
        base = options.base if number == 0 else None
        talker = chat.load(model, base, options.device, with_template=False)
        rows = labels.fitting(talker, encoder.rows(model, talker))
        if not len(rows):
            raise CurateError(f"{data.name}: no row is left to classify: {rows.why_left_out()}")
        given.append(rows)
        found.append(labels.classify(talker, rows, options.scoring, options.prior, log=log))
        notices += _about(model, rows, found[-1], options.scoring)
    return _together(models, data, options, given, found, notices)


def check_options(options: LabelOptions) -> None:
    """Raise `CurateError` for options that are none, or do not go together."""
    if options.scoring not in SCORINGS:
        raise CurateError(f"scoring is {options.scoring!r}; expected {', '.join(SCORINGS)}")
    if options.prior == "even" and options.scoring not in ("sum", "mean"):
        raise CurateError(
            f"prior even needs a score for every class, and scoring {options.scoring} gives none; "
            "take sum or mean"
        )


def _about(model: str, rows: LabelledRows, found: Classified, scoring: Scoring) -> list[str]:
    """What a reader should know of how a model was scored."""
    if scoring == "generate" and found.answers is not None:
        return _nearly(model, rows, found, found.answers)
    if found.reading is not None and not found.reading.shares_prompts:
        return [f"{model}: each label was read with its prompt, as this model shares no prompts"]
    return []


def _nearly(model: str, rows: LabelledRows, found: Classified, answers: Sequence[str]) -> list[str]:
    """How many invalid answers are a class but for case and what stands around it."""
    known = {name.strip().casefold() for name in rows.classes}
    plain = [text.strip().strip(".,;:!\"'*`").strip().casefold() for text in answers]
    near = [text for text, number in zip(plain, found.predicted, strict=True) if number == INVALID]
    count = sum(text in known for text in near)
    if not count:
        return []
    return [f"{model}: {count:,} invalid answers are a class but for case or punctuation"]


def _together(
    models: Sequence[str],
    data: LabelData,
    options: LabelOptions,
    given: Sequence[LabelledRows],
    found: Sequence[Classified],
    notices: list[str],
) -> LabelEvaluation:
    """The rows that every model could take, and how right each is on them."""
    shared = set.intersection(*(set(rows.numbers.tolist()) for rows in given))
    left_out = {one.row: one for rows in given for one in rows.left_out}
    if not shared:
        raise CurateError(f"{data.name}: no row is left that all models can take")
    kept = [[row in shared for row in rows.numbers.tolist()] for rows in given]
    same = [_rows_of(one, np.flatnonzero(keep)) for one, keep in zip(found, kept, strict=True)]
    rows = given[0]
    places = np.flatnonzero(kept[0])
    truth, seed, draws = rows.truth[places], options.seed, options.resamples
    answers = [one.predicted for one in same]
    apart = measures.differences(len(rows.classes), truth, answers, seed, draws)
    every = [
        ModelLabels(
            model,
            one,
            measures.report(rows.classes, truth, one.predicted, seed, draws),
            None if one.mass is None else float(one.mass.mean()),
            ahead,
        )
        for model, one, ahead in zip(models, same, [None, *apart], strict=True)
    ]
    commonest = int(np.bincount(truth, minlength=len(rows.classes)).argmax())
    always = np.full(len(truth), commonest, dtype=np.int64)
    return LabelEvaluation(
        data=data.name,
        classes=rows.classes,
        numbers=rows.numbers[places],
        ids=tuple(rows.ids[place] for place in places.tolist()),
        truth=truth,
        models=tuple(every),
        majority=measures.report(rows.classes, truth, always, seed, draws),
        commonest=rows.classes[commonest],
        left_out=tuple(left_out[row] for row in sorted(left_out)),
        options=options,
        notices=tuple(dict.fromkeys([*data.notices, *notices])),
    )


def _rows_of(found: Classified, places: Ints) -> Classified:
    """What a model makes of the rows at some places."""
    answers = found.answers
    return dataclasses.replace(
        found,
        predicted=found.predicted[places],
        nats=None if found.nats is None else found.nats[places],
        mass=None if found.mass is None else found.mass[places],
        answers=None if answers is None else tuple(answers[place] for place in places.tolist()),
    )
