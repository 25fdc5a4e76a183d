r"""Where code stands in a text, and its form: what of its white space has a meaning.

Code is what stands in a fence (CommonMark), between backticks, or in a paragraph with a line that
prose has no reason for: `total += n`, `}`, `SELECT a FROM b`, `\d+`. Lists, verses, letters, tables
and formulas (`y = 2x + 3`) are prose.

Errors in one direction are harmless: prose that is taken for code is compared with its line breaks,
and at worst a copy is kept. Code that is taken for prose may be lost, so what is unsure is code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import polars as pl

# The patterns are written for two engines (Polars and `re`), so without look-around, and for
# ASCII, or the tables of the first would be a hundred times as large.
_W = "[A-Za-z0-9_]"
_NAME = f"[A-Za-z_]{_W}*"
_END = r"[ \t]*$"

# At the start of a line, after its indentation.
_STARTS = (
    # Definitions, imports, directives, comments.
    rf"(?:async +)?(?:def|function|fn|func|fun|sub|proc) +{_NAME}\(",
    rf"(?:async +)?(?:def|function) *{_NAME} \(",
    r"function *\(",
    rf"(?:abstract +)?class +{_NAME} *[({{:]",
    rf"import +{_NAME}(?:\.{_W}+)*(?: +as +{_W}+)?(?:, *{_NAME})*;?{_END}",
    rf"from +[A-Za-z_.]+ +import +(?:\*|\(|{_NAME}(?: as {_NAME})?(?:, *{_NAME})*){_END}",
    r"#(?:include|define|ifdef|ifndef|endif|pragma)\b",
    r"#!/",
    r"// ?[A-Za-z]",
    r"/\*",
    r"<!--",
    r"<\?(?:php|xml)",
    r"using +namespace\b",
    rf"package +[A-Za-z_.]+;{_END}",
    # Blocks.
    rf"(?:else|try|finally|do) *[:{{]{_END}",
    r"else *:",
    rf"(?:elif\b[^\n]*|except(?: +[(A-Z][^\n]*)?):{_END}",
    rf"(?:if|while|with) [^\n]*(?:[=!<>]=|{_W}\(|{_W}\[|[a-z]_[a-z])[^\n]*:{_END}",
    rf"for +{_W}+(?:, *{_W}+)* +in +(?:range|enumerate|zip|{_W}+[.(\[])[^\n]*:",
    rf"(?:if|for|while|switch|catch) *\([^\n]*\) *(?:\{{|{_W}[^\n]*;{_END})",
    rf"(?:fi|esac|endif|end|end;|begin){_END}",
    r"\}",
    rf"(?:break|continue);{_END}",
    rf"return(?: +\S+)?;{_END}",
    rf"return +[^\n]*(?:{_W}\(|\[|[=!<>]=| [-+*/%?] )",
    rf"return +(?:True|False|None|null|true|false|self|-?[0-9]+|[a-z]|[a-z]+_{_W}+){_END}",
    # Statements.
    r"print(?:(?:f|ln)? ?\(| [\"'])",
    r"(?:std::)?(?:cout|cin) *(?:<<|>>)",
    r"puts +[\"']",
    r"echo +[\"'$]",
    rf"{_NAME}(?:\.{_NAME})+\(",
    rf"(?:self|this)\.{_W}+",
    rf"{_NAME}(?:[.\[]['\"{_W[1:-1]}.\]]*)? *(?:\+|-|\*\*?|//?|%|\||\^|<<|>>)= *[^\s=]",
    rf"{_NAME}(?:[.\[]['\"{_W[1:-1]}.\]]*)? *= *(?:[\"']|{_NAME}(?:\.{_NAME})+\(|{_NAME}\(\))",
    rf"{_NAME} *= *(?:(?:True|False|None|null|nil|true|false)\b|new |lambda\b)",
    rf"{_NAME} *= *(?:int|str|float|list|dict|set|input|open|range|len|sorted|sum)\(",
    rf"[a-z][a-z][a-z]+{_W}* *= *[\[{{]",
    rf"[a-z][a-z]+_[a-z][a-z]{_W}* *= *[^\s=]",
    rf"(?:var|const|let) +{_NAME} *(?::[^\n=]*)?= *[^\n]*[;{{(\[]",
    r"(?:var|const) +[{\[A-Za-z_][^\n=]*=",
    r"\$[a-z_][a-z_][a-z_]+ *(?:=[^$\n]*;|->)",
    rf"(?:const +)?(?:int|float|double|char|bool|boolean|String|string|void|auto) +[*&]?{_NAME}"
    r" *[=;(\[]",
    r"(?:public|private|protected) +(?:static|class|void|int|String|bool|const|final|async|override"
    r"|virtual|abstract|enum|interface)\b",
    r"[A-Za-z_.]+ *<- *\S",
    r"[a-z][A-Za-z0-9_']* *:: *[A-Z(\[]",
    r"\((?:define|defun|defn|lambda|setq) ",
    # SQL, shells.
    r"(?:INSERT +INTO|DELETE +FROM|UPDATE +[A-Za-z_.]+ +SET|SELECT +(?:\*|[A-Za-z_.(]+,|DISTINCT))",
    r"(?:CREATE|ALTER|DROP) +(?:OR +REPLACE +)?(?:TABLE|DATABASE|INDEX|VIEW|PROCEDURE|FUNCTION"
    r"|TRIGGER)\b",
    r"(?:FROM|WHERE|GROUP BY|ORDER BY|(?:INNER|LEFT|RIGHT) JOIN) +[A-Za-z_]*[a-z_]",
    r"select +(?:\*|(?:count|max|min|sum|avg)\(|[^\n]* from [^\n]*(?: where | join |;))",
    r"\$ +[a-z][a-z0-9_-]+",
    r"git +(?:clone|add|commit|push|pull|checkout|init|merge|rebase|status|log|diff|branch|fetch"
    r"|config|remote|reset|stash)\b",
    r"(?:pip3?|npm|npx|yarn|brew|apt|apt-get|conda|docker|kubectl) +(?:install|run|build|update|-)",
    r"(?:sudo|chmod|chown|mkdir|grep|sed|awk|curl|wget|tar|ls|rm|cp|mv|cd|find|cat|ssh) +"
    r"[-./~$'\"]",
    r"curl +https?:",
    r"export +[A-Z_]+=",
    r"python3? +[A-Za-z0-9_/.-]+\.py\b",
    r"\./[A-Za-z]",
    r"[a-z]+!\(",
    # Markup, data, regular expressions.
    r"</?(?:html|head|body|div|span|p|a|ul|ol|li|table|tr|td|th|thead|tbody|script|style|h[1-6]|img"
    r"|pre|code|input|form|button|nav|section|header|footer|title|meta|link|label|select|option|svg)\b"
    r"[^>\n]*>",
    rf"<[A-Za-z][^<>\n]*>[^\n]*</[A-Za-z][A-Za-z0-9_:-]*>{_END}",
    r"<!DOCTYPE",
    rf"\^[^\s^_]+{_END}",
    r"[\"'][^\"'\n]+[\"'] *: *(?:[\"'0-9\[{-]|true|false|null)",
)

# Anywhere in a line.
_HOLDS = (
    rf"\{{{_END}",
    r"\{ *[\"'][^\"'\n]+[\"'] *:",
    r"\{[^{}\n]*; *\}",
    r"\{ *[a-z-]+ *: *[^{}\n]+\}",
    r"[a-z0-9_\])](?:\+\+|--);",
    r" \| +(?:grep|awk|sed|sort|head|tail|wc|xargs|cut|less|uniq)\b",
    r"\([A-Za-z]+(?:\|[A-Za-z]+)+\)",
    rf"{_W}\([^()\n]*\) *;{_END}",
    rf"[A-Za-z0-9_\])] *=[^=\n]+;{_END}",
    r"=> *[{(]",
    r"[A-Za-z0-9_)] && [A-Za-z0-9_(!]",
    r"[A-Za-z0-9_)\]\"'] *(?:==|!=)=? *[A-Za-z0-9_(\"'\[-]",
    r"\\[dDwWsSbB](?:[^A-Za-z]|$)",
    r"\[\^?(?:a-z|A-Z|0-9)",
    r"\(\?[:=!<P]",
    r"(?:^|[ (])/[^/\n ]+/[gimsuy]+(?:[^A-Za-z]|$)",
    r"(?:^|[^0-9A-Za-z%])%[0-9.-]*[sdfYymMdH](?:[^A-Za-z]|$)",
    rf"\[[^\n\]]+ for {_W}+(?:, *{_W}+)* in [^\n]+\]",
    r"lambda [a-z](?:, ?[a-z])*:",
    r"\bSELECT\b[^\n]*\bFROM\b",
)

# At the start of a line, over the end of it.
_PAIRS = (
    r"@[A-Za-z_.]+(?:\([^\n]*\))?[ \t]*\n[ \t]*(?:def|class|public|private|protected|async)\b",
    rf"(?:if|while|for|with) +{_W}+(?: +(?:in|not in|as|is|is not) [^\n]+)?:[ \t]*\n[ \t]+"
    r"[#A-Za-z_]",
    r"(?:if|for|while) *\([^\n]*\)[ \t]*\n[ \t]+[A-Za-z_]",
    r"- [a-z_][A-Za-z0-9_-]*:[^\n]*\n[ \t]+[a-z_][A-Za-z0-9_-]*:(?: |$)",
    r"[a-z_][A-Za-z0-9_-]*:[ \t]*\n[ \t]+(?:- )?[a-z_][A-Za-z0-9_-]*:(?: |$)",
)

# What all of these have, so that a fast look passes over most prose: one of few marks; shells have
# options, imports and queries their words. Two expressions, because one is ten times as slow.
_MARKS = (
    r"[={}<\\$#_@%\[]|[A-Za-z0-9]\(|;[ \t]*\n|;[ \t]*$|[\"'] *:|&&|//|/\*|\(\?"
    r"|:[ \t]*\n[ \t]+[A-Za-z_]| --?[A-Za-z]|else:|\^[^\s_]|/[gimsuy]|print [\"']"
    r"|[a-z]!\(|\.py|\./|\| +[a-z]|[a-z]\|[A-Za-z]|- [a-z_]+:",
    r"import |FROM |WHERE |TABLE |install |\n[ \t]*(?:end|else|elif|fi|begin)\b",
)

_CODE_LINE = re.compile(
    rf"(?m)(?:^[ \t]*(?:{'|'.join(_STARTS + _PAIRS)})|{'|'.join(_HOLDS)})", re.ASCII
)
_SENTENCE = re.compile(r"[A-Z][\w'’,-]*(?: [\w'’,-]+){2,}[.:!?]*\s*$")
_ASSIGNMENT = re.compile(r"[ \t]*[A-Za-z_][\w.\[\]'\"]*\s*=[^=]", re.ASCII)
_FENCE = re.compile(r"(?:(?:[-*+]|\d+[.)])[ \t]+)?(`{3,}|~{3,})(.*)")
_SPAN = re.compile(r"(?<!`)(`+)(?!`)((?:(?!\n[ \t]*\n).)+?)(?<!`)\1(?!`)", re.DOTALL)
_BLANK = re.compile(r"\n[ \t\r\f\v]*\n")
_TAG = re.compile(r"\{?[.\w+#-]+\}?$")
# Characters of a line that are looked at, at its start and its end, and of a paragraph that is
# searched for backticks: the time that `re` takes may grow with the square of either.
_HEAD, _TAIL, _PARAGRAPH = 300, 100, 20_000
# As Python reads indentation: a tab goes to the next multiple of eight.
_TAB = 8


def may_hold_code(texts: pl.Series) -> pl.Series:
    """Whether each text (null or not) has backticks, tildes or a line of code.

    Line starts are matched line by line, and the rest one pattern at a time: all in one
    expression take thirty times as long, because its automaton outgrows the engine's cache.
    """
    has_ticks = texts.str.contains("`|~~~").fill_null(False)
    has_marks = has_ticks
    for pattern in _MARKS:
        has_marks |= texts.str.contains(pattern).fill_null(False)
    places = (has_marks & ~has_ticks).arg_true()
    marked = texts.gather(places).to_frame("text").with_row_index()
    lines = marked.with_columns(pl.col("text").str.split("\n")).explode("text", empty_as_null=True)
    starts = pl.col("text").str.contains(rf"^[ \t\r]*(?:{'|'.join(_STARTS)})")
    at_start = lines.filter(starts)["index"].unique()
    patterns = [*(rf"^[ \t]*{pattern}" for pattern in _PAIRS), *_HOLDS]
    inside = pl.any_horizontal(pl.col("text").str.contains(rf"(?m){one}") for one in patterns)
    found = marked.select(inside | pl.col("index").is_in(at_start.implode())).to_series()
    return has_ticks.scatter(places, found | has_ticks.gather(places))


def code_in(text: str) -> str:
    """The code of a text that `may_hold_code`, in its form, block after block; "" for none.

    What is left of white space: which lines are indented more than which (not by how much, nor
    by tabs or spaces), line breaks between lines that are not blank, and runs of spaces between
    the quotes of a line. In other places a run is one space.

    >>> code_in("A loop:\\n\\nfor n in rows:\\n\\ttotal += n") == code_in(
    ...     "```python\\n  for n in rows:\\n\\n      total  +=  n\\n```"
    ... )
    True
    """
    blocks = [form for block in _blocks(text) if (form := _form(block))]
    if not blocks and "`" not in text and "~~~" not in text:
        # Its code is in the middle of a long line.
        blocks = [_form(text.splitlines())]
    return "\x00".join(blocks)


def _blocks(text: str) -> Iterator[list[str]]:
    """The lines of each piece of code, in the order of the text."""
    for is_fenced, lines in _fenced(text.replace("\r\n", "\n").replace("\r", "\n").split("\n")):
        if is_fenced:
            yield lines
        else:
            yield from _unfenced("\n".join(lines))


def _fenced(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """The text cut at its fences: whether a piece is inside of one, and its lines."""
    piece: list[str] = []
    mark = ""
    for line in lines:
        found = _FENCE.match(line.lstrip(" \t>")) if "`" in line or "~" in line else None
        if found and not mark and not (found[1][0] == "`" and "`" in found[2]):
            yield False, piece
            # Only a language is left out; "```print(1)" has code on the line of its fence.
            info = found[2].strip()
            mark, piece = found[1], [] if _TAG.match(info) else [info]
        elif found and mark and found[1].startswith(mark) and not found[2].strip():
            yield True, piece
            mark, piece = "", []
        else:
            piece.append(line)
    yield bool(mark), piece


def _unfenced(text: str) -> Iterator[list[str]]:
    """Runs of paragraphs of code, and of other paragraphs what stands between backticks."""
    paragraphs = _BLANK.split(text)
    is_code = _code_paragraphs(paragraphs)
    run: list[str] = []
    for paragraph, is_its_code in zip(paragraphs, is_code, strict=True):
        if is_its_code:
            run += _without_sentences(paragraph.split("\n"))
            continue
        if run:
            yield run
            run = []
        if len(paragraph) > _PARAGRAPH and "`" in paragraph:
            yield paragraph.split("\n")
        elif "`" in paragraph:
            yield from ([found[2].replace("\n", " ")] for found in _SPAN.finditer(paragraph))
    if run:
        yield run


def _code_paragraphs(paragraphs: list[str]) -> list[bool]:
    """Which paragraphs are code: by a line of theirs, or as what goes on beside one that is.

    A body goes on indented after a blank line; assignments alone could be formulas.
    """
    is_code = [_CODE_LINE.search(_shortened(paragraph)) is not None for paragraph in paragraphs]
    if not any(is_code):
        return is_code
    goes_on = [_goes_on(paragraph) for paragraph in paragraphs]
    order = range(len(paragraphs))
    for here, beside in (*pairwise(reversed(order)), *pairwise(order)):
        is_code[beside] |= is_code[here] and goes_on[beside]
    return is_code


def _shortened(paragraph: str) -> str:
    if len(paragraph) <= _HEAD + _TAIL:
        return paragraph
    return "\n".join(
        line if len(line) <= _HEAD + _TAIL else line[:_HEAD] + line[-_TAIL:]
        for line in paragraph.split("\n")
    )


def _goes_on(paragraph: str) -> bool:
    lines = paragraph.split("\n")
    return lines[0][:1] in {" ", "\t"} or all(_ASSIGNMENT.match(line) for line in lines)


def _without_sentences(lines: list[str]) -> list[str]:
    """The lines of a paragraph of code without the sentences before and after it."""
    is_sentence = [bool(_SENTENCE.match(line)) for line in lines]
    if all(is_sentence):
        return lines
    return lines[is_sentence.index(False) : len(lines) - is_sentence[::-1].index(False)]


def _form(lines: list[str]) -> str:
    """Lines with their rank of indentation, without what is blank."""
    lines = [line.rstrip() for line in lines if line.strip()]
    words = [line.lstrip() for line in lines]
    widths = [
        len(line[: len(line) - len(rest)].expandtabs(_TAB))
        for line, rest in zip(lines, words, strict=True)
    ]
    rank = {width: place for place, width in enumerate(sorted(set(widths)))}
    return "\n".join(
        f"{rank[width]} {_spaced(rest)}" for width, rest in zip(widths, words, strict=True)
    )


def _spaced(line: str) -> str:
    """Runs of white space as one space, but for those between the first and last quote."""
    places = [place for place in (line.find('"'), line.find("'")) if place >= 0]
    if not places:
        return " ".join(line.split())
    low, high = min(places), max(line.rfind('"'), line.rfind("'"))
    before, after = (" ".join(part.split()) for part in (line[:low], line[high + 1 :]))
    return f"{before}{' ' * line[:low].endswith(' ')}{line[low : high + 1]}{after}"
