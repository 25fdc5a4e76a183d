"""A row that goes a known way through its template is put together without it: the same text."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from templates.fast.cache import ShapeCache
from templates.fast.plans import Plans
from templates.fast.renderer import FastRenderer
from templates.fast.shapes import shape_of, traced_texts
from templates.fast.symbolic import Path as TemplatePath
from templates.messages import Chat, Message, chat
from templates.options import RenderOptions
from templates.proof.chains import prove
from templates.proof.stops import find_stops
from templates.refusals import Refusal, TemplateFailed
from templates.spans import Span, VerifiedRender
from templates.template import TEMPLATES, ChatTemplate, Renderer, bind, load_template
from tests.templates_toys import CHATML, byte_level, metaspace, rendered, talk

DATE = "2024-07-26"
GOOD = RenderOptions()

# Ways to write contents that are followed, and only asked about.
FOLLOWED = {
    "as they are": "{{ m.content }}",
    "trimmed": "{{ m.content | trim }}{{ m['content'].strip() }}{{ m.content.rstrip('\n') }}",
    "added": "{{ 'a' + m.content + 'b' ~ m.content ~ 3 }}",
    "trimmed together": "{{ (' ' + m.content + ' \n ' + messages[0].content) | trim }}!",
    "a buffer": "{% set x %} {{ m.content }} {% endset %}[{{ x | trim }}]{{ x }}",
    "a macro": "{% macro say(x) %}({{ x }}){% endmacro %}{{ say(m.content) ~ say(say('b')) }}",
    "a namespace": "{% set n = namespace(all='') %}{% set n.all = n.all + m.content %}{{ n.all }}",
    "by truth": "{% if m.content %}{{ m.content }}{% else %}nothing{% endif %}",
    "a default": "{{ m.content or 'none' }}{{ m.missing | default(m.content) }}",
    "contained": "{% if '</think>' in m.content %}thought{% else %}{{ m.content }}{% endif %}",
    "not contained": "{{ 'A' if 'a' not in m.content else m.content }}",
    "compared": "{{ m.content == 'a' }}{{ 'a' == m.content }}"
    "{{ m.content != messages[0].content }}",
    "listed": "{{ m.content in ['a', 'b'] }}{{ m.content in (messages[0].content, 3, none) }}",
    "started": "{{ m.content.startswith('a') }}{{ m.content.endswith(('a', ' ')) }}",
    "split where whole": "{{ m.content.split('</think>')[-1].lstrip('\n') }}",
    "of a kind": "{{ m.content is string and m.content is not mapping }}{{ m.content is none }}"
    "{{ m.content is iterable }}{{ m.content is defined }}{{ m.content is number }}",
    "picked": "{{ (messages | map(attribute='content') | list)[0] }}{{ messages | length }}"
    "{{ (messages | selectattr('content') | list | length) }}",
    "as fields": "{% for k, v in m.items() %}{{ k }}={{ v }}{% endfor %}{{ m.get('content') }}",
    "changed": "{{ loop.changed(m.content) }}{{ loop.previtem.content if loop.previtem }}",
    "a joiner": "{% set j = joiner(m.content) %}{{ j() }}{{ j() }}{{ j() }}",
    "a call": "{% macro w() %}[{{ caller() }}]{% endmacro %}"
    "{% call w() %}{{ m.content }}{% endcall %}",
    "as a string": "{{ m.content | string }}{{ ' x ' | trim }}{{ 3 | string }}"
    "{{ 'ab' | trim('a') }}",
    "a filter block": "{% filter trim %} {{ m.content }} {% endfilter %}",
}
# Ways that look into contents otherwise: such rows are left to Jinja.
BEYOND = {
    "sliced": "{{ m.content[1:] }}",
    "indexed": "{{ m.content[0] }}",
    "counted": "{{ m.content | length }}",
    "walked over": "{% for c in m.content %}{{ c }}{% endfor %}",
    "upper case": "{{ m.content | upper }}",
    "lower by method": "{{ m.content.lower() }}",
    "replaced": "{{ m.content | replace('a', 'b') }}{{ m.content.replace('a', 'b') }}",
    "as JSON": "{{ m.content | tojson }}",
    "a message as JSON": "{{ m | tojson }}",
    "a message written": "{{ m }}",
    "a list written": "{{ [m.content] ~ '' }}",
    "joined by method": "{{ ', '.join([m.content]) }}",
    "joined by filter": "{{ [m.content, 'x'] | join('-') }}",
    "as separator": "{{ ['x', 'y'] | join(m.content) }}",
    "formatted": "{{ '%s' % m.content }}",
    "formatted in a tuple": "{{ '%s %s' % (m.role, m.content) }}",
    "formatted by filter": "{{ '%s' | format(m.content) }}",
    "formatted by method": "{{ '{}'.format(m.content) }}{{ '{0!r:>4}'.format(m.content) }}",
    "repeated": "{{ m.content * 2 }}",
    "ordered": "{{ m.content < 'b' }}",
    "sorted": "{{ (messages | sort(attribute='content'))[0].role }}",
    "unique": "{{ messages | map(attribute='content') | unique | list | length }}",
    "as a key": "{{ {m.content: 1} | length }}",
    "looked up": "{{ {'a': 1}[m.content] }}{{ {'a': 1}.get(m.content) }}",
    "a number of it": "{{ m.content | int }}",
    "marked safe": "{{ m.content | safe }}",
    "escaped": "{{ m.content | e }}",
    "in an escaping block": "{% autoescape true %}{{ m.content }}{% endautoescape %}",
    "the same object": "{{ m.content is sameas 'a' }}",
    "case asked": "{{ m.content is upper }}",
    "methods compared": "{{ m.content.strip == messages[0].content.strip }}",
    "methods listed": "{{ m.content.strip in [m.content.strip, 1] }}",
    "a list as it is": "{{ ['x'] | select('in', m.content) | list }}",
    "a method": "{{ m.content.strip }}",
    "a method of a role": "{{ m.role.format }}",
    "a method in a text": "{{ [m.role.format] | join('') }}{{ m.content }}",
    "a method upper case": "{{ m.role.format | upper }}{{ m.content }}",
    "a generator": "{{ messages | map(attribute='role') }}",
    "roles formatted": "{{ '%s' % m.role }}{{ m.content }}",
    "roles formatted by method": "{{ '{}'.format(m.role) }}{{ m.content }}",
    "contained in a text": "{{ m.content in 'abc' }}",
    "trimmed of words": "{{ m.content.strip('a') }}",
    "an attribute": "{{ m.content.real }}",
    "dates": "{{ strftime_now(m.content) }}",
    "first letter": "{{ m.content | first }}",
    "reversed": "{{ m.content | reverse }}",
    "words": "{{ m.content | wordcount }}",
    "indented": "{{ m.content | indent }}",
    "attr": "{{ m.content | attr('title') }}",
    "raised": "{{ raise_exception(m.content) }}",
    "asked whether it can be called": "{{ m.content is callable }}",
    "picked by what can be called": "{{ [m.content] | select('callable') | list | length }}",
    "inside of a method": "{{ m.content.strip.func is defined }}",
    "inside of a method by item": "{{ m.content.strip['args'] is defined }}",
}
WORDS = (
    "a",
    "A",
    " ",
    "",
    "b",
    "\n",
    " a ",
    "</think>",
    "x",
    "\u3000",
    "\x1c",
    "%s",
    "{{ m }}",
    "0",
)
CONTENT = st.lists(st.sampled_from(WORDS), max_size=3).map("".join)


def each(body: str) -> str:
    return "{% for m in messages %}<{{ m.role }}>" + body + ";{% endfor %}"


def toy(source: str) -> FastRenderer:
    return FastRenderer.over(bind(ChatTemplate("toy", source, "test"), byte_level(), DATE))


def path_of(source: str, *contents: str) -> TemplatePath | None:
    return toy(source).path(talk(*contents))


def outcome(renderer: Renderer, messages: list[Message], prompt: bool) -> str:
    """What Jinja itself makes of the messages."""
    try:
        return "text:" + renderer.template.plain.run(renderer.given(messages, None, prompt))
    except TemplateFailed as error:
        return f"failed: {error}"


def shortened(renderer: Renderer, messages: list[Message], prompt: bool) -> str:
    try:
        return "text:" + renderer.text(messages, None, prompt)
    except TemplateFailed as error:
        return f"failed: {error}"


def places(spans: list[Span]) -> list[tuple[int, int, int, str, int]]:
    return [(s.start, s.stop, s.source.message, s.source.field, s.offset) for s in spans]


def check_all(source: str, rows: list[list[Message]]) -> Renderer:
    """Every row gives Jinja's text, or its error, and the origins that tracing finds."""
    renderer, other = toy(source), toy(source)
    for messages, prompt in itertools.product(rows, (False, True)):
        expected = outcome(renderer, messages, prompt)
        assert shortened(renderer, messages, prompt) == expected
        if expected.startswith("text:"):
            given_ = Chat(messages, None, ())
            text = expected.removeprefix("text:")
            found = renderer.origins(given_, text, prompt)
            traced = other.origins(given_, text, prompt)  # which never learns a path
            assert isinstance(found, str) == isinstance(traced, str)
            if not isinstance(found, str) and not isinstance(traced, str):
                assert places(found[0]) == places(traced[0])
    return renderer


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_only_moves_trims_or_asks_about_contents_is_followed(name: str) -> None:
    path = path_of(each(FOLLOWED[name]), "a", "b")
    assert path is not None


