"""The sandbox: as transformers renders, bounded, and harmless."""

from __future__ import annotations

import copy
import time

import pytest

from curate.base.errors import CurateError
from curate.base.sandbox.limits import MAX_TEXT
from templates.options import clock
from templates.refusals import TemplateFailed
from templates.sandbox.environment import Sandbox, compile_source
from templates.sandbox.tracing import Tracing
from templates.template import bind
from tests.templates_toys import CHATML, byte_level, rendered, talk, template, trained

ROWS = [{"role": "user", "content": "a < b & 'c' é"}, {"role": "tool", "content": "{{ 7 * 7 }}"}]


def run(source: str, **variables: object) -> str:
    return compile_source(source, "toy", Sandbox()).run(variables)


GREEDY = [
    "{{ 'a' * 10**9 }}",
    "{{ ['a'] * 10**9 }}",
    "{{ 9 ** 99999999 }}",
    "{{ '%999999999d' % 1 }}",
    "{{ '{:>999999999}'.format(1) }}",
    "{{ 'a' | center(10**9) }}",
    "{{ 'a'.ljust(10**9) }}",
    "{{ [1] | tojson(indent=10**9) }}",
    "{{ ('a' * 9999) | replace('a', 'b' * 99999) }}",
    "{{ ('b' * 99999).join(['a'] * 9999) }}",
    "{{ (['a'] * 9999) | join('b' * 99999) }}",
    "{% for i in range(10**9) %}{% endfor %}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "{% for a in rows %}{% for b in rows %}{% for c in rows %}{% endfor %}{% endfor %}{% endfor %}",
    "{% set n = namespace(s='0123456789') %}{% for i in range(99) %}"
    "{% set n.s = n.s + n.s %}{% endfor %}",
    "{% set n = namespace(s='0123456789') %}{% for i in range(99) %}"
    "{% set n.s = n.s ~ n.s %}{% endfor %}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(20) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{{ lipsum(10**6) }}",
    "{{ '%999999999d' | format(1) }}",
]
MANY = "{% set n = namespace(l=[]) %}{% for i in range(40) %}{% set n.l = [n.l, n.l] %}{% endfor %}"
LONG = "{% set x = 'ab' * 7000000 %}{% set n = namespace(l=[]) %}"
GREEDY += [
    *(
        MANY + written
        for written in (
            "{{ n.l }}", "{{ n }}", "{{ n.l ~ '' }}", "{{ n.l | tojson }}", "{{ '%s' % n.l }}",
            "{{ '{}'.format(n.l) }}", "{{ n.l in [[n.l]] }}", "{{ raise_exception(n) }}",
            "{% autoescape true %}{{ n.l }}{% endautoescape %}", "{{ [] | attr(n.l) }}",
        )
    ),
    *(
        f"{LONG}{{% for i in range(100000) %}}{work}{{% endfor %}}"
        for work in (
            "{% if 'bb' in x %}{% endif %}", "{% if x.count('ba') %}{% endif %}",
            "{% if x | upper %}{% endif %}", "{% set n.l = n.l + [x[1:]] %}",
            "{% set n.l = n.l + [x | lower] %}", "{% if x | wordcount %}{% endif %}",
            "{% if x.split() %}{% endif %}", "{% if 2 is in x %}{% endif %}",
        )
    ),
    "{{ ('\n' * 9999999) | indent(999, blank=true) }}",
    "{{ ('\t' * 9999999).expandtabs(999) }}",
    "{{ '\t'.expandtabs(tabsize=10**9) }}",
    "{{ ('a' * 9999).translate({97: 'x' * 9999999}) }}",
    "{{ 'a'.encode() * 10**9 }}",
    "{{ ('x' * 9999).join('a' * 9999999) }}",
    "{{ ('x' * 9999999).join({1: 1, 2: 2, 3: 3}.keys() | map('string')) }}",
    "{{ '{:{}}'.format('a', 10**9) }}",
    "{{ '{:{w}}'.format('a', w=10**9) }}",
    "{{ (1).to_bytes(10**9, 'big') | length }}",
    "{{ ([[1] * 1000] * 99999) | sum(start=[]) | length }}",
]  # fmt: skip
JOINING = [attack for attack in GREEDY if "join" in attack or " ~ " in attack or "tojson" in attack]


@pytest.mark.parametrize(
    ("attack", "sandbox"),
    [*((attack, Sandbox) for attack in GREEDY), *((attack, Tracing) for attack in JOINING)],
)
def test_templates_that_ask_for_too_much_are_stopped(attack: str, sandbox: type[Sandbox]) -> None:
    before = time.process_time()
    with pytest.raises(TemplateFailed):
        compile_source(attack, "toy", sandbox()).run({"rows": list(range(2000))})
    assert time.process_time() - before < 20


NESTED = "{% set n = namespace(x=()) %}{% for i in range(1000) %}{% set n.x = (n.x,) %}{% endfor %}"


