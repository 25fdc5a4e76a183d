from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.base.errors import CurateError
from trainer.checks.gate import check, rendered
from trainer.config.reasons import REASONS
from trainer.data.rows import make_rows
from trainer.data.split import split
from trainer.data.tokens import Limits, Tokens

LIMITS = Limits(vocabulary=32, positions=8)
GOOD = ([1, 4, 3, 5, 2], [-100, -100, -100, 5, 2])


def tokens(*rows: tuple[list[int], list[int]], **fields: Any) -> Tokens:
    names = [f"id-{number}" for number in range(len(rows))]
    made = make_rows(names, [row[0] for row in rows], [row[1] for row in rows])
    stops = {"stop_ids": (2,), "stop_strings": (), **fields}
    return Tokens(Path("TOKENS"), made, **{"manifest": {}, "manifest_hash": "", **stops})


def refusal(*rows: tuple[list[int], list[int]], **fields: Any) -> str:
    with pytest.raises(CurateError) as refused:
        check(tokens(*rows, **fields), LIMITS, ())
    return str(refused.value)


def test_good_rows_pass():
    assert check(tokens(GOOD, GOOD), LIMITS, ()).usable.tolist() == [0, 1]


def test_a_folder_without_rows_is_refused():
    assert "holds no rows" in refusal()


def test_a_row_without_targets_is_refused_by_name():
    said = refusal(GOOD, ([1, 4, 2], [-100, -100, -100]))
    assert "1 of 2 rows" in said
    assert "no-targets: nothing in the row is trained: row 1 (id-1)" in said
    assert "allow by name: no-targets" in said


def test_a_row_whose_only_label_is_its_first_token_has_no_target():
    assert "no-targets" in refusal(GOOD, ([2, 4], [2, -100]))


def test_all_rows_masked_is_refused_even_when_allowed():
    masked = ([1, 4, 2], [-100, -100, -100])
    with pytest.raises(CurateError, match=r"no row is left to train on \(no-targets 2\)"):
        check(tokens(masked, masked), LIMITS, ("no-targets",))


@pytest.mark.parametrize("stray", [32, -1])
def test_an_id_outside_the_vocabulary_is_refused(stray: int):
    said = refusal(GOOD, ([1, stray, 5, 2], [-100, -100, 5, 2]))
    assert "vocabulary: an id is negative or beyond the model's vocabulary" in said
    assert "model has 32 ids" in said


def test_a_row_longer_than_the_model_is_refused_with_both_numbers():
    said = refusal(GOOD, ([1] * 8 + [2], [-100] * 8 + [2]))
    assert "too-long" in said
    assert "longest row 9, model has 8 positions" in said


def test_a_model_without_a_position_limit_takes_any_length():
    long = ([1] * 8 + [2], [-100] * 8 + [2])
    assert len(check(tokens(long), Limits(32, None), ()).usable) == 1


def test_a_turn_that_does_not_end_with_a_stop_is_refused():
    assert "no-stop" in refusal(GOOD, ([1, 4, 3, 5, 6], [-100, -100, -100, 5, 6]))


def test_each_turn_needs_its_own_stop():
    two_turns = ([1, 5, 4, 3, 6, 2], [-100, 5, -100, -100, 6, 2])
    assert "no-stop" in refusal(two_turns)
    both = ([1, 5, 2, 3, 6, 2], [-100, 5, 2, -100, 6, 2])
    assert len(check(tokens(both), LIMITS, ()).usable) == 1


def test_the_turn_of_one_row_does_not_run_on_into_the_next():
    unstopped, trained_from_the_start = ([1, 5], [-100, 5]), ([6, 2], [6, 2])
    said = refusal(unstopped, trained_from_the_start)
    assert "row 0 (id-0)" in said
    assert "row 1" not in said


def test_a_stop_spelt_in_several_tokens_is_found_by_decoding():
    spelt = ([1, 4, 3, 5, 10, 11], [-100, -100, -100, 5, 10, 11])
    letters = {1: "<s>", 3: "?", 4: "a", 5: "b", 10: "EN", 11: "D"}

    def decode(ids: list[int]) -> str:
        return "".join(letters[token] for token in ids)

    made = tokens(spelt, stop_strings=("END",))
    assert len(check(made, LIMITS, (), decode).usable) == 1
    with pytest.raises(CurateError, match="no-stop"):
        check(tokens(spelt, stop_strings=("STOP",)), LIMITS, (), decode)


def test_a_stop_in_the_prompt_does_not_count_for_the_answer():
    row = ([1, 10, 5], [-100, -100, 5])
    with pytest.raises(CurateError, match="no-stop"):
        check(tokens(row, stop_strings=("ENDb",)), LIMITS, (), lambda ids: "END" * (len(ids) - 1))


def test_labels_that_are_already_shifted_are_refused():
    shifted = ([1, 4, 3, 5, 2], [-100, -100, 5, 2, -100])
    said = refusal(GOOD, shifted, stop_ids=(2, 3, 5))
    assert "labels-differ: a trained label is not the token at its own position" in said