@pytest.mark.parametrize("name", BEYOND)
def test_what_looks_into_contents_otherwise_is_left_to_jinja(name: str) -> None:
    assert path_of(each(BEYOND[name]), "a", "b") is None


# What compares methods, or writes their addresses through a filter, is another text each time.
SETTLED = [
    name
    for name in (*FOLLOWED, *BEYOND)
    if not name.startswith(("methods", "a method in", "a method upper"))
]


@pytest.mark.parametrize("name", SETTLED)
def test_each_way_to_write_contents_gives_jinjas_text_for_any_words(name: str) -> None:
    pairs = itertools.product(("a", " a ", "", " \n", "x</think>\ny", "a"), repeat=2)
    rows = [talk(*pair) for pair in [("a", "b")] * 4 + [*pairs]]
    check_all(each((FOLLOWED | BEYOND)[name]), rows)


@pytest.mark.parametrize("asked", ["m.content is callable", "m.content.strip.func is defined"])
def test_what_only_a_stand_in_is_does_not_lead_the_way(asked: str) -> None:
    source = each(f"{{{{ m.content.strip() if {asked} else m.content }}}}")
    check_all(source, [talk("a", "b")] * 4 + [talk(" a ", "b ")])


def test_a_text_that_answers_otherwise_takes_no_known_path() -> None:
    path = path_of(each(FOLLOWED["contained"]), "a", "b")
    assert path is not None
    assert path.fits(["c", "d"]) and not path.fits(["c", "d</think>"])


