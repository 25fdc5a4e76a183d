"""Steps, rows and runs for the tests of the report, and a page read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from curate import sources
from curate.base.contract import Filter, Findings, Fix, Judgement, verdicts
from curate.pipeline import run_writer
from curate.pipeline.recipe import Recipe
from curate.pipeline.run_folder import RunFolder
from curate.pipeline.runner import run as run_steps
from curate.pipeline.steps import Step
from curate.report import html


@dataclass(frozen=True)
class SameStart(Filter):
    """Drops a response that an earlier row begins with the same word."""

    name: ClassVar[str] = "same start"
    reasons: ClassVar[Mapping[str, str]] = {"same_start": "an earlier row begins with this word"}

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        return records.select(word=pl.col("response").str.split(" ").list.first())

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """See `Filter.judge`."""
        return Judgement(self._verdicts(measures))

    def _verdicts(self, measures: pl.DataFrame) -> pl.DataFrame:
        first = measures.select(pl.col("row").first().over("word")).to_series()
        keep = first == measures["row"]
        reason = ["same_start" if not kept else None for kept in keep]
        others = [None if kept else row for kept, row in zip(keep, first, strict=True)]
        return verdicts(keep, reason=reason, duplicate_of=others)


@dataclass(frozen=True)
class Words(Filter):
    """Drops a response that holds a word, with the word as evidence and its length as score."""

    name: ClassVar[str] = "words"
    reasons: ClassVar[Mapping[str, str]] = {"bad_word": "the response holds the word"}
    word: str = "sorry"
    reason: str = "bad_word"

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        found = pl.col("response").str.contains(self.word, literal=True)
        return records.select(found=found, size=pl.col("response").str.len_chars())

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """See `Filter.judge`."""
        return Judgement(self._verdicts(measures))

    def _verdicts(self, measures: pl.DataFrame) -> pl.DataFrame:
        found = measures["found"]
        reason = [self.reason if bad else None for bad in found]
        evidence = [self.word if bad else None for bad in found]
        return verdicts(~found, reason=reason, score=measures["size"], evidence=evidence)


@dataclass(frozen=True)
class EveryRowItsReason(Filter):
    """Drops every row but the first, each for a reason of its own."""

    name: ClassVar[str] = "flood"
    reasons: ClassVar[Mapping[str, str]] = {}

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        return records.select("line")

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """See `Filter.judge`."""
        return Judgement(self._verdicts(measures))

    def _verdicts(self, measures: pl.DataFrame) -> pl.DataFrame:
        keep = measures["row"] == 0
        return verdicts(keep, reason=measures.select(pl.format("reason {}", "row")).to_series())


@dataclass(frozen=True)
class Upper(Fix):
    """Writes the word `quiet` in capitals."""

    name: ClassVar[str] = "upper"
    reasons: ClassVar[Mapping[str, str]] = {"was_quiet": "the word was in small letters"}

    def fix(self, records: pl.DataFrame) -> pl.DataFrame:
        has = pl.col("response").str.contains("quiet", literal=True)
        contents = pl.element().struct.field("content").str.replace_all("quiet", "QUIET")
        messages = pl.col("messages").list.eval(pl.element().struct.with_fields(content=contents))
        return records.with_columns(
            messages=pl.when(has).then(messages).otherwise("messages"),
            edited=pl.when(has).then(pl.lit("was_quiet")),
        )


def row(prompt: str, response: str, **more: Any) -> str:
    return json.dumps({"prompt": prompt, "completion": response, **more})


def make(
    folder: Path,
    lines: list[str],
    *steps: Step,
    name: str = "dump.jsonl",
    recipe: str = "steps: []",
) -> RunFolder:
    """A run over these lines of one file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    dump = sources.read([str(folder / name)])
    result = run_steps(dump.records, steps)
    out = folder / "RUN"
    out.mkdir(exist_ok=True)
    run_writer.write(out, dump, result, Recipe("test", 0, steps, recipe))
    return RunFolder(out)


class Page(HTMLParser):
    """The elements, attributes and visible text of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.marked: list[str] = []
        self._open: list[str] = []
        self._text: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._open.append(tag)
        if tag in ("td", "th", "dt", "dd", "span", "a"):
            self._text.append(" ")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self._text.append(data)
        if "mark" in self._open:
            self.marked.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self._text).split())


def page(run: RunFolder) -> Page:
    return Page(html(run))


SMALL = [
    row("What is the sea?", "Water as far as one can see."),
    row("What is a pond?", "Water in a garden."),
    "not json",
    row("Who are you?", "I am sorry, I cannot say."),
    row("And rain?", "Drops of water that fall."),
]


STEPS = (Step("start", SameStart()), Step("words", Words()))


HOSTILE = "</style></script><script>alert(1)</script>{{ 7 * 7 }}{% raw %}\"'><img src=x onerror=a>"


@dataclass(frozen=True)
class Tells(Words):
    """Words that also finds numbers and sentences."""

    numbers: Mapping[str, Any] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """See `Filter.judge`."""
        return Judgement(self._verdicts(measures), Findings(self.sentences, self.numbers))
