"""Fuzzers find what they should find, in the same cases each time; saved cases stay mended."""

from __future__ import annotations

import doctest
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz import octets, record, shrink
from fuzz.child import checked, made
from fuzz.contract import Case, Fault, Fuzzer
from fuzz.fuzzers.pages import shape_of
from fuzz.runner import alone, run
from fuzz.shrink import shrunk

ROOT = Path(__file__).resolve().parent.parent
SAVED = sorted((ROOT / "fuzz" / "cases").glob("*.json"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@pytest.mark.parametrize("path", SAVED, ids=[path.stem for path in SAVED])
def test_a_case_that_failed_once_fails_no_more(path: Path) -> None:
    saved = json.loads(path.read_text("utf-8"))
    assert alone(saved["fuzzer"], saved["case"]) is None  # in a process that it may end


@pytest.mark.parametrize("name", ["rows", "files", "settings", "templates", "rendering"])
def test_a_seed_and_a_number_make_the_same_case(name: str) -> None:
    some = [made(name, "1", number) for number in range(20)]
    assert some == [made(name, "1", number) for number in range(20)]
    assert some == json.loads(json.dumps(some))
    assert some != [made(name, "2", number) for number in range(20)]


def fuzzer(check: Callable[[Case, Path], str]) -> Fuzzer:
    return Fuzzer(lambda chance: {}, check)


def test_what_a_check_raises_is_a_fault_named_after_its_place(tmp_path: Path) -> None:
    def loses(case: Case, folder: Path) -> str:
        raise Fault("words are lost: zq1z")

    def fails(case: Case, folder: Path) -> str:
        from curate.base.schema import content_id

        return content_id([3])  # type: ignore[list-item]

    def ends(case: Case, folder: Path) -> str:
        raise SystemExit(3)

    found = [checked(fuzzer(check), {}, tmp_path) for check in (loses, fails, ends)]
    assert found[0]["kind"] == "Fault: words are lost" and "zq1z" in found[0]["fault"]
    assert found[1]["kind"].startswith("AttributeError in schema.py:")
    assert found[2]["kind"].startswith("SystemExit in ")
    assert checked(fuzzer(lambda case, folder: "done"), {}, tmp_path) == {"outcome": "done"}


def test_a_case_that_never_ends_ends_its_process_and_says_where(tmp_path: Path) -> None:
    code = (
        "from fuzz import limits\nlimits.SECONDS = 0.2\nlimits.hold()\nlimits.watch()\n"
        "def turns():\n    while True: pass\nturns()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode < 0 and "in turns" in done.stderr


def test_a_case_alone_has_the_outcome_that_it_has_among_others() -> None:
    good = {"rows": [{"prompt": "Hi", "completion": "Hello"}], "options": {}, "many": True}
    assert alone("rows", good) is None
    found = alone("rows", {**good, "options": {"paths": 3.5, "nothing": 1}})
    assert found is not None and found.kind.startswith("TypeError in ")


def test_a_run_of_a_fuzzer_counts_its_cases() -> None:
    said: list[str] = []
    tally = run("rows", "tests", 120, 30, said.append, save=False)
    assert tally.cases == 30 and tally.inputs >= 60 and not tally.faults, said
    assert sum(tally.outcomes.values()) == 30


@given(st.dictionaries(st.sampled_from(["rows", "b"]), VALUES, min_size=1))
def test_a_smaller_case_still_fails_and_keeps_its_fields(case: dict[str, Any]) -> None:
    def fails(one: Any) -> bool:
        return "x" in json.dumps(one) or "1" in json.dumps(one)

    if fails(case):
        smaller = shrunk(case, fails, 5)
        assert fails(smaller) and set(smaller) == set(case)
        assert len(json.dumps(smaller)) <= len(json.dumps(case))


@given(st.binary(max_size=60), st.integers(0, 1000))
def test_changed_bytes_are_a_function_of_the_seed(data: bytes, seed: int) -> None:
    once, again = (octets.mutated(random.Random(seed), data, b"other") for _ in range(2))
    assert once == again and octets.read(octets.written(once)) == once


def test_hostile_markup_on_a_page_is_seen() -> None:
    shape = shape_of(
        "<p onclick='x'>a</p><script>zqplant()</script><a href='javascript:1'>b</a>"
        "<!-- zqplant --><p style='background: url(x)'>"
    )
    assert "onclick" in shape.attributes and shape.scripts == {"zqplant()"}
    assert shape.loads == ["javascript:1"] and shape.other == [" zqplant "]
    assert shape.styles == ["background: url(x)"]
    assert shape_of("<p>&lt;script&gt;zqplant()&lt;/script&gt;</p>").tags == {"p"}


def test_examples_of_the_fuzzers_are_right() -> None:
    for module in (record, shrink):
        assert doctest.testmod(module).attempted and not doctest.testmod(module).failed
