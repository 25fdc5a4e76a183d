from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

from curate.base.contract import Filter, Findings, Fix, Judgement
from curate.base.errors import CurateError
from curate.base.parts import Part
from curate.base.schema import RECORDS, TEXTS, with_text
from curate.base.settings import setting
from curate.pipeline.engine import Processes
from curate.pipeline.functions import UserFunction
from curate.pipeline.judging import judge
from curate.pipeline.measuring import Measures
from curate.pipeline.runner import run
from curate.pipeline.steps import Step


@dataclass(frozen=True)
class AtLeast(Filter):
    name: ClassVar[str] = "at-least"
    reasons: ClassVar[Mapping[str, str]] = {"short": "too few characters"}

    characters: int = setting(2, "characters")

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        return records.select(
            length=pl.col("response").str.len_chars(), letters=pl.col("response").str.split("")
        )

    def judge(self, measures: pl.DataFrame) -> Judgement:
        keep = measures["length"] >= self.characters
        return Judgement.of(keep, "short", score=measures["length"])


@dataclass(frozen=True)
class AtMostBy(Filter):
    name: ClassVar[str] = "at-most"
    reasons: ClassVar[Mapping[str, str]] = {"long": "too much"}

    by: str = setting("at-least.length", "column")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.by,)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        return records.select(nothing=pl.col("row") * 0)

    def judge(self, measures: pl.DataFrame) -> Judgement:
        return Judgement.of(measures[self.by] < 5, "long", evidence=measures["id"])


@dataclass(frozen=True)
class Loud(Fix):
    name: ClassVar[str] = "loud"
    reasons: ClassVar[Mapping[str, str]] = {"shouted": "made upper case"}

    def fix(self, records: pl.DataFrame) -> pl.DataFrame:
        loud = pl.element().struct.with_fields(pl.field("content").str.to_uppercase())
        edited = pl.when(pl.col("response") != pl.col("response").str.to_uppercase())
        return records.with_columns(
            pl.col("messages").list.eval(loud), edited=edited.then(pl.lit("shouted"))
        )


def test_read_is_kept_plus_dropped_and_each_drop_has_a_ledger_line(conversation: Any) -> None:
    records = conversation(("q", "a"), ("q", "abc"), ("q", "abcdef"), ("q", ""))
    result = run(records, [Step("at-least", AtLeast()), Step("at-most", AtMostBy())])
    assert result.kept.to_list() == [False, True, False, False]
    drops = result.verdicts.filter(verdict="drop").select("row", "step", "reason", "score")
    assert drops.rows() == [
        (0, "at-least", "short", 1.0),
        (3, "at-least", "short", 0.0),
        (2, "at-most", "long", None),
    ]
    assert [(step.rows, step.kept, step.dropped) for step in result.steps] == [(4, 2, 2), (2, 1, 1)]
    assert result.steps[0].reasons == {"short": 2}


def test_every_record_has_a_ledger_line_even_without_any_step(conversation: Any) -> None:
    result = run(conversation(("q", "a"), ("q", "b")), [])
    assert result.verdicts.select("row", "step", "verdict").rows() == [
        (0, "read", "keep"),
        (1, "read", "keep"),
    ]
    assert result.kept.all()


def test_a_fix_edits_drops_nothing_and_gives_the_new_text_a_new_id(conversation: Any) -> None:
    records = conversation(("Q", "a"), ("Q", "B"))
    result = run(records, [Step("loud", Loud()), Step("at-least", AtLeast(characters=1))])
    assert result.kept.all()
    assert with_text(result.records)["response"].to_list() == ["A", "B"]
    changed = [old != new for old, new in zip(records["id"], result.records["id"], strict=True)]
    assert changed == [True, False]
    edits = result.verdicts.filter(verdict="edited").select("row", "reason", "id").rows()
    assert edits == [(0, "shouted", records["id"][0])]
    assert result.steps[0].edited == 1


