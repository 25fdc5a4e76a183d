"""Answers are parsed only where a format is asked for, and hostile ones do no harm."""

from __future__ import annotations

import time

import pytest

from filters.quality.fences import read_fences
from filters.quality.validators import fault_of
from filters.quality.validators_asked import wanted


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("Return the result as valid JSON.", ["json"]),
        ("Create a JSON object with a name and an age.", ["json"]),
        ("Convert this XML to JSON: <a/>", ["json"]),
        ("Convert the following JSON to XML.\n{}", ["xml"]),
        ("Generate a YAML configuration", []),
        ("Write a YAML file for two services", ["yaml"]),
        ("Write a program in Python that sorts a list", ["python"]),
        ("Write a Python script and put it in a code block.", ["python", "fence"]),
        ("What is the difference between JSON and XML?", []),
        ("How do I parse JSON in Python?", []),
        ("Write a Java program that reads a JSON file", []),
        ("Explain this Python code", []),
        ("Write a story about a python", []),
        ("Name a JSON parser in Rust", []),
        ("What does a code block do in Markdown?", []),
    ],
)
def test_only_an_order_for_the_format_counts(asked: str, names: list[str]) -> None:
    assert wanted(asked, "an answer") == names


def test_an_answer_that_is_one_named_block_is_held_to_its_name() -> None:
    assert wanted("Show me.", "```json\n{}\n```") == ["json"]
    assert wanted("Show me.", "Like so:\n```json\n{}\n```") == []
    assert wanted("Show me.", "```rust\nfn\n```") == []


@pytest.mark.parametrize(
    ("name", "answer", "fault"),
    [
        ("json", '{"a": NaN}', "NaN is no JSON"),
        ("json", '{"a": 1, "a": 2}', "the key 'a' comes twice"),
        ("json", "There is none.", "no JSON in the answer"),
        ("json", "[" * 100_000, "nested too deeply"),
        ("yaml", "Just a sentence.", "no YAML in the answer"),
        ("yaml", "```yaml\njust words\n```", "loads as a single value, not as a mapping or a list"),
        ("xml", "<a></b>", "mismatched tag: line 1, column 5"),
        ("python", "```python\nprint 1\n```", "Missing parentheses in call to 'print'"),
        ("fence", "print(1)", "no closed code block in the answer"),
        ("fence", "```\nprint(1)", "no closed code block in the answer"),
    ],
)
def test_the_fault_is_told_in_the_parsers_words(name: str, answer: str, fault: str) -> None:
    found = fault_of(name, answer)
    assert found is not None
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("json", 'Sure:\n{"a": [1, 2]}\nDone.'),
        ("json", "```python\nx = 1\n```"),
        ("yaml", "- a\n- b"),
        ("yaml", "a: 1\n---\nb: 2"),
        ("xml", '<?xml version="1.0"?>\n<a><b/></a>'),
        ("python", ">>> x = 1\n>>> x\n1"),
        ("python", "    x = 1\n    y = 2"),
        ("python", "Here is one way.\n\n```\nx = 1\n```"),
        ("python", "Install it.\n\n```\npip install x\n```\n\nThen:\n\n```\nimport x\n```"),
        ("python", 'import re\nre.match("\\d", x)'),
    ],
)
def test_what_parses_has_no_fault(name: str, answer: str) -> None:
    assert fault_of(name, answer) is None


def test_bombs_are_refused_at_once() -> None:
    xml = '<!DOCTYPE a [<!ENTITY b "ha">]><a>&b;</a>'
    layers = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30))
    started = time.process_time()
    assert fault_of("xml", xml) == "declares the entity 'b'"
    assert fault_of("yaml", f"l0: &l0 [x]\n{layers}") == "more than 100 aliases"
    assert fault_of("python", "x = " + "(" * 5_000 + ")" * 5_000) is not None
    assert time.process_time() - started < 5


def test_python_tags_in_yaml_are_never_run() -> None:
    fault = fault_of("yaml", "a: !!python/object/apply:os.getcwd []")
    assert fault is not None
    assert "could not determine a constructor" in fault


def test_thousands_of_open_fences_are_read_in_one_pass() -> None:
    started = time.process_time()
    assert read_fences("```x\n" * 40_000) == ([], "```x")
    assert time.process_time() - started < 5
