"""Which formats a question asks for.

A format counts as asked for when the message before the answer (or the system prompt) orders the
answer in it: "reply in JSON", "write a Python function". Talk about a format does not count, and
neither does code that handles it: "a Python function that returns JSON" asks for Python. An answer
that is one fenced block with the format's name is held to it too.
"""

from __future__ import annotations

import re

from filters.quality.fences import read_fences

LONGEST_QUESTION = 20_000  # characters; the order stands at the beginning or the end

_MAKE = (
    r"(?:write|create|generate|make|produce|output|return|provide|give|compose|draft|formulate|show"
    r"|design|construct|build|print|emit|develop|implement|code|rewrite|complete|prepare|outline)"
)
_PUT = (
    rf"(?:{_MAKE}|answer|respond|reply|format|convert|represent|express|encode|transform|render"
    r"|present|list|store|turn|seriali[sz]e|put|describe|structure|organi[sz]e|translate|change"
    r"|extract|summari[sz]e|display|parse|classify|report|map|modify|rewrite)"
)
_FILLER = (
    r"(?:(?:me|us|a|an|the|some|valid|sample|simple|example|nested|new|short|basic|single|raw|only"
    r"|well-formed|strict|proper|corresponding|complete|minimal|following|equivalent)\s+)*"
)
_SHAPE = (
    r"(?:\s+(?:format|objects?|arrays?|documents?|strings?|files?|representation|structure|code"
    r"|snippet|data|response|output|list|syntax|dictionary|record|markup))?"
)
# What the word before belongs to: "a JSON parser", "JSON schema", "an XML tag".
_ENDS = (
    r"(?=\s*(?:[.,:;!?)\"'“”`\n]|\Z|(?:with|that|which|containing|for|to|of|from|representing"
    r"|describing|using"
    r"|and|where|based|in|as|whose|having|including|describes|only|instead)\b))"
)
# With these words the answer is a program or an explanation of the format.
_ABOUT = re.compile(
    r"(?i)\b(?:functions?|methods?|scripts?|programs?|class(?:es)?|endpoint|api|libraries"
    r"|library|parser|regex"
    r"|query|queries|sql|what (?:is|are|does)|how (?:do|to|can|would|does)|explain|why|difference"
    r"|python|javascript|java|typescript|node|c#|php|ruby|bash"
    r"|code (?:that|to(?! json| xml| yaml)|which))\b"
)


def _asks(name: str) -> re.Pattern[str]:
    """Orders a text in the format: "as valid JSON", "create an XML file with"."""
    word = rf"(?:{name}){_SHAPE}{_ENDS}"
    return re.compile(
        rf"(?i)\b(?:{_PUT})\b[^.?!\n]{{0,120}}?\b(?:in|as|into|to|using)\s+{_FILLER}{word}"
        rf"|\b(?:{_MAKE})\s+{_FILLER}{word}"
    )


_DATA = {"json": _asks("json"), "yaml": _asks("ya?ml"), "xml": _asks("xml")}
_PYTHON = re.compile(
    rf"(?i)\b{_MAKE}\s+{_FILLER}(?:[\w-]+\s+){{0,2}}python(?:\s*3(?:\.\d+)?)?\s+"
    r"(?:[\w-]+\s+){0,2}"
    r"(?:functions?|programs?|scripts?|code|class(?:es)?|methods?|snippets?|one-liners?|generators?)"
    r"\b"
    rf"|\b{_MAKE}\s+{_FILLER}(?:[\w-]+\s+){{0,2}}"
    r"(?:functions?|programs?|scripts?|code|class(?:es)?|methods?|snippets?|one-liners?)\b"
    r"[^.?!\n]{0,80}\b(?:in|using)\s+python(?:\s*3(?:\.\d+)?)?"
    r"(?=\s*(?:[.,:;!?\n]|\Z|that|which|to|for|with))"
)
# Cheap, and true of all that the pattern proper finds.
_MAY_ASK_PYTHON = re.compile(
    r"(?i)python(?:\s*3(?:\.\d+)?)?\s+(?:[\w-]+\s+){0,2}"
    r"(?:function|program|script|code|class|method|snippet|one-liner|generator)"
    r"|(?:in|using)\s+python"
)
_FENCE_ASKED = re.compile(
    rf"(?i)\b{_PUT}\b[^.?!\n]{{0,100}}\b(?:in|inside|within|as|with|between)\s+"
    r"(?:an?\s+|one\s+|the\s+|single\s+"
    r"|triple[- ]backtick\s+|markdown\s+|fenced\s+|python\s+|json\s+|yaml\s+|xml\s+)*"
    r"(?:code[ -]?(?:block|fence)s?\b|fenced (?:code )?blocks?|triple backticks)"
    r"|\b(?:surround|wrap|enclose|fence)\w*\b[^.?!\n]{0,60}"
    r"\b(?:code[ -]?(?:block|fence)|(?:triple )?backticks)"
)
_NAMES = re.compile(r"(?i)json|ya?ml|xml|python")
_FENCE_NAMED = re.compile(r"(?i)code[ -]?(?:block|fence)|fenced|backtick")
INFO = {
    "json": ("json",),
    "yaml": ("yaml", "yml"),
    "xml": ("xml",),
    "python": ("python", "py", "python3"),
}


def wanted(asked: str, answer: str) -> list[str]:
    """The formats that an answer is held to, of json, yaml, xml, python and fence.

    >>> wanted("List three colours as a JSON array.", "...")
    ['json']
    >>> wanted("Write a Python function that returns JSON.", "...")
    ['python']
    """
    if len(asked) > LONGEST_QUESTION:
        asked = f"{asked[: LONGEST_QUESTION // 2]}\n{asked[-LONGEST_QUESTION // 2 :]}"
    named = {name.lower().replace("yml", "yaml") for name in _NAMES.findall(asked)}
    names = [
        name
        for name, pattern in _DATA.items()
        if name in named and not _ABOUT.search(asked) and pattern.search(asked)
    ]
    # Of "Convert this XML to JSON" only the last is asked for.
    if len(names) > 1:
        names = [max(names, key=lambda name: _last_end(_DATA[name], asked))]
    if "python" in named and _MAY_ASK_PYTHON.search(asked) and _PYTHON.search(asked):
        names.append("python")
    if not names and answer.lstrip()[:3] in ("```", "~~~"):
        info, body = next(iter(read_fences(answer)[0]), ("", ""))
        # Nothing but the block: its two fences are all else there is.
        if answer.count("\n") <= body.count("\n") + 2:
            names += [name for name, infos in INFO.items() if info in infos]
    if _FENCE_NAMED.search(asked) and _FENCE_ASKED.search(asked):
        names.append("fence")
    return names


def _last_end(pattern: re.Pattern[str], text: str) -> int:
    return max(match.end() for match in pattern.finditer(text))