def test_a_step_that_needs_a_column_nobody_measured_says_which(conversation: Any) -> None:
    steps = [Step("at-least", AtLeast()), Step("at-most", AtMostBy(by="at-least.lenght"))]
    with pytest.raises(CurateError, match=r"'at-least.lenght'.*did you mean 'at-least.length'"):
        run(conversation(("q", "abc")), steps)


def test_drops_without_a_reason_break_the_contract(conversation: Any) -> None:
    class Silent(AtLeast):
        def judge(self, measures: pl.DataFrame) -> Judgement:
            return Judgement.of([False] * measures.height)

    with pytest.raises(AssertionError, match="without a reason"):
        run(conversation(("q", "abc")), [Step("silent", Silent())])


@dataclass(frozen=True)
class Odd(Filter):
    """Gives back whatever it is told to."""

    name: ClassVar[str] = "odd"
    reasons: ClassVar[Mapping[str, str]] = {}
    what: str = setting("", "the method that gives back a list")
    marks: bool = setting(True, "marks as a column")

    def measure(self, records: pl.DataFrame) -> Any:
        return [1] if self.what == "measure" else records.select("row").rename({"row": "at"})

    def judge(self, measures: pl.DataFrame) -> Any:
        verdicts = Judgement.of([True] * measures.height).verdicts
        marks: Any = [True] * measures.height
        if self.marks:
            marks = pl.Series(marks)
        return [1] if self.what == "judge" else Judgement(verdicts, from_text=marks, quoted=marks)

    def evidence(self, *given: Any) -> Any:
        return [1] if self.what == "evidence" else given[0]["response"]

    def quote(self, findings: Any, *given: Any) -> Any:
        return [1] if self.what == "quote" else findings


@pytest.mark.parametrize(
    ("filter_", "says"),
    [
        (Odd("measure"), "measure gave list; expected pl.DataFrame"),
        (Odd("judge"), "judge gave list; expected Judgement with Findings"),
        (Odd("evidence"), "evidence gave list; expected pl.Series"),
        (Odd("quote"), "quote gave list; expected Findings"),
        (Odd(marks=False), "from_text is no Boolean pl.Series"),
    ],
)
def test_what_a_method_gives_back_must_be_of_its_type(
    conversation: Any, filter_: Odd, says: str
) -> None:
    with pytest.raises(CurateError, match=f"step 'odd' breaks the contract of a filter: {says}"):
        run(conversation(("a", "b")), [Step("odd", filter_)])


@dataclass(frozen=True)
class Guesses(Filter):
    """Measures numbers, and leaves to polars what type they are."""

    name: ClassVar[str] = "guesses"
    reasons: ClassVar[Mapping[str, str]] = {"no_number": "The answer is no number."}
    cached: ClassVar[bool] = True
    measured_by: ClassVar[tuple[str, ...]] = ()

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        texts = records["response"]
        return pl.DataFrame({"number": [float(t) if t.isdecimal() else None for t in texts]})

    def judge(self, measures: pl.DataFrame) -> Judgement:
        keep = measures["number"].is_not_null()
        return Judgement.of(keep, "no_number", measures["number"])


def test_a_part_in_which_nothing_was_found_may_be_of_another_type(conversation: Any) -> None:
    records = conversation(("a", "one"), ("b", "two"), ("c", "3"), ("d", "four"), ("e", "5"))
    parts = [Part(0, 0, 2, records[:2]), Part(1, 2, 2, records[2:4]), Part(2, 4, 1, records[4:])]
    result = run(parts, [Step("guesses", Guesses())])
    assert result.kept.to_list() == [False, False, True, False, True]


def test_one_filter_is_judged_alone_as_a_run_judges_it(conversation: Any) -> None:
    records = conversation(("q", "a"), ("q", "abcdef"))
    alone = judge(AtMostBy(), records, **{"at-least__length": [1, 6]})
    assert alone.verdicts["keep"].to_list() == [True, False]
    assert alone.measures.columns[-2:] == ["at-least.length", "nothing"]
    assert alone.findings.sentences == ()


