"""What an evaluation of labels found, as lines for a terminal or a log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from curate.base.terminal import printable_line
from curate.evals.labels import LabelEvaluation, ModelLabels
from trainer.evaluation.classes import Difference, Interval, Report
from trainer.evaluation.label_choice import SCORINGS

# With more classes a table of all pairs is wider than a terminal.
WIDEST = 12
_NAME = 28


def lines(found: LabelEvaluation) -> list[str]:
    """Models side by side, then each class and the confusion of the first model."""
    first = found.models[0]
    out = [*_about(found), "", *_models(found), "", *_classes(first)]
    if len(found.classes) <= WIDEST:
        out += ["", *_confusion(first)]
    else:
        out += ["", f"confusion of {len(found.classes)} classes: see --out or --json"]
    return out


def _about(found: LabelEvaluation) -> Iterator[str]:
    options = found.options
    yield (
        f"{_shown(found.data, 80)}: {_rows(len(found.truth))} of {len(found.classes)} classes; "
        f"scoring {options.scoring}: {SCORINGS[options.scoring]}"
    )
    if options.prior == "even":
        yield "prior even: what a model gives a class over all rows is taken from its score"
    if found.left_out:
        reasons = Counter(one.reason for one in found.left_out)
        shown = ", ".join(f"{count:,} {name}" for name, count in sorted(reasons.items()))
        one = found.left_out[0]
        yield (
            f"{_rows(len(found.left_out))} left out ({shown}), such as row {one.row}: "
            f"{printable_line(one.message)}"
        )
    absent = found.majority.absent
    if absent:
        names = ", ".join(_shown(name) for name in absent[:5])
        more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
        yield f"no row has {names}{more}: listed, and left out of macro-F1"


def _models(found: LabelEvaluation) -> Iterator[str]:
    names = [_shown(each.model) for each in found.models]
    always = f"always '{_shown(found.commonest)}'"
    ahead = [f"{names[0]} - {name}" for name in names[1:]]
    width = max(map(len, (*names, always, *ahead)))
    yield f"{'':{width}}  {'accuracy':26}  {'macro-F1':26}  invalid  label mass"
    for name, each in zip(names, found.models, strict=True):
        yield _model_line(f"{name:{width}}", each.report, each.mass)
    yield _model_line(f"{always:{width}}", found.majority, None)
    for name, each in zip(ahead, found.models[1:], strict=True):
        if each.ahead is not None:
            yield f"{name:{width}}  {_difference(each.ahead)}"
    yield "in brackets: 95 % intervals over rows drawn again; another training run is not in them"


def _model_line(name: str, report: Report, mass: float | None) -> str:
    shown = "" if mass is None else f"{mass:10.3f}"
    measures = f"{report.accuracy!s:26}  {report.macro_f1!s:26}"
    return f"{name}  {measures}  {report.invalid:7,}  {shown}".rstrip()


def _difference(ahead: Difference) -> str:
    return f"{_signed(ahead.accuracy):26}  {_signed(ahead.macro_f1):26}".rstrip()


def _signed(one: Interval) -> str:
    if one.low is None or one.high is None:
        return f"{one.value:+.3f}"
    return f"{one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f})"


def _classes(of: ModelLabels) -> Iterator[str]:
    names = [_shown(one.name) for one in of.report.classes]
    width = max(len("class"), *map(len, names))
    yield f"{_shown(of.model)}, each class:"
    yield f"{'class':{width}}  precision  recall     f1  support  predicted"
    for name, one in zip(names, of.report.classes, strict=True):
        yield (
            f"{name:{width}}  {_share(one.precision, 9)}  {_share(one.recall, 6)}  "
            f"{_share(one.f1, 5)}  {one.support:7,}  {one.predicted:9,}"
        )


def _confusion(of: ModelLabels) -> Iterator[str]:
    names = [_shown(one.name, 16) for one in of.report.classes]
    columns = [*names, "invalid"]
    width = max(map(len, names))
    yield f"{_shown(of.model)}, rows by class (down) and answer (across):"
    yield f"{'':{width}}  {'  '.join(columns)}"
    for name, counts in zip(names, of.report.confusion, strict=True):
        yield f"{name:{width}}  {'  '.join(_cells(counts, columns))}"


def _cells(counts: Sequence[int], columns: Sequence[str]) -> Iterator[str]:
    return (f"{count:>{len(name)}}" for count, name in zip(counts, columns, strict=True))


def _share(value: float | None, width: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}.3f}"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _shown(text: str, limit: int = _NAME) -> str:
    """A stranger's text on one line, cut in the middle of a long one."""
    line = printable_line(text)
    return line if len(line) <= limit else f"...{line[3 - limit :]}"