def test_two_texts_that_are_compared_are_compared_in_each_row() -> None:
    path = path_of("{{ messages[0].content == messages[1].content }}", "a", "b")
    assert path is not None and path.skeleton.parts == ("False",)
    assert path.fits(["c", "d"]) and not path.fits(["c", "c"])


def test_a_path_is_not_taken_by_texts_that_could_meet_a_limit() -> None:
    path = path_of("{% for m in messages %}{{ m.content ~ m.content }}{% endfor %}", "a", "b")
    assert path is not None
    assert path.fits(["a" * 1_000_000] * 2) and not path.fits(["a" * 3_000_000] * 2)


def test_a_limit_is_met_by_the_row_that_meets_it_however_many_were_read_before() -> None:
    renderer = toy("{% for m in messages %}{{ m.content }}{% endfor %}")
    for _ in range(5):
        assert renderer.text(talk("a", "b"), None) == "ab"
    assert renderer.paths.known(((("user", "role", "content"),) * 2, False)) == []
    with pytest.raises(TemplateFailed, match="16,000,000 characters"):
        renderer.text(talk("a" * 9_000_000, "b" * 9_000_000), None)


def test_a_limit_is_met_by_a_prompt_that_meets_it_in_any_company() -> None:
    many = " ~ ".join(["messages[0].content"] * 30)
    source = CHATML.replace("{% endif %}", f"{{% set x = {many} %}}{{% endif %}}")
    done = rendered(source, byte_level(), *[talk("hi", "ok")] * 4, talk("a b" * 300_000, "yes"))
    assert done.refused["row"].to_list() == [4]
    assert "16,000,000 characters" in done.refused["message"][0]


def test_a_template_that_takes_many_steps_has_no_path() -> None:
    loops = "{% for x in range(1300) %}{% for y in range(1300) %}{% endfor %}{% endfor %}"
    assert path_of(loops + each("{{ m.content }}"), "a", "b") is None


