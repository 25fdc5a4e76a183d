"""Rubrics: what a judge is asked of a row, and how its answer is read. Plain Jinja files.

A rubric's template has a block `user` and may have a block `system`; a file without blocks is the
user's text as a whole. See `front_matter` for its entries and `rows` for what it sees.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import jinja2.nodes

from curate.base.errors import CurateError, nearest
from curate.base.sandbox.environment import Program, RenderError, Sandbox, SourceError, compiled
from curate.base.sandbox.limits import MAX_SOURCE
from filters.llm_judge import reading, rows
from filters.llm_judge.front_matter import FrontMatter, read_front_matter
from filters.llm_judge.question import Answer, Question, Way
from filters.llm_judge.reading import MIN_MASS, Reading, Scale
from filters.llm_judge.rows import Row

# The bundled rubrics, in the order in which they are listed.
RUBRICS: tuple[str, ...] = (
    "careful",
    "alpagasus",
    "llama3_general",
    "llama3_code",
    "deita_complexity",
    "deita_quality",
    "additive",
    "fineweb_edu",
    "ask_llm",
    "ultrafeedback",
    "instag",
    "mt_bench_single",
    "mt_bench_pair",
)
PAIR = ("answer_a", "answer_b")  # what a pairwise rubric reads instead of `response`
KNOWN = (*rows.NAMES, *PAIR, "way", "aspect")
BLOCKS = ("system", "user")


class RubricSandbox(Sandbox):
    """The sandbox in which a name that is not there is an error."""

    missing = jinja2.StrictUndefined


class RubricFailed(CurateError):
    """A template that fails on one row, such as one beyond the sandbox's limits."""


class HalfCharacter(RubricFailed):
    """A template that writes what no request can hold."""


