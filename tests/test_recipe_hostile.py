"""A recipe may be anybody's file: whatever it holds is steps, or one sentence with the line."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from curate.base import values
from curate.base.errors import CurateError
from curate.cli import main
from curate.pipeline import recipe


def error_of(folder: Path, text: str) -> str:
    path = folder / "recipe.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    start = time.monotonic()
    with pytest.raises(CurateError) as error:
        recipe.load(str(path))
    assert time.monotonic() - start < 10
    return str(error.value)


def doubled(first: str, line: str, times: int = 20) -> str:
    """Lines of which each names the one before it ten times."""
    names = [chr(ord("a") + at) for at in range(times)]
    pairs = itertools.pairwise(names)
    return first + "".join(
        line.format(new=new, old=f"*{old}, " * 9 + f"*{old}") for old, new in pairs
    )


# What the file holds, and what the sentence says of it.
WITH_A_LINE = {
    "tag of a date": (
        "steps:\n- near: {threshold: !!timestamp 2024-13-45}",
        "line 2, column 21: the tag '!!timestamp' is none",
    ),
    "tag of a module": (
        "steps: [!!python/object/apply:os.system [ls]]",
        "line 1, column 9: the tag '!!python/object",
    ),
    "tag of a name": (
        "steps: [near: {keep: !!python/name:os.system }]",
        "the tag '!!python/name:os.system'",
    ),
    "binary": ("steps: [near: {keep: !!binary '%%%'}]", "line 1, column 22: the tag '!!binary'"),
    "set": ("steps: !!set {near, exact}", "line 1, column 8: the tag '!!set'"),
    "omap": ("steps: !!omap [a: 1]", "the tag '!!omap'"),
    "own tag": (
        "%TAG ! tag:x,2000:\n---\nsteps: [!a near]",
        "line 3, column 9: the tag 'tag:x,2000:a'",
    ),
    "list as a name": (
        "steps:\n- {? [a, b] : c}",
        "line 2, column 6: a list or mapping cannot be a name",
    ),
    "mapping as a name": ("steps: [{? {a: b} : c}]", "a list or mapping cannot be a name"),
    "aliases": (
        doubled("a: &a [x, x]\n", "{new}: &{new} [{old}]\n"),
        "line 6, column 4: more than 100,000 values",
    ),
    "merges": (
        doubled("a: &a {k: 1}\n", "{new}: &{new} {{<<: [{old}]}}\n"),
        "more than 100,000 values",
    ),
    "deep list": ("steps: " + "[" * 10_000 + "]" * 10_000, "line 1, column 57: more than 50 lists"),
    "deep mapping": (
        "steps: " + "{a: " * 5_000 + "1" + "}" * 5_000,
        "more than 50 lists or mappings",
    ),
    "deep lines": (
        "\n".join(" " * at + "a:" for at in range(600)),
        "line 50, column 50: more than 50",
    ),
    "cycle": ("steps: &s [*s]", "line 1, column 12: *s stands inside of what it names"),
    "cycle of a mapping": ("steps:\n- near: &a {x: *a}", "line 2, column 16: *a stands inside"),
    "cycle of a merge": ("steps: [near: &a {<<: *a}]", "*a stands inside of what it names"),
    "null character": ("steps: [near]\n\0", "line 2: the character U+0000 is not allowed"),
    "no character": ("steps: [\ufffe]", "line 1: the character U+FFFE is not allowed"),
    "huge number": (f"steps: [near: {{threshold: {'9' * 5_000}}}]", "cannot be read as int"),
    "no number": (
        "steps: [near: {threshold: !!float abc}]",
        "line 1, column 27: 'abc' cannot be read as float",
    ),
    "no truth": ("steps: [near: {threshold: !!bool abc}]", "'abc' cannot be read as bool"),
    "list as a number": (
        "steps: [near: {threshold: !!int [1]}]",
        "a list or mapping cannot be read as int",
    ),
    "text as a mapping": ("steps: [near: !!map abc]", "'abc' cannot be read as map"),
    "name twice": ("steps: [near]\nsteps: [exact]", "line 2, column 1: 'steps' is given twice"),
    "tab": (
        "steps:\n\t- near",
        "line 2, column 1: while scanning for the next token, found character '\\t'",
    ),
    "merge of a number": (
        "steps: [near: {<<: 5}]",
        "line 1, column 20: while constructing a mapping",
    ),
    "unknown alias": ("steps: *nope", "line 1, column 8: found undefined alias 'nope'"),
    "two documents": (
        "steps: [near]\n---\nsteps: [exact]",
        "line 2, column 1: expected a single document",
    ),
    "escape of no character": (
        'steps:\n- "\\U00110000"',
        "line 2, column 6: chr() arg not in range",
    ),
    "escape of a huge number": ('steps: ["\\UFFFFFFFF"]', "line 1, column 12"),
    "odd version": (
        "%YAML 9.9\n---\nsteps: [near]",
        "line 1, column 1: found incompatible YAML document",
    ),
}


@pytest.mark.parametrize("case", list(WITH_A_LINE))
def test_what_yaml_cannot_build_is_a_sentence_with_the_line(tmp_path: Path, case: str) -> None:
    text, message = WITH_A_LINE[case]
    error = error_of(tmp_path, text)
    assert message in error
    assert "recipe.yaml: not valid YAML (" in error
    assert len(error) < 500
    assert "\n" not in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: [near: {threshold: 2024-13-45}]", "threshold is '2024-13-45'; expected a number"),
        ("steps: [near: {threshold: .nan}]", "threshold is nan; expected a finite number"),
        ("steps: [near: {threshold: 1e999}]", "threshold is inf; expected a finite number"),
        (f"steps: [near: {{num_perm: {'9' * 400}}}]", "expected a number of at most 64 bits"),
        (f"steps: [near: {{threshold: {'9' * 400}}}]", "expected a number of at most 64 bits"),
        ("steps: [near: {1: 2}]", "step 'near': 1 is no name of a setting; expected text"),
        ("steps: [near: {null: 2}]", "step 'near': None is no name of a setting"),
        ("steps: [{true: 2}]", "step 1 is {True: 2}; expected a name"),
        ("1: x\nsteps: []", "unknown entry 1; known are seed and steps"),
        ("seed: -1\nsteps: [near]", "seed is -1; expected a whole number from 0"),
        ("seed: true\nsteps: [near]", "seed is True; expected a whole number from 0"),
        (f"seed: {'9' * 400}\nsteps: [near]", "expected a whole number from 0 to 4,294,967,295"),
        (f"steps: [{'near,' * 2_000}]", "2,000 steps; expected at most 1,000"),
        (f"steps: [{'a' * 5_000}]", "unknown step 'aaaa"),
        (f"steps: ['{'a/' * 5_000}x.py:f']", "no such file beside the recipe"),
        (f"steps: ['{'a' * 5_000}.py:f']", "no such file beside the recipe"),
        ('steps: ["a\\0b.py:f"]', "no such file beside the recipe"),
        ('steps: ["\\ud800.py:f"]', "no such file beside the recipe"),
        ("steps: [' :f']", "No module named ' '"),
        ("steps: ['.x:f']", "step '.x:f'"),
        ("steps: [':']", "step ':'"),
        ("", "needs a list called 'steps'"),
        ("x" * 300_000, "300,000 characters; expected at most 200,000"),
        ("x" * 2_000_000, "too long for a recipe; at most 200,000 characters"),
        ("steps: [near]\n\ud800", "not a text file in UTF-8 (line 2: invalid continuation byte)"),
    ],
    ids=range(25),
)
def test_what_yaml_can_build_and_no_recipe_holds_is_a_short_sentence(
    tmp_path: Path, text: str, message: str
) -> None:
    error = error_of(tmp_path, text)
    assert message in error
    assert len(error) < 600


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("near.threshold=!!python/name:os.system", "(line 1, column 1: the tag '!!python/name"),
        ("near.threshold=&a [*a]", "*a stands inside of what it names"),
        (f"near.threshold={'[' * 10_000}", "more than 50 lists or mappings"),
        (f"near.threshold={'9' * 5_000}", "cannot be read as int"),
        ("near.threshold=.nan", "threshold is nan; expected a finite number"),
        ("near.keep=\x1b[31m", "U+001B is not allowed"),
        (f"near.{'x' * 5_000}=1", "step 'near' has no setting 'xxx"),
        (f"{'x' * 5_000}=1", "expected step.field"),
        ("near.keep=\u202etsrif", "keep is '\\u202etsrif'; expected one of first"),
    ],
    ids=range(9),
)
def test_a_value_after_set_is_read_as_strictly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str, message: str
) -> None:
    (tmp_path / "dump.jsonl").write_text('{"instruction": "q", "output": "a"}\n', "utf-8")
    asked = ["run", str(tmp_path / "dump.jsonl"), "--set", given, "--out", str(tmp_path / "RUN")]
    assert main(asked) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert len(error) < 700


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("\ufeffsteps: [near]", ["near"]),
        ("steps:\r\n- near\r\n", ["near"]),
        ("steps: [near: {<<: {keep: best}, threshold: 0.5}]", ["near"]),
        ("steps: [near: &a {keep: best}, near: *a]", ["near", "near-2"]),
        ("steps: []", []),
    ],
    ids=range(5),
)
def test_what_is_odd_but_plain_is_read(tmp_path: Path, text: str, found: list[str]) -> None:
    (tmp_path / "recipe.yaml").write_bytes(text.encode())
    loaded = recipe.load(str(tmp_path / "recipe.yaml"))
    assert [step.name for step in loaded.steps] == found


def test_settings_of_a_python_caller_may_be_any_number() -> None:
    with pytest.raises(CurateError, match="threshold is a int that cannot be shown"):
        recipe.load("default", {"near.threshold": 10**5_000})


def test_the_greatest_text_that_is_read_takes_seconds() -> None:
    text = "[" + "1," * (values.LONGEST // 2 - 2) + "]"
    start = time.monotonic()
    assert len(values.load(text)) == values.LONGEST // 2 - 2
    assert time.monotonic() - start < 20
