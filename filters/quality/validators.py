"""Does what was asked for parse? JSON, YAML, XML, Python, and fenced code blocks.

JSON strictly: no NaN, no key twice. YAML safely, to a mapping or a list (nearly all prose loads as
one string), with few aliases. XML as one element, with no entities of its own. Python by
`ast.parse`. Nothing is ever executed.
"""

from __future__ import annotations

import ast
import json
import re
import textwrap
import threading
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from xml.parsers import expat

import polars as pl

from filters.quality.fences import read_fences
from filters.quality.turns import EVIDENCE, EVIDENCE_CHARACTERS, Finder, Hits, Turns
from filters.quality.validators_asked import INFO, wanted

# Longer answers are not parsed: PyYAML reads 100 KB a second, and ast takes 100 bytes a byte.
LONGEST = 200_000
MOST_ALIASES = 100  # ten levels of ten references make ten billion values of a few lines

_MAYBE = r"(?i)json|yaml|xml|python|code ?block|code ?fence|fenced|backtick"
_MAYBE_FENCED = r"(?i)\A\s*(?:`{3,}|~{3,}) ?(?:json|ya?ml|xml|python|py)\b"


def invalid(name: str) -> Finder:
    """The rule that holds answers to a format: a name of `INFO`, or `fence`.

    The evidence is the parser's message.
    """
    return lambda turns: turns.once(_faults)[name]


def _faults(turns: Turns) -> dict[str, Hits]:
    """A loop, because parsers take one text at a time; patterns leave only likely pairs to it."""
    system = turns.prompts.filter(pl.col("role") == "system").select("index", system="text")
    pairs = turns.messages.with_columns(asked=pl.col("text").shift(1)).filter(
        pl.col("role") == "assistant", pl.col("weight") != 0, ~pl.col("called")
    )
    pairs = pairs.with_columns(asked=pl.when(pl.col("previous") == "user").then("asked"))
    if system.height:
        first = system.unique("index", keep="first")
        pairs = pairs.join(first, on="index", how="left", maintain_order="left").with_columns(
            asked=pl.concat_str("system", "asked", separator="\n\n", ignore_nulls=True)
        )
    likely = pairs.filter(
        pl.col("asked").str.contains(_MAYBE) | pl.col("text").str.contains(_MAYBE_FENCED),
        pl.col("text").str.contains(r"\S"),
        pl.col("text").str.len_bytes() <= LONGEST,
    )
    faults: dict[str, list[tuple[int, str]]] = {name: [] for name in (*INFO, "fence")}
    for index, asked, answer in likely.select("index", "asked", "text").iter_rows():
        for name in wanted(asked or "", answer):
            fault = fault_of(name, answer)
            if fault is not None:
                faults[name].append((index, fault))
    return {
        name: Hits(pl.DataFrame(rows, EVIDENCE, orient="row"), pl.col("evidence"))
        for name, rows in faults.items()
    }


def fault_of(name: str, answer: str) -> str | None:
    """What is wrong with an answer as this format, in the parser's words; null if it is right."""
    if name == "fence":
        return None if read_fences(answer)[0] else "no closed code block in the answer"
    blocks, _ = read_fences(answer)
    named = [body for info, body in blocks if info in INFO[name]]
    bare = [body for info, body in blocks if not info and not _SHELL.match(body)]
    if name == "python" and len(bare) > 1:
        # Output and commands stand beside the code, in blocks without a name.
        bare = [body for body in bare if _CODE_LINE.search(body)]
    bodies = named or bare
    if not bodies:
        # Blocks of another language answer something else; without any, the text itself is meant.
        if blocks:
            return None
        found = _unfenced(name, answer)
        if found is None:
            return None if name == "python" else f"no {name.upper()} in the answer"
        bodies = [found]
    faults = [_parse_fault(name, textwrap.dedent(body).strip("\n")) for body in bodies]
    return next((fault[:EVIDENCE_CHARACTERS] for fault in faults if fault is not None), None)


# Commands to type, often shown in a block without a name beside the code itself.
_SHELL = re.compile(
    r"\s*(?:[$>%] |(?:sudo |python3? -m )?(?:pip3?|conda|apt(?:-get)?|brew|npm) install\b"
    r"|(?:cd|mkdir|python3?|git clone|source|export) [^\n=(]+$)",
    re.MULTILINE,
)


_MAKES_JSON = re.compile(
    r"^(?:import|from|const|let|var|def|function) \w|^\w+ = |\bjson\.dumps\(|\bJSON\.stringify\(",
    re.MULTILINE,
)