@dataclass(frozen=True)
class Rubric:
    """A rubric. `origin` is "bundled" or the file's name; `fingerprint` is a hash of its text.

    Not to be shared between threads.
    """

    name: str
    origin: str
    matter: FrontMatter
    template: str
    fingerprint: str
    text: str = ""  # of the whole file

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its texts; what is compiled is compiled anew."""
        return Rubric, (self.name, self.origin, self.matter, self.template, self.fingerprint)

    @property
    def ways(self) -> tuple[Way, ...]:
        """How its answers can be read, the preferred way first."""
        return tuple(self.matter.ways)

    @property
    def low(self) -> float:
        return self.matter.range[0]

    @property
    def high(self) -> float:
        return self.matter.range[1]

    @property
    def min_score(self) -> float | None:
        """The threshold that was published with it, if any."""
        return self.matter.min_score

    @property
    def source(self) -> str:
        return self.matter.source

    @property
    def about(self) -> str:
        return self.matter.about

    @property
    def aspects(self) -> tuple[str, ...]:
        """The names of its questions; one empty name where there is a single question."""
        return self.matter.aspects or ("",)

    @cached_property
    def reads(self) -> frozenset[str]:
        """The names that its template reads."""
        return frozenset(
            jinja2.meta.find_undeclared_variables(RubricSandbox().parse(self.template))
        )

    @property
    def is_pairwise(self) -> bool:
        """Whether it compares two answers; see `pairwise`."""
        return not self.reads.isdisjoint(PAIR)

    @cached_property
    def program(self) -> Program:
        """Its template, compiled. Raises `CurateError` with file and line."""
        return _compiled(self.template, self.name if self.origin == "bundled" else self.origin)

    def problem(self, row: Row) -> str:
        """`nothing_to_judge` for a row without the text that the rubric is about, else ""."""
        return self.problem_of(self.texts(row))

    def texts(self, row: Row) -> dict[str, Any]:
        """What its template sees of a row; see `rows.variables`."""
        return rows.variables(row, self.reads)

    def problem_of(self, texts: Mapping[str, Any]) -> str:
        """`problem` of the row that the `texts` are of."""
        about_answer = bool(self.reads & {"response", "messages"})
        text = texts["response"] if about_answer else texts["instruction"]
        return "" if text.strip() else "nothing_to_judge"

    def questions(self, row: Row, way: Way) -> list[Question]:
        """The questions of a row, one for each aspect; none if there is nothing to judge.

        `row` has the columns `messages`, and if there are any `tools`, `category`, `reference`.
        Raises `RubricFailed` where the template fails on this row, and `CurateError` for a rubric
        that compares two answers.
        """
        if self.is_pairwise:
            raise CurateError(
                f"rubric {self.name}: it compares two answers; a row has one, so take another"
            )
        texts = self.texts(row)
        return [] if self.problem_of(texts) else self.asked(texts, way)

    def asked(self, texts: Mapping[str, Any], way: Way) -> list[Question]:
        """The questions for what `rows.variables` gives; of a pairwise rubric with `PAIR` too."""
        return [self._question(texts, way, aspect) for aspect in self.aspects]

    def _question(self, texts: Mapping[str, Any], way: Way, aspect: str) -> Question:
        given = {**texts, "way": way, "aspect": aspect}
        program = self.program
        try:
            system, user = (
                # One line break before `endblock` belongs to the file, not to the text.
                program.run_block(name, given).removesuffix("\n")
                if name in program.template.blocks
                else ""
                for name in BLOCKS
            )
            if not program.template.blocks:
                user = program.run(given).strip("\n")
        except RenderError as error:
            raise RubricFailed(f"rubric {self.name}: {error}") from error
        if _SURROGATE.search(system) or _SURROGATE.search(user):
            raise HalfCharacter(f"rubric {self.name}: {_HALF}")
        if way == "text":
            return Question(user, system, max_tokens=self.matter.max_tokens)
        return Question(user, system, tuple(self.matter.labels), self.matter.lead, max_tokens=1)

    def read(
        self, question: Question, answer: Answer, way: Way, aspect: str, min_mass: float = MIN_MASS
    ) -> Reading:
        """What an answer to one of its questions says; see `reading`.

        Raises `CurateError` for a way that the rubric does not have.
        """
        if way not in self.matter.ways:
            known = " or ".join(self.ways)
            raise CurateError(f"rubric {self.name}: it has no rule for {way}, only for {known}")
        if answer.problem:
            return Reading(problem="no_answer", reason=answer.problem)
        scale = self.scale(aspect)
        if way == "text":
            cut = answer.finish == "length"
            return reading.read_text(self.matter.ways[way], answer.text, scale, cut=cut)
        values = [self.matter.labels[label] for label in question.labels]
        return reading.read_probabilities(
            answer.probabilities, values, scale, answer.bound, min_mass
        )

    def scale(self, aspect: str = "") -> Scale:
        """The range of scores, and what the rules of reading need."""
        matter = self.matter
        may_not = aspect in matter.not_applicable
        return Scale(self.low, self.high, matter.labels, matter.phrase, may_not)

    def combined(self, readings: Sequence[Reading]) -> Reading:
        """The readings of a row's aspects as one; see `reading.combined`."""
        return reading.combined(readings)


def load_rubric(name_or_path: str) -> Rubric:
    """A bundled rubric by its name, or a user's file by its path.

    Raises `CurateError` for an unknown name, a file that cannot be read, and with file and line
    for front matter, a template or a name in it that cannot be used.
    """
    if name_or_path in RUBRICS:
        file = importlib.resources.files("filters.llm_judge") / "rubrics" / f"{name_or_path}.jinja"
        return parse_rubric(file.read_text("utf-8"), name_or_path)
    path = Path(name_or_path)
    try:
        path = path.expanduser()
        if path.is_file():
            return parse_rubric(_read(path), path.stem, name_or_path)
    except (OSError, RuntimeError, ValueError) as error:  # no such home, too long a name, a null
        raise CurateError(f"rubric {name_or_path!r}: cannot be read: {error}") from error
    if path.suffix == ".jinja" or "/" in name_or_path:
        raise CurateError(f"rubric {name_or_path}: there is no such file")
    hint = nearest(name_or_path, RUBRICS)
    known = ", ".join(RUBRICS)
    raise CurateError(f"rubric {name_or_path!r} is unknown{hint}; known: {known}, or a .jinja file")