@dataclass(frozen=True)
class Counting(AtLeast):
    reads: ClassVar[tuple[str, ...]] = TEXTS

    found: Any = None
    quoted: bool = False

    def judge(self, measures: pl.DataFrame) -> Judgement:
        findings = Findings(numbers={} if self.quoted else {"found": self.found})
        marks = [self.quoted] * measures.height
        return Judgement.of([True] * measures.height, findings=findings, quoted=marks)

    def quote(self, findings: Findings, *given: Any) -> Findings:
        return Findings(numbers={"found": self.found})


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("found", [np.int64(3), {"a": [np.zeros(2)]}, {1, 2}, b"text"])
def test_findings_that_are_no_json_break_the_contract(
    conversation: Any, found: Any, quoted: bool
) -> None:
    records = conversation(("q", "a"), ("q", "abcdef"))
    step = Counting(found=found, quoted=quoted)
    says = "step 'at-least' breaks the contract of a filter: its findings have numbers that are no"
    for work in (lambda: judge(step, records), lambda: run(records, [Step("at-least", step)])):
        with pytest.raises(CurateError, match=says):
            work()
    assert judge(Counting(found=[1, 2.5, "a"]), records).findings.numbers["found"] == [1, 2.5, "a"]


@pytest.mark.parametrize(
    ("drop", "says"),
    [
        ({"reason": "odd", "evidence": ["x"]}, "reasons it does not declare: {'odd'}"),
        ({"reason": "short"}, "drops without evidence"),
        ({"reason": ["short"], "keep": [True]}, "were kept and yet have a reason"),
        ({"keep": [None]}, "a row was neither kept nor dropped"),
        ({"keep": [True, True]}, "judge changed the number of rows"),
    ],
)
def test_a_filter_judged_alone_must_explain_every_drop(
    conversation: Any, drop: dict[str, Any], says: str
) -> None:
    class Odd(AtLeast):
        def judge(self, measures: pl.DataFrame) -> Judgement:
            return Judgement.of(**{"keep": [False], **drop})

    with pytest.raises(AssertionError, match=says):
        judge(Odd(), conversation(("q", "abc")))


def test_a_reason_that_no_file_can_hold_is_spelt_out(conversation: Any) -> None:
    result = run(conversation(("a", "b")), [Step("mine", UserFunction(lambda _: "bad\ud800", "m"))])
    assert result.steps[0].reasons == {"bad\\ud800": 1}


def test_a_function_is_given_every_column_of_one_record(conversation: Any) -> None:
    given: list[dict[str, Any]] = []

    def seen(record: dict[str, Any]) -> bool | str:
        given.append(record)
        return True if record["response"] == "a" else "not_a"

    step = UserFunction(seen, "seen")
    result = run(conversation(("q", "a"), ("q", "b")).select(RECORDS.names()), [Step("seen", step)])
    assert result.steps[0].reasons == {"not_a": 1}
    assert list(given[0]) == [*RECORDS.names(), *TEXTS]
    assert [message["role"] for message in given[0]["messages"]] == ["user", "assistant"]


def test_any_number_of_processes_measures_the_same(
    conversation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curate.pipeline import measuring
    from filters.language.filter import Language

    monkeypatch.setattr(measuring, "SPREAD_FROM", 2)
    monkeypatch.setattr(measuring, "LOOPED", 2)
    records = conversation(*[("Question?", f"This is the answer number {n}.") for n in range(9)])
    alone = Language().measure(records)
    with closing(Processes(2)) as two:
        part, keys = Part(0, 0, 9, records), records.select("row", "id")
        spread = Measures(two).of("language", Language(), [part], keys, np.ones(9, bool))
    assert spread.equals(alone)