def _unfenced(name: str, answer: str) -> str | None:
    """The part of an answer without code blocks that is in the format, or null."""
    text = answer.strip().strip("`").strip()
    if name == "json":
        if _MAKES_JSON.search(text):
            return "null"  # a program that makes it; whether it does is not for a parser
        start = re.search(r"[{\[]", text)
        end = max(text.rfind("}"), text.rfind("]"))
        if text[:1] in '"-0123456789' or text in ("true", "false", "null"):
            return text
        return text[start.start() : end + 1 if end > start.start() else None] if start else None
    if name == "xml":
        start, end = re.search(r"<[A-Za-z_?!]", text), text.rfind(">")
        return text[start.start() : end + 1] if start else None
    if name == "yaml":
        return text if re.search(r"(?m)^\s*(?:[\w\"'. -]+:(?:\s|$)|- \S)", text) else None
    code = _without_prose(answer.strip("\n"))
    return code if _CODE_LINE.search(code) else None


_CODE_LINE = re.compile(
    r"(?m)^\s*(?:def \w+\s*\(|class \w+|from \w+(?:\.\w+)* import |import \w+|for .+ in .+:"
    r"|print ?\(|[a-z_]\w* = .+)"
)
_PROSE = re.compile(
    r"\A(?:[A-Z][\w'’-]*,? (?:\w[\w'’-]*[,:.]? ){2}|Output|Example|Input|Explanation|Note"
    r"|\d+\. |Here)",
)


# What the program prints, shown below it: "// Output: 3".
_SHOWN_OUTPUT = re.compile(r"(?im)^\s*(?:#|//)?\s*(?:(?:expected|sample|example) )?output\b.*$")


def _without_prose(text: str) -> str:
    """Code that is not fenced, without the paragraphs of words before and after it."""
    parts = re.split(r"\n\s*\n", _SHOWN_OUTPUT.split(text, maxsplit=1)[0])
    while parts and _PROSE.match(parts[-1].strip()):
        parts.pop()
    while parts and _PROSE.match(parts[0].strip()):
        parts.pop(0)
    return "\n\n".join(parts)


def _parse_fault(name: str, text: str) -> str | None:
    """What the parser of a format says against a text."""
    try:
        _PARSERS[name](text)
    except SyntaxError as error:
        return f"{error.msg} (line {error.lineno})"
    except RecursionError:
        return "nested too deeply"
    except (ValueError, expat.ExpatError) as error:
        return str(error)
    return None


def _parse_json(text: str) -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            twice = next(key for place, key in enumerate(keys) if key in keys[:place])
            raise ValueError(f"the key {twice!r} comes twice")
        return dict(pairs)

    def reject_constant(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    json.loads(text, object_pairs_hook=once, parse_constant=reject_constant)


@cache
def _bounded_loader() -> Any:
    import yaml

    class Bounded(yaml.SafeLoader):
        """Safe, and a few lines cannot stand for billions of values."""

        aliases = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                self.aliases += 1
                if self.aliases > MOST_ALIASES:
                    raise yaml.YAMLError(f"more than {MOST_ALIASES} aliases")
            return super().compose_node(parent, index)

    return Bounded


def _parse_yaml(text: str) -> None:
    import yaml

    try:
        # Bounded is a SafeLoader: it builds plain values only.
        values = list(yaml.load_all(text, Loader=_bounded_loader()))
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise ValueError(f"{error.problem}{line}") from error
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if not values or not all(isinstance(value, dict | list) for value in values):
        raise ValueError("loads as a single value, not as a mapping or a list")


def _parse_xml(text: str) -> None:
    def reject_entity(*declaration: Any) -> None:
        raise ValueError(f"declares the entity {declaration[0]!r}")

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = reject_entity
    parser.Parse(text.strip().encode("utf-8", "replace"), True)


_WARNINGS = threading.Lock()  # what is shown of them is the same for all threads


def _parse_python(text: str) -> None:
    if ">>>" in text:  # a session: keep what was typed
        lines = re.findall(r"^\s*(?:>>>|\.\.\.) ?(.*)$", text, re.MULTILINE)
        text = "\n".join(lines)
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "\d" in a string is bad style, no more
        try:
            ast.parse(text)
        except MemoryError as error:  # the parser's word for it
            raise RecursionError from error


_PARSERS: Mapping[str, Callable[[str], None]] = {
    "json": _parse_json,
    "yaml": _parse_yaml,
    "xml": _parse_xml,
    "python": _parse_python,
}