def test_allowed_rows_that_cannot_be_computed_are_left_out_and_counted():
    masked, long = ([1, 4, 2], [-100] * 3), ([1] * 8 + [2], [-100] * 8 + [2])
    passed = check(tokens(GOOD, masked, long), LIMITS, ("no-targets", "too-long"))
    assert passed.usable.tolist() == [0]
    assert passed.allowed == {"too-long": 1, "no-targets": 1}


def test_allowed_rows_without_a_stop_are_trained_as_they_are():
    unstopped = ([1, 4, 3, 5, 6], [-100, -100, -100, 5, 6])
    passed = check(tokens(GOOD, unstopped), LIMITS, ("no-stop",))
    assert passed.usable.tolist() == [0, 1]
    assert passed.allowed == {"no-stop": 1}


def test_allowing_one_reason_allows_no_other():
    masked, unstopped = ([1, 4, 2], [-100] * 3), ([1, 4, 3, 5], [-100, -100, -100, 5])
    with pytest.raises(CurateError, match="1 of 3 rows") as refused:
        check(tokens(GOOD, masked, unstopped), LIMITS, ("no-targets",))
    assert "no-stop" in str(refused.value)
    assert "no-targets" not in str(refused.value)


RENDERED = {"special": {"bos_token": "<s>", "eos_token": "</s>"}, "eos_ids": [2]}


@pytest.mark.parametrize(
    ("vocabulary", "said"),
    [
        ({"<s>": 1, "<|end|>": 2}, "eos_token '</s>' is no token of the model's"),
        ({"<s>": 1, "</s>": 5}, "eos_token '</s>' is 5 in the model's, [2] in the rows"),
    ],
)
def test_another_tokenizer_than_that_of_the_rows_is_refused(vocabulary: dict[str, int], said: str):
    made = tokens(GOOD, manifest={"tokenizer": RENDERED})
    with pytest.raises(CurateError) as refused:
        check(made, LIMITS, (), None, vocabulary.get)
    assert "tokenizer: the model's tokenizer has other special tokens" in str(refused.value)
    assert said in str(refused.value)
    assert check(made, LIMITS, ("tokenizer",), None, vocabulary.get).allowed == {"tokenizer": 1}


def test_the_tokenizer_of_the_rows_passes():
    made = tokens(GOOD, manifest={"tokenizer": RENDERED})
    assert len(check(made, LIMITS, (), None, {"<s>": 1, "</s>": 2}.get).usable) == 1
    assert len(check(made, LIMITS, (), None, None).usable) == 1


def test_a_long_list_of_rows_is_cut_with_its_count():
    masked = ([1, 4, 2], [-100, -100, -100])
    assert "and 7 more" in refusal(*[masked] * 10)


def test_every_reason_is_a_slug_with_a_sentence():
    for name, sentence in REASONS.items():
        assert name == name.lower() and " " not in name
        assert len(sentence.split()) > 4


def test_a_turn_that_goes_on_after_its_stop_is_refused():
    """Generation ends at the stop, so what follows is never said."""
    twice = ([1, 3, 5, 2, 6, 2], [-100, -100, 5, 2, 6, 2])
    said = refusal(GOOD, twice)
    assert "early-stop: a trained turn goes on after a stop token" in said
    assert check(tokens(twice), LIMITS, ("early-stop",)).allowed == {"early-stop": 1}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"roles": ["assistant", "user"]}, "rendered with trained user turns, which leaves"),
        ({"mask": "tag", "roles": ["assistant"]}, "rendered with masks by the template's tags"),
        ({"open_field": "open"}, "rendered with answers that go on"),
    ],
)
def test_turns_without_a_stop_by_choice_are_allowed_by_name_and_the_choice_is_said(
    options: dict[str, Any], why: str
):
    unstopped = ([1, 4, 3, 5, 6], [-100, -100, -100, 5, 6])
    manifest = {"options": options}
    assert why in refusal(unstopped, manifest=manifest)
    passed = check(tokens(GOOD, unstopped, manifest=manifest), LIMITS, ("no-stop",))
    assert passed.usable.tolist() == [0, 1]


def test_parts_of_a_split_conversation_are_on_one_side():
    """`--history split` makes several rows of one id, with prompts of their own."""
    parts = [([1, 4 + part, 3, 5, 2], [-100, -100, -100, 5, 2]) for part in range(20)]
    made = make_rows(
        [f"id-{part // 4}" for part in range(20)],
        [ids for ids, _ in parts],
        [labels for _, labels in parts],
    )
    train, held = split(made, np.arange(20), 0.3, seed=0)
    assert len(held) == 4
    sides = [{made.ids[row] for row in side.tolist()} for side in (train, held)]
    assert not sides[0] & sides[1]


def test_what_rendering_did_is_said_before_training():
    counts = {
        "examples": 12,
        "refused": 3,
        "truncated": 1,
        "trained_turns": 14,
        "trained_stops": 13,
    }
    assert rendered({"counts": counts}) == [
        "rendered: 12 rows, 3 refused, 1 cut, 0 made by splitting conversations, 0 with an empty "
        "answer; 14 trained turns, 13 of them with their stop"
    ]
    assert rendered({"counts": {"rows": 3}}) == [] == rendered({})