@pytest.mark.parametrize(
    "use",
    [
        "{% if {n.x: 1} %}{% endif %}", "{{ {1: 2}[n.x] }}", "{{ {}.get(n.x) }}",
        "{{ n.x in [1] }}", "{{ n.x == n.x }}", "{{ n.x is eq(1) }}", "{{ 1 is in(seq=[n.x]) }}",
        "{{ [n.x] | unique | list }}", "{{ [n.x] | map('default') | unique | list }}",
        "{{ [{'a': n.x}] | map(attribute='a') | unique | list }}", "{{ [n.x] | sort }}",
        "{{ [n.x] | min }}", "{{ [n.x] | max }}", "{{ [[n.x]] | groupby(0) }}",
        "{{ {'a': n.x} | dictsort(by='value') }}", "{{ 'a' | attr(n.x) }}",
        "{{ dict([(n.x, 1)]) }}", "{{ dict.fromkeys([n.x]) }}", "{{ namespace([(n.x, 1)]) }}",
        "{{ {1: 1}.keys().isdisjoint([n.x]) }}", "{{ [n.x].index(1) }}", "{{ n.x | tojson }}",
        "{% autoescape true %}{{ n.x }}{% endautoescape %}", "{{ joiner(n.x)() }}",
        "{% for a in [n.x] %}{{ loop.changed(a) }}{% endfor %}",
        "{% for a in [n.x, 1] %}{{ loop | unique | list }}{% endfor %}",
        "{% for a in [1, n.x] %}{{ loop | unique | list }}{% endfor %}",
        "{% for a in [n.x, 1] %}{{ [loop] | unique(attribute='previtem') | list }}{% endfor %}",
        "{% for a in [1, n.x] %}{{ [loop] | unique(attribute='nextitem') | list }}{% endfor %}",
        "{{ 1 in ([n.x] | map('default')) }}", "{{ 1 is in([n.x] | map('default')) }}",
        "{{ dict.fromkeys([n.x] | map('default')) }}",
    ],
)  # fmt: skip
def test_lists_too_deep_in_each_other_are_not_hashed_compared_or_written(use: str) -> None:
    with pytest.raises(TemplateFailed, match="lists in lists, more than 200 deep at line 1"):
        run(NESTED + use)


def test_keys_and_values_of_some_depth_are_used_as_ever() -> None:
    shallow = NESTED.replace("1000", "100")
    assert run(shallow + "{{ {n.x: 'found'}[n.x] }}{{ [n.x, n.x] | unique | list | length }}")
    assert run("{{ {(1, 2): 'a'}[(1, 2)] }}{{ rows[rows | length - 1] }}", rows=[5, 6]) == "a6"


@pytest.mark.parametrize(
    "source",
    [f"{{{{ {'9' * 5000} }}}}", "{{ " + "(1 + " * 300 + "x" + ")" * 300 + " }}"],
)
def test_what_cannot_be_compiled_is_an_error_of_the_template(source: str) -> None:
    with pytest.raises(CurateError, match="template toy: "):
        compile_source(source, "toy", Sandbox())


def test_an_error_of_many_characters_is_cut() -> None:
    with pytest.raises(TemplateFailed) as failure:
        run("{{ raise_exception('a' * 100000) }}")
    assert len(str(failure.value)) < 1200


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(a=1) }}",
        "{{ messages[0].pop('role') }}",
        "{{ namespace(__init__=1) }}",
        "{% set n = namespace() %}{% set n.__class__ = 1 %}",
        "{{ cycler.__init__.__globals__ }}",
        "{% include '/etc/passwd' %}",
    ],
)
def test_attributes_lead_nowhere_and_inputs_stay_as_they_were(attack: str) -> None:
    messages = copy.deepcopy(ROWS)
    with pytest.raises(TemplateFailed):
        run(attack, messages=messages)
    assert messages == ROWS


@pytest.mark.parametrize(
    "attack",
    ["{{ dict.__base__ }}", "{{ '{0.__class__}'.format(messages) }}", "{{ ''.__class__ }}"],
)
def test_hidden_attributes_have_no_value(attack: str) -> None:
    assert run(attack, messages=ROWS) == ""


def test_rendering_changes_no_input_even_when_it_succeeds() -> None:
    conversation = talk("hi", "ok")
    before = copy.deepcopy(conversation)
    rendered(CHATML, byte_level(), conversation)
    assert conversation == before


def test_content_is_data_and_never_evaluated() -> None:
    done = rendered(CHATML, byte_level(), talk("{{ 7 * 7 }} {% if %}", "{{ name }} {{ 7 * 7 }}"))
    assert trained(done) == ["{{ name }} {{ 7 * 7 }}<|im_end|>"]


