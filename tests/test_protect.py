"""Codes of small differences: what is code, when case matters, and what stands high or low."""

from __future__ import annotations

import polars as pl
import pytest

from filters.dedup.protect import (
    KINDS,
    case_codes,
    code_codes,
    form_codes,
    layout_codes,
    mark_codes,
)

LOOP = "for n in rows:\n    total += n\nprint(total)"

PROSE = [
    "A list:\n- one\n  - two\n    - three",
    "Roses are red,\n    violets are blue;\nreturn to me;\n  I wait for you;",
    "Dear Sir,\n\n\tI write  to you...\n\nYours,\n  Bob",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "Ingredients:\n2 cups flour\n1/2 tsp salt\n\nDirections:\n1. Mix (well).\n2. Bake; cool.",
    "Return to the oven (see note 1);\nprint the recipe;\nuse and/or serve.",
    "x = 5\ny = 2x + 3\nf(x) = x^2 - 1\nA = {1, 2, 3}\nx >= 3\nsin(x) = 0",
    "Then $x = 5$ and $\\frac{a}{b}$.\n\\begin{align}\na &= b \\\\\n\\end{align}",
    'He said: "It\'s  odd"; then left.\n"Yes,"\tshe said – “quietly”.',
    "For example:\n    The cat sat.\nwhile waiting:\n  - sit",
    "From here to there,\nimport taxes are due.\nSelect a card from the deck.",
    "Q: What? A: That.\nName: Bob\nAge: 5",
    "I like C++ and C#, R&D (50%) and $5.\nSee http://example.com/a?b=c",
    "5*3=<<5*3=15>>15 apples",
    "Steps -> next => end\nI <3 you",
]


@pytest.mark.parametrize("text", PROSE)
def test_prose_has_no_code(text: str) -> None:
    assert code_codes(pl.Series([text])).to_list() == [None]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LOOP, "for n in rows:\n    total += n\n    print(total)"),
        ("if a:\n\tb()\nc()", "if a:\n\tb()\n\tc()"),
        ("def f():\n    x = 1\n\n    return x", "def f():\n    x = 1\n\nreturn x"),
        ("```\nfoo\n  bar\n```", "```\nfoo\nbar\n```"),
        ("~~~\na\nb\n~~~", "~~~\na b\n~~~"),
        ("// a\nfoo();", "// a foo();"),
        ("a:\n  b: 1\n  c: 2", "a:\n  b: 1\nc: 2"),
        ("cat log | sort -R | uniq", "cat log | sort -r | uniq"),
        ("p { color: Red }", "p { color: red }"),
        ("Match (foo|Bar).", "Match (foo|bar)."),
        ("Use \\d+ here.", "Use \\D+ here."),
        ("^[a-z]+$", "^[A-Z]+$"),
        ("Call `Foo`.", "Call `foo`."),
        ('let s = "a b";', 'let s = "a  b";'),
        ("SELECT a FROM t WHERE b = 'X'", "SELECT a FROM t WHERE b = 'x'"),
        ("git branch -d old", "git branch -D old"),
        ("rm -rf / tmp", "rm -rf /tmp"),
        ('{\n  "A": 1\n}', '{\n  "a": 1\n}'),
        ("<pre>\n a\n</pre>", "<pre> a </pre>"),
        ("if (a >= b) {\n  c();\n}", "if (a <= b) {\n  c();\n}"),
        ("```print(1)\nprint(2)\n```", "```print(2)\nprint(2)\n```"),
    ],
)
def test_code_of_another_structure_or_other_characters_has_another_code(
    one: str, other: str
) -> None:
    first, second = code_codes(pl.Series([one, other]))
    assert first is not None
    assert second is not None
    assert first != second


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LOOP, "for n in rows:\n\ttotal += n  \n\nprint(total)\n"),
        (LOOP, "  for n in rows:\r\n      total += n\r\n  print(total)"),
        (LOOP, "for n in rows:\n  total += n\nprint(total)"),
        (LOOP, f"```python\n{LOOP}\n```"),
        (f"```python\n{LOOP}\n```", f"Here it is.\n\n````\n{LOOP}\n````\n\nIt adds up."),
        ("```js\na();\n```", "   ```javascript\n   a();\n   ```"),
        ("Call `x`  here", "Now call:\n`x` here"),
        ("The loop of the day.\n" + LOOP, "It may be this loop:\n" + LOOP),
    ],
)
def test_code_that_is_the_same_has_the_same_code(one: str, other: str) -> None:
    first, second = code_codes(pl.Series([one, other]))
    assert first is not None
    assert first == second


