"""Where characters came from survives what templates do to them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.base.sandbox.environment import tojson
from templates.fast.shapes import shape_of, traced_texts
from templates.fast.skeleton import Skeleton, Slot, Trim
from templates.messages import chat
from templates.provenance import Origins, TracedStr, runs_of
from templates.sandbox.environment import compile_source
from templates.sandbox.tracing import Tracing, traced_json
from tests.templates_toys import talk

TEXT = st.text(alphabet=st.sampled_from('ab \n"\\é😀,'), max_size=12)


def sources(text: str) -> list[int]:
    """The origin of each character: its number, or -1."""
    found: list[int] = []
    for length, first in runs_of(text):
        found += [-1] * length if first < 0 else list(range(first, first + length))
    return found


def traced(text: str) -> TracedStr:
    return Origins().trace(text, 0, "content", True)


OPERATIONS: dict[str, Any] = {
    "strip": lambda text: text.strip(),
    "lstrip": lambda text: text.lstrip(),
    "rstrip": lambda text: text.rstrip("a \n"),
    "slice": lambda text: text[1:-1],
    "reverse": lambda text: text[::-1],
    "first": lambda text: text[:1],
    "add": lambda text: text + "<x>",
    "radd": lambda text: "<x>" + text,
    "twice": lambda text: text + text,
    "times": lambda text: text * 2,
    "split": lambda text: [text, *text.split("a")][-1],
    "words": lambda text: [text, *text.split()][-1],
    "rsplit": lambda text: text.rsplit(" ", 1)[0],
    "lines": lambda text: [text, *text.splitlines()][-1],
    "keptlines": lambda text: [text, *text.splitlines(keepends=True)][-1],
    "partition": lambda text: text.partition("b")[2],
    "rpartition": lambda text: text.rpartition("b")[0],
    "replace": lambda text: text.replace("a", "<x>"),
    "upper": lambda text: text.upper(),
    "prefix": lambda text: text.removeprefix("a"),
    "suffix": lambda text: text.removesuffix("b"),
}


@given(text=TEXT, names=st.lists(st.sampled_from(sorted(OPERATIONS)), max_size=5))
def test_any_chain_of_operations_keeps_text_and_origin(text: str, names: list[str]) -> None:
    plain, followed = text, traced(text)
    for name in names:
        plain, followed = OPERATIONS[name](plain), OPERATIONS[name](followed)
    assert str.__str__(followed) == plain
    assert len(sources(followed)) == len(plain)
    for char, source in zip(plain, sources(followed), strict=True):
        if source >= 0:
            assert text[source].upper() == char.upper()


JSON = st.recursive(
    TEXT | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(
    value=JSON,
    options=st.sampled_from([{}, {"indent": 2}, {"ensure_ascii": True}, {"sort_keys": True}]),
)
def test_json_keeps_the_origin_of_every_character(value: Any, options: dict[str, Any]) -> None:
    origins = Origins()
    followed = traced_json(origins.trace_all(value, 0, "x", True), **options)
    assert str.__str__(followed) == tojson(value, **options)
    spans = origins.spans(followed)
    for source in origins.sources:
        mine = [span for span in spans if span.source is source]
        written = "".join(str.__str__(followed)[span.start : span.stop] for span in mine)
        assert (
            tojson(source.text, ensure_ascii=options.get("ensure_ascii", False)) == f'"{written}"'
        )


def test_equal_texts_of_several_messages_are_told_apart() -> None:
    source = "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ '\n' }}{% endfor %}"
    messages, tools, origins = chat({"messages": talk("hi", "hi", "hi hi"), "tools": None}).traced()
    text = compile_source(source, "toy", Tracing()).run({"messages": messages, "tools": tools})
    spans = [(span.start, span.stop, span.source.message) for span in origins.spans(text)]
    assert spans == [(6, 8, 0), (20, 22, 1), (29, 34, 2)]


@pytest.mark.parametrize(
    "expression",
    [
        "m.content",
        "m['content'] | trim",
        "m.content | string | default('x')",
        "(m.content ~ '')",
        "(['', m.content] | join)",
        "''.join([m.content])",
        "[m] | map(attribute='content') | join",
        "m.content | safe",
        "m.content | list | join",
        "m.content.split('</think>')[-1].lstrip('\\n')",
        "m.content[0:2] + m.content[2:]",
        "(m.content | tojson)[1:-1]",
        "(m.content if m.content is string else m.content[0].text)",
    ],
)
def test_common_ways_of_writing_content_keep_its_origin(expression: str) -> None:
    source = "{% for m in messages %}<{{ " + expression + " }}>{% endfor %}"
    messages, tools, origins = chat({"messages": talk("ab", "word"), "tools": None}).traced()
    text = compile_source(source, "toy", Tracing()).run({"messages": messages, "tools": tools})
    assert text == "<ab><word>"
    found = "".join(str.__str__(text)[s.start : s.stop] for s in origins.spans(text))
    assert found == "abword"


def test_a_skeleton_is_filled_with_each_row_of_its_shape() -> None:
    skeleton = Skeleton(("<", Slot(0, (Trim(True, True),)), ">", Slot(1), "</s>"))
    first = chat({"messages": talk(" a ", "b"), "tools": None})
    assert skeleton.fill(traced_texts(first.messages))[0] == "<a>b</s>"
    other = chat({"messages": talk("\n cd", "ef"), "tools": None})
    filled, found = skeleton.fill(traced_texts(other.messages))
    assert filled == "<cd>ef</s>"
    assert [(span.start, span.stop, span.offset) for span in found] == [(1, 3, 2), (4, 6, 0)]
    assert shape_of(first.messages, None) == shape_of(other.messages, None)
