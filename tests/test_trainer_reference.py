"""The page of what the tests hold names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
LINE = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
NAME = re.compile(r"`(\w+): (\w+)`")


def page() -> str:
    return (HERE.parent / "docs" / "training_tests.md").read_text("utf-8")


def test_all_lines_from_1_to_53_and_on_name_tests_and_nothing_else() -> None:
    found = LINE.findall(page())
    assert len(found) >= 53
    assert [int(number) for number, _, _ in found] == list(range(1, len(found) + 1))
    for number, _, tests in found:
        rest = NAME.sub("", tests)
        assert NAME.search(tests) and not rest.strip(", "), f"line {number}: {rest!r}"


def test_every_test_named_is_there_and_not_switched_off() -> None:
    for number, _, tests in LINE.findall(page()):
        for room, name in NAME.findall(tests):
            files = [HERE / f"test_{part}_{room}.py" for part in ("trainer", "templates")]
            text = "".join(file.read_text("utf-8") for file in files if file.is_file())
            there = re.search(rf"((?:^@.*\n(?:^[ )].*\n)*)*)^def test_{name}\(", text, re.MULTILINE)
            assert there, f"line {number}: no test {name} in {' or '.join(f.name for f in files)}"
            assert "mark.skip(" not in there[1] and "mark.xfail" not in there[1], name