def parse_rubric(text: str, name: str, origin: str = "bundled") -> Rubric:
    """A rubric from the text of its file. Raises `CurateError`, see `load_rubric`."""
    where = f"{name}.jinja" if origin == "bundled" else origin
    matter, template = read_front_matter(text, where)
    fingerprint = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    _check_template(template, where)
    rubric = Rubric(name, origin, matter, template, fingerprint, text)
    _check_use(rubric, where)
    return rubric


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > 4 * MAX_SOURCE:
            raise CurateError(f"{path}: at most {MAX_SOURCE:,} characters of a rubric are read")
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CurateError(f"{path}: cannot be read as text: {error}") from error


def _compiled(template: str, where: str) -> Program:
    try:
        return compiled(Program, template, where, RubricSandbox())
    except SourceError as error:
        raise CurateError(f"{where}:{error.line or 1}: {error.reason}") from error


def _check_template(template: str, where: str) -> None:
    """Raise `CurateError` for names that no row has, and for text that nobody would be asked."""
    _compiled(template, where)
    for line, message in _mistakes(RubricSandbox().parse(template)):
        raise CurateError(f"{where}:{line}: {message}")


def _mistakes(tree: jinja2.nodes.Template) -> Iterator[tuple[int, str]]:
    files = (jinja2.nodes.Include, jinja2.nodes.Import, jinja2.nodes.FromImport)
    for node in tree.find_all((*files, jinja2.nodes.Extends)):
        yield node.lineno, "a rubric is one file; it cannot take in another"
    unknown = jinja2.meta.find_undeclared_variables(tree) - set(KNOWN)
    for read in tree.find_all(jinja2.nodes.Name):
        if read.name in unknown:
            hint = nearest(read.name, KNOWN) or f"; known are {', '.join(KNOWN)}"
            yield read.lineno, f"{read.name!r} is unknown{hint}"
    blocks = list(tree.find_all(jinja2.nodes.Block))
    for block in blocks:
        if block.name not in BLOCKS:
            yield block.lineno, f"a block is called system or user, not {block.name!r}"
    if blocks:
        yield from ((_first_line(node), _OUTSIDE) for node in tree.body if not _is_block(node))


_OUTSIDE = "this stands outside of the blocks, so nobody would be asked it; move it into one"


def _is_block(node: jinja2.nodes.Node) -> bool:
    """Whether this is a block, or space between blocks."""
    if isinstance(node, jinja2.nodes.Output):
        parts = node.nodes
        return all(isinstance(p, jinja2.nodes.TemplateData) and not p.data.strip() for p in parts)
    return isinstance(node, jinja2.nodes.Block)


def _first_line(node: jinja2.nodes.Node) -> int:
    """The line of a node's first word; a text begins with the lines of the front matter."""
    for text in node.find_all(jinja2.nodes.TemplateData):
        if text.data.strip():
            space = len(text.data) - len(text.data.lstrip())
            return text.lineno + text.data[:space].count("\n")
    return node.lineno


_SURROGATE = re.compile(r"[\ud800-\udfff]")
_HALF = "it writes half a character, as \\ud800 is one"
TRIAL: Row = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Name a fruit."},
        {"role": "assistant", "content": "An apple."},
    ],
    "tools": None,
}


def _check_use(rubric: Rubric, where: str) -> None:
    """Raise `CurateError` for a template that asks nothing, or fails on a plain row."""
    if rubric.is_pairwise and not set(PAIR) <= rubric.reads:
        raise CurateError(f"{where}:1: a pairwise rubric reads both answer_a and answer_b")
    if rubric.is_pairwise and "response" in rubric.reads:
        raise CurateError(f"{where}:1: a pairwise rubric reads answer_a and answer_b, no response")
    if rubric.matter.aspects and "aspect" not in rubric.reads:
        raise CurateError(f"{where}:1: its aspects would all be asked alike; read 'aspect'")
    for reference in (None, "Any fruit."):
        texts = rows.variables({**TRIAL, "reference": reference}, rubric.reads)
        for way in rubric.ways:
            try:
                asked = rubric.asked({**texts, **dict.fromkeys(PAIR, "An apple.")}, way)
            except HalfCharacter:
                raise CurateError(f"{where}:1: {_HALF}") from None
            if not all(question.user.strip() for question in asked):
                raise CurateError(f"{where}:1: its user's text is empty, so nothing is asked")
    if rubric.reads.isdisjoint(("messages", "instruction", "response", *PAIR)):
        raise CurateError(f"{where}:1: all rows would be asked alike; read response or instruction")
