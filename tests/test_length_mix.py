"""What `match` says when it takes rows of other kinds to reach its target."""

from __future__ import annotations

import numpy as np
import pytest

from curate.base.contract import Findings
from filters.length.filter import Length
from tests.length_rows import of_lengths

TARGET = Length(action="match", quantiles=(3, 12, 400), tolerance=0.12)


def rows() -> tuple[list[int], int]:
    """Lengths of 970 short answers and of 30 up to 400 words."""
    rng = np.random.default_rng(0)
    short, long = rng.integers(1, 13, 970), np.geomspace(9, 400, 30).astype(int)
    return [*short.tolist(), *long.tolist()], 970


def told(findings: Findings) -> list[str]:
    return [each for each in findings.sentences if each.startswith("to reach the target")]


@pytest.mark.parametrize(
    ("column", "names", "sentence"),
    [
        (
            "task",
            ("name", "write"),
            "task group 'write' went from 3 % to {}, and that of task group",
        ),
        (
            "record.source",
            ("a.json", "b.json"),
            "source 'b.json' went from 3 % to {}, and that of source 'a.json' from 97 % to",
        ),
        (
            "record.category",
            (None, "stories"),
            "category 'stories' went from 3 % to {}, and that of rows without a category from",
        ),
    ],
)
def test_rows_of_another_kind_that_reach_the_target_are_named(
    column: str, names: tuple[str | None, str], sentence: str
) -> None:
    lengths, short = rows()
    kinds = [names[0]] * short + [names[1]] * (len(lengths) - short)
    judged = TARGET.judge(of_lengths(*lengths, **{column: kinds}))
    after = np.array(kinds)[judged.verdicts["keep"].to_numpy()].tolist().count(names[1])
    share = f"{100 * after / judged.verdicts['keep'].sum():.0f} %"
    (said,) = told(judged.findings)
    assert sentence.format(share) in said
    (mix,) = judged.findings.numbers["mix"].values()
    assert mix["before"] == 0.03 and mix["after"] > 0.3
    assert mix["moved"] == pytest.approx(mix["after"] - mix["before"])


def test_long_rows_of_all_kinds_shift_nothing_that_is_told() -> None:
    lengths, _ = rows()
    sources = [("a.json", "b.json", "c.json")[row % 3] for row in range(len(lengths))]
    judged = TARGET.judge(of_lengths(*lengths, **{"record.source": sources}))
    assert judged.verdicts["keep"].sum() < len(lengths)
    assert told(judged.findings) == []
    assert judged.findings.numbers["mix"]["source"]["moved"] < 0.3


def test_a_set_that_is_near_its_target_shifts_nothing() -> None:
    lengths = np.exp(np.random.default_rng(1).uniform(np.log(6), np.log(400), 900)).astype(int)
    sources = ["a.json" if length < 50 else "b.json" for length in lengths]
    step = Length(action="match", min=5, max=400, tolerance=0.1)
    judged = step.judge(of_lengths(*lengths.tolist(), **{"record.source": sources}))
    assert judged.verdicts["keep"].all()
    assert told(judged.findings) == []


def test_one_source_without_categories_has_no_mix() -> None:
    lengths, _ = rows()
    judged = TARGET.judge(of_lengths(*lengths))
    assert judged.findings.numbers["mix"] == {}


def test_steps_without_a_target_do_not_speak_of_one() -> None:
    lengths, short = rows()
    sources = ["a.json"] * short + ["b.json"] * (len(lengths) - short)
    for step in (Length(max=12), Length(action="trim"), Length(action="cap")):
        judged = step.judge(of_lengths(*lengths, **{"record.source": sources}))
        assert told(judged.findings) == []
