"""Is the set in one format? Delimiters of chat templates inside texts, and style that only some
rows have.

What a template adds at rendering must not be in the texts, or it is there twice; and a wrapper
that some rows have and others lack (a prompt that ends in `###`, an answer that begins with
`Answer:`) teaches nothing but noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import polars as pl

from curate.base.contract import Filter, Findings, Judgement
from curate.base.settings import setting
from filters.common.cases import Case, first_case
from filters.fixes.rewrite import WRAPPERS
from filters.quality.markers import MARKERS, markers
from filters.quality.patterns import ROLE_MARKER, matches
from filters.quality.turns import Turns, turns_of

# What a text may be wrapped in: a last or first line of marks only, or a label with a colon.
_TAIL = r"(?:\n|\s)((?:#{2,}|-{2,}>|={2,}>?|>{2,}|\*{3,})[ \t]*:?)\s*\z"
_LABEL = (
    r"(?:Answer|Response|Output|Solution|Assistant|A|AI|Bot|Question|Instruction|Prompt|Input"
    r"|Query|User|Q|Task)"
)
_TAIL_LABEL = rf"\n\s*((?:#+ ?)?{_LABEL}:)\s*\z"
_HEAD = rf"\A\s*((?:#+ ?)?{_LABEL}:|>{{2,}})"
_MARKDOWN = r"(?m)^#{1,6} \S|^\s*[-*+] \S|^\s*```|\*\*[^*\n]+\*\*|^\|.*\|\s*$"

MARK = 60  # characters of a mark that count
SHOWN = 20  # wrappers in the manifest; all stand in the table `wrappers`

# Where a wrapper may stand: side of the conversation and end of the text.
PLACES: Mapping[str, tuple[str, str]] = {
    "prompt_start": ("a prompt begins with", "prompts begin with"),
    "prompt_end": ("a prompt ends with", "prompts end with"),
    "answer_start": ("an answer begins with", "answers begin with"),
    "answer_end": ("an answer ends with", "answers end with"),
}


Reason = Literal[
    "wrapped_prompt", "foreign_marker", "role_marker", "odd_wrapper", "missing_wrapper"
]


class _Style(NamedTuple):
    """A wrapper that counts: where it is, its mark, its share of rows, and whether most have it."""

    place: str
    mark: str
    share: float
    usual: bool


@dataclass(frozen=True)
class Format(Filter):
    """Find delimiters of chat templates in the texts, and wrappers that only some rows have.

    Delimiters are judged row by row; wrappers by the whole set. One that most rows have is the
    set's style, and the rows without it are the odd ones; any other is odd itself.
    """

    name: ClassVar[str] = "format"
    reasons: ClassVar[Mapping[str, str]] = {
        "wrapped_prompt": "A user message is a whole prompt of a template, wrapper and all.",
        "foreign_marker": "A delimiter or control token of a chat template is in a message.",
        "role_marker": "Turns of another conversation (Human:, Assistant:) inside one message.",
        "odd_wrapper": "The text begins or ends with a mark or label that few other rows have.",
        "missing_wrapper": "The text lacks the mark or label that most other rows have.",
    }

    reads: ClassVar[tuple[str, ...]] = ("messages", "tools")
    version: ClassVar[int] = 2

    action: Literal["report", "drop"] = setting(
        "report", "what to do with rows that have a finding"
    )
    off: tuple[Reason, ...] = setting((), "reasons that are ignored")
    most: float = setting(
        0.5,
        "share of rows, 0.5 to 1, above which a wrapper is the style of the set",
        low=0.5,
        below=1,
    )
    min_rows: int = setting(5, "rows that a wrapper needs before it counts as one", low=1)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """Family of the first marker, a wrapped prompt's template, written-out turns, and style.

        `prompt_start` and so on are the marks or labels at both ends of both sides.
        """
        turns = turns_of(records)
        markers = _markers(turns).select(
            pl.col("family").cast(pl.Enum(list(MARKERS))),
            dialogue=pl.col("dialogue").is_not_null(),
        )
        return pl.DataFrame([*markers, _wrapped(turns), *_wrappers(turns), *_style(turns)])

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """Drop or note each row for its first finding; shares of markers and styles."""
        styles = self._styles(measures)
        found = first_case(measures, self._cases(styles))
        findings = self._findings(measures, styles)
        from_text = found["reason"].is_in(_QUOTING)
        if self.action == "drop":
            reason = found["reason"]
            return Judgement.of(
                reason.is_null(),
                reason,
                evidence=found["evidence"],
                findings=findings,
                from_text=from_text,
            )
        keep = pl.repeat(True, found.height, eager=True)
        return Judgement.of(keep, evidence=_notes(found), findings=findings, from_text=from_text)

    def evidence(
        self, records: pl.DataFrame, measures: pl.DataFrame, verdicts: pl.DataFrame
    ) -> pl.Series:
        """The delimiter and its family, or where turns are written out."""
        markers = _markers(turns_of(records))
        found = first_case(markers, [case for case in _TEXT_CASES if case[0] not in self.off])
        return found["evidence"] if self.action == "drop" else _notes(found)

    def _cases(self, styles: list[_Style]) -> list[Case]:
        """Every finding, the first in order first; what `evidence` makes is null here."""
        later = pl.lit(None, dtype=pl.String)
        wrapper = pl.col("wrapper").cast(pl.String)
        cases: list[Case] = [
            ("wrapped_prompt", wrapper.is_not_null(), wrapper),
            ("foreign_marker", pl.col("family").is_not_null(), later),
            ("role_marker", pl.col("dialogue"), later),
        ]
        for place, mark, share, usual in styles:
            text = f"{PLACES[place][0]} {mark!r}, as {share:.2%} of the rows do"
            has = pl.col(place).eq_missing(mark)
            cases.append(
                ("missing_wrapper", ~has, pl.lit(f"without: {text}"))
                if usual
                else ("odd_wrapper", has, pl.lit(text))
            )
        return [case for case in cases if case[0] not in self.off]

    def _styles(self, measures: pl.DataFrame) -> list[_Style]:
        styles = []
        for place in PLACES:
            counts = (
                measures.select(pl.col(place).drop_nulls().value_counts())
                .unnest(place)
                .filter(pl.col("count") >= self.min_rows)
                .sort(["count", place], descending=[True, False])
            )
            for mark, count in counts.iter_rows():
                share = count / measures.height
                if share < 1:
                    styles.append(_Style(place, mark, share, share > self.most))
        return styles

    def _findings(self, measures: pl.DataFrame, styles: list[_Style]) -> Findings:
        """Shares of every template family, wrapper and style over the set."""
        rows = max(1, measures.height)
        families = dict(sorted(measures["family"].drop_nulls().value_counts().iter_rows()))
        style = {name: int(measures[name].sum()) for name in ("markdown", "padded", "system")}
        sentences = [
            f"{count:,} of {measures.height:,} rows hold a delimiter of {family}"
            for family, count in families.items()
        ]
        sentences += [
            f"{share:.2%} of the {PLACES[place][1]} {mark!r}"
            + ("; the others do not" if usual else ": a style of its own")
            for place, mark, share, usual in styles
        ]
        for name, what in _MIXED.items():
            if 0.02 < style[name] / rows < 0.98:
                sentences.append(f"mixed style: {style[name] / rows:.1%} of the rows {what}")
        wrapped = measures["wrapper"].drop_nulls().len()
        numbers = {
            "families": families,
            "wrapped_prompts": wrapped,
            "dialogues": int(measures["dialogue"].sum()),
            "wrappers": [style._asdict() for style in styles[:SHOWN]],
            **{f"{name}_share": count / rows for name, count in style.items()},
        }
        if wrapped:
            sentences.insert(
                0,
                f"{wrapped:,} of {measures.height:,} prompts are wrapped in a template;"
                " the fix unwrap_prompt takes them out",
            )
        table = pl.DataFrame(styles, schema=_STYLES, orient="row")
        return Findings(tuple(sentences), numbers, {"wrappers": table} if styles else {})


def _notes(found: pl.DataFrame) -> pl.Series:
    """Reason and evidence in one, null where one of them is."""
    return found.select(pl.format("{}: {}", "reason", "evidence")).to_series()


_MIXED = {
    "markdown": "have Markdown in the answer",
    "padded": "have white space around the answer",
    "system": "have a system prompt",
}
_STYLES = {"place": pl.String, "mark": pl.String, "share": pl.Float64, "usual": pl.Boolean}
_KINDS = {slug.removeprefix("unwrapped_"): pattern for slug, pattern in WRAPPERS.items()}
_DIALOGUE = {"dialogue": ROLE_MARKER}


# Evidence that stands in the text, of the columns of `_markers`.
_TEXT_CASES: tuple[Case, ...] = (
    ("foreign_marker", pl.col("family").is_not_null(), pl.format("{} ({})", "marker", "family")),
    ("role_marker", pl.col("dialogue").is_not_null(), pl.col("dialogue")),
)
_QUOTING = [slug for slug, *_ in _TEXT_CASES]


def _markers(turns: Turns) -> pl.DataFrame:
    """`marker`, the first by family order, its `family`, and the start of a written-out turn."""
    found = {family: hits.evidence() for family, hits in turns.once(markers).items()}
    found |= matches(turns, _DIALOGUE)
    frame = pl.DataFrame(
        [turns.column(spans, "evidence").alias(name) for name, spans in found.items()]
    )
    family = pl.coalesce(pl.when(pl.col(name).is_not_null()).then(pl.lit(name)) for name in MARKERS)
    return frame.select("dialogue", marker=pl.coalesce(list(MARKERS)), family=family)


def _wrapped(turns: Turns) -> pl.Series:
    """The template that the first wrapped prompt of each record is wrapped in."""
    kinds = pl.coalesce(
        pl.when(pl.col("text").str.contains(pattern)).then(pl.lit(kind))
        for kind, pattern in _KINDS.items()
    )
    # Only texts that hold some marker can be wrapped, and the patterns are slow.
    likely = turns.asked.filter(
        pl.col("text").str.contains(r"# ?Instruction:|\[INST\]|<\|im_|:\s*\z")
    )
    wrapped = likely.with_columns(wrapper=kinds.cast(pl.Enum(list(_KINDS)))).drop_nulls("wrapper")
    first = wrapped.unique("index", keep="first", maintain_order=True)
    return turns.column(first, "wrapper")


def _wrappers(turns: Turns) -> list[pl.Series]:
    """The mark or label at both ends of the first prompt and of the last answer."""
    answered = turns.responses.unique("index", keep="last", maintain_order=True)
    columns = []
    for side, frame in (("prompt", turns.first_asked), ("answer", answered)):
        text = pl.col("text")
        # Extracting is slow; nearly no text has a wrapper, so it is done on few.
        head = frame.filter(text.str.contains(_HEAD)).with_columns(mark=text.str.extract(_HEAD, 1))
        ends = text.str.contains(_TAIL) | text.str.contains(_TAIL_LABEL)
        tail = frame.filter(ends).with_columns(
            mark=pl.coalesce(text.str.extract(_TAIL, 1), text.str.extract(_TAIL_LABEL, 1))
        )
        for place, found in (("start", head), ("end", tail)):
            # White space does not tell marks apart, so that there are few of them.
            mark = pl.col("mark").str.strip_chars().str.replace_all(r"\s+", " ").str.head(MARK)
            marks = found.with_columns(mark.cast(pl.Categorical))
            columns.append(turns.column(marks, "mark").alias(f"{side}_{place}"))
    return columns


def _style(turns: Turns) -> list[pl.Series]:
    """Whether the answers have Markdown or outer white space, and whether there is a system."""
    text = pl.col("text")
    rows = {
        "markdown": turns.responses.filter(text.str.contains(_MARKDOWN)),
        "padded": turns.responses.filter(text.str.contains(r"\A\s|\s\z")),
        "system": turns.prompts.filter(pl.col("role") == "system"),
    }
    everyone = pl.int_range(turns.height, dtype=pl.UInt32, eager=True)
    return [everyone.is_in(found["index"].implode()).alias(name) for name, found in rows.items()]