EXPRESSIONS = (
    "m.content", "m['content']", "messages[0].content", "m.content | trim", "m.content.strip()",
    "'a'", "' x '", "m.role", "loop.index", "n.all", "m.missing", "m.name", "none",
    "m.content.lstrip('\n')", "(m.content ~ messages[-1].content) | trim", "m.content.rstrip()",
    "m.content.split('</think>')[-1]", "m.content | upper", "m.content[1:]", "m.content | length",
    "m.content | tojson", "[m.content] | join('-')", "say(m.content)", "said", "m | length",
)  # fmt: skip
ASKED = (
    "m.content", "'a' in m.content", "m.content == 'a'", "m.content == messages[0].content",
    "m.content.startswith(' ')", "m.content | trim", "loop.last", "add_generation_prompt", "n.all",
    "m.content is string", "m.content != n.all", "n.all.endswith('a')", "m.role == 'user'",
    "said == m.content", "'</think>' in said", "not m.content", "m.content in ['a', ' ', n.all]",
)  # fmt: skip
STATEMENTS = st.recursive(
    st.one_of(
        st.sampled_from(EXPRESSIONS).map("{{{{ {} }}}}".format),
        st.sampled_from(["<|x|>", " ", "\n", "{% set n.all = n.all ~ m.content %}"]),
        st.sampled_from(EXPRESSIONS).map("{{% set said = {} %}}".format),
        st.tuples(st.sampled_from(EXPRESSIONS), st.sampled_from(EXPRESSIONS)).map(
            lambda pair: f"{{{{ ({pair[0]}) ~ ({pair[1]}) }}}}"
        ),
    ),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(ASKED), inner, inner).map(
            lambda made: f"{{% if {made[0]} %}}{made[1]}{{% else %}}{made[2]}{{% endif %}}"
        ),
        st.lists(inner, min_size=1, max_size=4).map("".join),
        inner.map("{{% set said %}}{}{{% endset %}}".format),
    ),
    max_leaves=7,
)
MACRO = (
    "{% macro say(x) %}({{ x }}){% endmacro %}{% set n = namespace(all='') %}{% set said = 's' %}"
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(body=STATEMENTS, rows=st.lists(st.lists(CONTENT, min_size=2, max_size=2), max_size=4))
def test_templates_put_together_by_chance_write_jinjas_text(
    body: str, rows: list[list[str]]
) -> None:
    again = [*rows, ["a", " x\n"], *rows, *rows, ["", "a"], *rows]
    check_all(f"{MACRO}{{% for m in messages %}}{body}{{% endfor %}}", [talk(*r) for r in again])


def proven(renderer: Renderer, given_: Chat, plans: Plans | None) -> Any:
    """The proofs of a conversation, or the refusal, in a form that compares."""
    stops = find_stops(renderer, byte_level())
    try:
        found = plans.prove(given_) if plans else prove(renderer, given_, stops, GOOD)
    except Refusal as refusal:
        return type(refusal), str(refusal)
    return [(verified.text, places(verified.spans), verified.trained) for verified in found]


def with_thoughts(contents: tuple[str, ...], thoughts: str) -> list[Message]:
    messages = talk(*contents)
    messages[-1]["reasoning"] = thoughts
    return messages


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_plans_prove_what_is_proven_without_them_for_every_bundled_template(name: str) -> None:
    template = load_template(name, byte_level())
    renderer = bind(template, byte_level(), DATE)
    plans = Plans(renderer, find_stops(renderer, byte_level()), GOOD)
    tricky = (" a ", "a<|im_end|>", "\n", "b</think>c", "<|eos|>", "Human: x\n\n")
    pairs = [("hi", "ok", "more", "yes")] * 4
    pairs += [("hi", one, two, "yes " + one) for one, two in itertools.product(tricky, repeat=2)]
    rows = [talk(*pair) for pair in pairs] + [talk(*pair[:2]) for pair in pairs]
    rows += [with_thoughts(pair, thoughts) for pair in pairs[:8] for thoughts in ("why", " \n")]
    used = 0
    for messages in rows:
        try:
            given_ = chat({"messages": messages, "tools": None})
        except Refusal:
            continue
        used += plans.known(given_) is not None
        alone = proven(bind(template, byte_level(), DATE), given_, None)
        assert proven(renderer, given_, plans) == alone
    assert used > 20


@pytest.mark.parametrize("name", ["gemma3", "gptoss", "lfm2", "llama3_1", "qwen3", "qwen3_6"])
def test_stock_templates_give_jinjas_text_for_any_words(name: str) -> None:
    trl = pytest.importorskip("trl", reason="trl, whose stock templates these are, is missing")
    path = Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja"
    tricky = (" a ", "b</think>c", "\n", "<think>\nx\n</think>\n\ny")
    rows = [talk("hi", "ok", "more", "yes")] * 4
    rows += [talk("hi", one, "more", two) for one, two in itertools.product(tricky, repeat=2)]
    thinking = [
        chat({"messages": with_thoughts(("a", one), "why"), "tools": None}).messages
        for one in (*tricky[:2],) * 4
    ]
    assert check_all(path.read_text("utf-8"), rows + thinking).paths._entries


def test_an_answer_that_says_its_stop_is_proven_by_itself_and_refused() -> None:
    source = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n##\n{% endfor %}" + (
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    template = ChatTemplate("toy", source, "test")
    rows = [talk("q", f"a{n}") for n in range(5)] + [talk("q", "a ## b"), talk("q", "last")]
    done = rendered(template, byte_level(), *rows)
    assert done.refused["check"].to_list() == ["stop_not_at_end"]
    assert done.refused["row"].to_list() == [5]
    assert done.examples.height == 6


def test_empty_words_are_proven_by_themselves() -> None:
    renderer = toy(CHATML)
    plans = Plans(renderer, find_stops(renderer, byte_level()), GOOD)
    for _ in range(4):
        plans.prove(chat({"messages": talk("q", "a"), "tools": None}))
    assert plans.known(chat({"messages": talk("x", "y"), "tools": None})) is not None
    assert plans.known(chat({"messages": talk("", "y"), "tools": None})) is None


def test_what_is_remembered_is_bounded() -> None:
    cache: ShapeCache[str] = ShapeCache()
    for number in range(10_000):
        cache.wants(number, 100)
    assert len(cache._entries) < 5_000


def test_a_shape_that_cannot_be_learnt_from_is_given_up() -> None:
    cache: ShapeCache[str] = ShapeCache()
    asked = 0
    for _ in range(20):
        if cache.wants("shape", 1):
            asked += 1
            cache.learn("shape", None, 0)
    assert asked == 3


@pytest.mark.parametrize("tokenizer", [byte_level, metaspace], ids=["byte-level", "metaspace"])
def test_rows_are_the_same_in_any_company(tokenizer: Any) -> None:
    template = ChatTemplate("toy", CHATML.replace("<|im_end|>", "</s>"), "test")
    rows = [talk(f"q{n}", word) for n, word in enumerate(WORDS * 3) if word.strip()]
    together = rendered(template, tokenizer(), *rows)
    for number in (0, 7, len(rows) - 1):
        alone = rendered(template, tokenizer(), rows[number])
        assert alone.examples["input_ids"].to_list() == (
            together.examples.filter(row=number)["input_ids"].to_list()
        )


@pytest.mark.parametrize(
    ("written", "row"),
    [
        ("m.content.split('\\n') | join('\\n')", ("\n\nhi", "ok")),
        ("m.content | e if 'x' in m.content else m.content", ("hi", "ox")),
    ],
)
def test_where_a_template_cannot_be_followed_no_row_stands_for_another(
    written: str, row: tuple[str, str]
) -> None:
    """Equal texts may have another origin: what was trimmed in one was none of the other's."""
    source = CHATML.replace(" + m.content + ", " }}{{ CONTENT }}{{ ").replace("CONTENT", written)
    assert source != CHATML
    given = {"roles": ("assistant", "user")}
    alone = rendered(source, byte_level(), talk(*row), **given)
    later = rendered(source, byte_level(), talk("a", "b"), talk(*row), **given)
    same = ("input_ids", "labels")
    assert alone.examples.select(same).rows() == later.examples.filter(row=1).select(same).rows()
    assert alone.refused.height == later.refused.height


def test_tools_and_what_is_no_text_have_no_shape() -> None:
    fields = ("role", "content")
    assert shape_of(talk("a", "b"), None) == (("user", *fields), ("assistant", *fields))
    assert shape_of(talk("a", None), None) is None
    assert shape_of(talk("a", "b"), []) is None
    assert shape_of([{"role": "assistant", "tool_calls": []}], None) is None


def test_texts_stand_in_the_order_in_which_they_are_traced() -> None:
    given_ = chat({"messages": with_thoughts(("a", "b"), "why"), "tools": None})
    traced = given_.traced()[2].sources
    assert [source._replace(first=0) for source in traced] == traced_texts(given_.messages)


def test_a_proof_by_plan_is_a_proof() -> None:
    renderer = toy(CHATML)
    plans = Plans(renderer, find_stops(renderer, byte_level()), GOOD)
    given_ = chat({"messages": talk("q", "a"), "tools": None})
    for _ in range(4):
        [alone] = plans.prove(given_)
    found = plans.known(given_)
    assert isinstance(found, VerifiedRender) and found.trained == alone.trained
    target = found.trained[0]
    assert found.text[target.start : target.end] == "a<|im_end|>"