@pytest.mark.parametrize(
    ("code", "flat"),
    [
        (LOOP, LOOP.replace("\n", " ").replace("    ", "")),
        ("- name: a\n  run: b", "- name: a\nrun: b"),
        ("for n in rows:\n    # so\n    pass", "for n in rows:\n    # so\npass"),
    ],
)
def test_code_is_unlike_what_is_no_code_without_its_lines(code: str, flat: str) -> None:
    assert code_codes(pl.Series([code, flat])).n_unique() == 2


ABOUT_CASE = [
    "Write it in UPPERCASE.",
    "Say it in all caps.",
    "Use title case.",
    "Convert to camelCase.",
    "Is Python case-sensitive?",
    "Put it in proper case.",
    "Make it lower-case.",
    "Capitalize each word.",
    "Write it in capital letters.",
    "Start with a capital A.",
    "Schreibe es in Großbuchstaben.",
    "全部改成大写",
]
NOT_ABOUT_CASE = [
    "What is the capital of France?",
    "How are capital gains taxed?",
    "Is capital punishment just?",
    "List all capitals of Europe.",
    "How do I capitalize on this trend?",
    "What is a market capitalization?",
    "What should I do in case of fire?",
    "Name a famous case study.",
]


@pytest.mark.parametrize("prompt", ABOUT_CASE)
def test_case_matters_where_the_prompt_is_about_it(prompt: str) -> None:
    upper, same, lower = case_codes(
        pl.Series([prompt] * 3), pl.Series(["HE  SAID HI.", '"He said hi"'.upper(), "he said hi"])
    )
    assert upper == same
    assert lower not in {None, upper}


@pytest.mark.parametrize("prompt", NOT_ABOUT_CASE)
def test_case_does_not_matter_elsewhere(prompt: str) -> None:
    assert case_codes(pl.Series([prompt]), pl.Series(["PARIS"])).to_list() == [None]


def test_white_space_and_marks_matter_where_the_prompt_is_about_them() -> None:
    prompts = pl.Series(["Fix the indentation.", "Add the punctuation.", "Name a fruit."])
    texts = pl.Series(["a:\n- b", "Who is it?", "a:\n- b?"])
    assert layout_codes(prompts, texts).is_null().to_list() == [False, True, True]
    assert mark_codes(prompts, texts).is_null().to_list() == [True, False, True]
    both = pl.Series(["Fix the indentation."] * 2)
    assert layout_codes(both, pl.Series(["a:\n- b", "a:\n  - b"])).n_unique() == 2


@pytest.mark.parametrize(
    ("raised", "plain"),
    [("x²", "x2"), ("10⁻³", "10-3"), ("log₂8", "log28"), ("2ˣ", "2x"), ("2½", "21⁄2")],
)
def test_what_stands_high_or_low_is_unlike_what_does_not(raised: str, plain: str) -> None:
    codes = form_codes(pl.Series([f"It is {raised}.", f"It is {plain}."]))
    assert codes.is_null().to_list() == [False, True]


@pytest.mark.parametrize(
    "text", ["½ cup", "①", "ﬁne", "Ａ", "™", "5 µm", "3 Ω", "90º", "5 ㎡", "2^3"]
)
def test_forms_of_the_same_meaning_have_no_code(text: str) -> None:
    assert form_codes(pl.Series([text])).to_list() == [None]


def test_which_digit_stands_high_counts_and_white_space_does_not() -> None:
    one, same, other = form_codes(pl.Series(["x² + x2", "X²  +\nx2", "x2 + x²"]))
    assert one == same
    assert one != other


@pytest.mark.parametrize(
    "text",
    [
        "if " + "a == b(" * 40_000 + "`",
        "x" * 150_000 + " = [" + "a for b in " * 20_000 + "`",
        " " * 200_000 + "```",
        "".join("`" * n + "a" for n in range(1, 500)),
        "print(" * 50_000,
        "\t>" * 50_000 + "`" + "- " * 50_000,
    ],
)
def test_long_odd_texts_are_read_in_time_that_grows_with_their_length(text: str) -> None:
    assert len(code_codes(pl.Series([text]))) == 1


def test_code_in_the_middle_of_a_long_line_is_code() -> None:
    filler = "This is a long line. " * 40
    texts = pl.Series([f"{filler}SELECT a FROM b {filler}", f"{filler}SELECT A FROM b {filler}"])
    assert code_codes(texts).drop_nulls().n_unique() == 2


def test_null_texts_have_no_code() -> None:
    empty = pl.Series([None, ""], dtype=pl.String)
    for codes in (code_codes(empty), case_codes(empty, empty), form_codes(empty)):
        assert codes.dtype == pl.UInt64
        assert codes.to_list() == [None, None]


def test_the_kinds_are_those_of_the_setting() -> None:
    assert KINDS == ("numbers", "negations", "signs", "code", "case", "names")
