"""Rows of a YAML list: what cannot be built of one costs no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.sources import read

GOOD = '- instruction: Add.\n  output: "3"\n'


@pytest.mark.parametrize(
    ("odd", "kept", "reason"),
    [
        ("- instruction: !nothing x\n  output: y\n", 2, "tag '!nothing'"),
        ("- instruction: 2024-13-45\n  output: y\n", 2, "month must be in 1..12"),
        (f"- instruction: {'9' * 5000}\n  output: y\n", 2, "5000 digits"),
        (f"- instruction: {'[' * 300}{']' * 300}\n  output: y\n", 2, "deeper than 200"),
        ("- {[1, 2]: x, output: y}\n", 2, "unhashable key"),
        ("- &a {instruction: x, output: y}\n- *a\n", 3, "aliases"),
        ("- {instruction: x, output\n", 1, "what follows the row before it is lost"),
    ],
    ids=["tag", "date", "digits", "depth", "key", "alias", "cut"],
)
def test_a_row_that_cannot_be_built_is_a_reject(
    tmp_path: Path, odd: str, kept: int, reason: str
) -> None:
    (tmp_path / "a.yaml").write_text(GOOD + odd + GOOD)
    dump = read([str(tmp_path / "a.yaml")])
    (found,) = dump.rejects["reason"]
    assert (dump.records.height, found.split(":")[0]) == (kept, "invalid_yaml")
    assert reason in found