def test_errors_quote_the_line_of_the_template() -> None:
    with pytest.raises(TemplateFailed, match=r"no tools here at line 3: \{\{ raise_exception"):
        run("a\nb\n{{ raise_exception('no tools here') }}")
    with pytest.raises(TemplateFailed, match=r"UndefinedError: 'x' is undefined at line 2"):
        run("a\n{{ x.y }}")
    with pytest.raises(CurateError, match=r"template toy: line 2: .*endfor"):
        compile_source("a\n{% for a in b %}", "toy", Sandbox())


def test_long_texts_may_be_looked_at_sliced_and_listed() -> None:
    source = (
        "{% for m in messages %}{% if 'no' not in m.content and m in messages and messages[1:] %}"
        "{{ (m.content | trim)[:-1].replace('\n', ' ').split('</think>')[-1] }}"
        "{% endif %}{% endfor %}"
    )
    assert len(run(source, messages=talk(*["word\n" * 20_000] * 20))) == 20 * 99_998
    assert len(run(source, messages=talk(*["word"] * 400))) == 400 * 3


def test_a_template_of_a_megabyte_is_not_read() -> None:
    with pytest.raises(CurateError, match="at most"):
        compile_source("a" * 1_000_001, "toy", Sandbox())


def test_a_long_conversation_is_within_the_limits() -> None:
    long = [{"role": "user", "content": "word " * 1000}] * 200
    text = run(
        "{% for m in messages %}{{ '<' + m.role + '>' + m.content + '\n' }}{% endfor %}",
        messages=long,
    )
    assert 1_000_000 < len(text) < MAX_TEXT


def test_the_clock_stands_still() -> None:
    dated = "{{ strftime_now('%d %B %Y') }} " + CHATML
    texts = {
        bind(template(dated), byte_level(), "2024-07-26").text(talk("hi", "ok"), None)
        for _ in range(2)
    }
    assert len(texts) == 1 and texts.pop().startswith("26 July 2024")
    done = rendered(dated, byte_level(), talk("hi", "ok"), date="2031-01-02")
    assert (
        "02 January 2031" in done.tokenizer.segments.decode(done.examples["input_ids"][0]).decode()
    )
    assert done.card.date == "written"
    with pytest.raises(CurateError, match="expected a day"):
        clock("26.7.2024")


SHAPES = [
    "{{ messages | tojson }}|{{ messages | tojson(indent=2) }}",
    "{{ {'b': 1, 'a': [true, none, 1.5]} | tojson(sort_keys=true) }}",
    "{%- for m in messages if m.role != 'x' -%}\n {{- m['content'] | trim -}}\n{%- endfor %} \n a",
    "{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{{ m.role }}{% endfor %}",
    "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}"
    "{{ ns.n }}",
    "{% macro f(x, y='z') %}[{{ x }}{{ y }}]{% endmacro %}{{ f(1) }}{{ f(messages[0].content) }}",
    "{% set a %} {{ messages[1].content }} {% endset %}{{ a | length }}{{ a.strip() }}",
    "{% generation %}{{ messages[0].content }}{% endgeneration %}",
    "{{ missing }}{{ missing is defined }}{{ tools is none }}{{ add_generation_prompt }}",
    "{{ dict(a=1) }}{{ 'a' ~ 1 ~ none }}{{ ['a', 'b'] | join('-') }}{{ 'x<y' }}{{ '%s' % 3 }}",
    "{{ messages | map(attribute='role') | list }}",
    "{{ messages | selectattr('role', 'equalto', 'tool') | list | length }}",
    "{{ 'a,b'.split(',')[-1] }}{{ 'Ab'.lower() }}{{ 'abc'[1:] }}{{ 'abc'[::-1] }}{{ 'x' in 'x' }}",
    "{{ bos_token }}{{ eos_token }}{{ documents is none }}",
]


@pytest.mark.parametrize("source", SHAPES)
def test_every_construct_renders_as_transformers_renders_it(source: str) -> None:
    utils = pytest.importorskip("transformers.utils.chat_template_utils")
    theirs, _ = utils.render_jinja_template(
        [ROWS], chat_template=source, bos_token="<s>", eos_token="</s>"
    )
    variables = {
        "messages": ROWS,
        "tools": None,
        "documents": None,
        "add_generation_prompt": False,
        "bos_token": "<s>",
        "eos_token": "</s>",
    }
    for sandbox in (Sandbox(), Tracing()):
        assert str(compile_source(source, "toy", sandbox).run(variables)) == theirs[0]


def test_a_text_by_chance_would_be_another_one_each_time() -> None:
    with pytest.raises(CurateError, match="No filter named 'random'"):
        run("{{ messages | random }}", messages=ROWS)


@pytest.mark.parametrize(
    "value",
    ["rows[0].content.strip", "rows | map('upper')", "raise_exception", "dict", "cycler(1)"],
)
def test_an_address_would_be_another_one_each_time(value: str) -> None:
    for written in (f"{{{{ {value} }}}}", f"{{{{ 'a' ~ ({value}) }}}}"):
        with pytest.raises(TemplateFailed, match="whose text is another one each time"):
            run(written, rows=ROWS)
