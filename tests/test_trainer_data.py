from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import curate
from curate.base.errors import CurateError
from tests.trainer_toys import reversed_pairs, with_masks, write_columns, write_tokens
from trainer.data.batches import batches, epoch_order, pad, step_seed
from trainer.data.rows import make_rows, shift
from trainer.data.split import prompt_lengths, split
from trainer.data.tokens import load_tokens


def test_labels_move_left_by_one_within_each_document():
    rows = make_rows(["a", "b"], [[5, 6, 7], [8, 9]], [[-100, 6, 7], [-100, 9]])
    assert rows.targets.tolist() == [6, 7, -100, 9, -100]
    assert rows.target_counts.tolist() == [2, 1]


def test_the_first_token_of_a_document_is_never_a_target():
    rows = make_rows(["a", "b"], [[5, 6], [8, 9]], [[5, 6], [8, 9]])
    assert rows.targets.tolist() == [6, -100, 9, -100]


def test_empty_documents_neither_take_nor_give_targets():
    rows = make_rows(["a", "b", "c"], [[], [5, 6], []], [[], [5, 6], []])
    assert rows.targets.tolist() == [6, -100]
    assert rows.target_counts.tolist() == [0, 1, 0]


def test_shifting_does_not_touch_the_labels_it_was_given():
    labels = np.array([-100, 6, 7])
    shift(labels, np.array([0, 3]), -100)
    assert labels.tolist() == [-100, 6, 7]


def test_a_folder_is_read_as_it_was_written(tmp_path: Path):
    tokens = load_tokens(write_tokens(tmp_path / "tokens", reversed_pairs(3)))
    assert tokens.rows.ids == ("0" * 16, "0" * 15 + "1", "0" * 15 + "2")
    assert tokens.rows.lengths.tolist() == [7, 7, 7]
    assert tokens.rows.input_ids[:7].tolist() == [1, 4, 4, 3, 4, 4, 2]
    assert tokens.rows.labels[:7].tolist() == [-100, -100, -100, -100, 4, 4, 2]
    assert tokens.stop_ids == (2,)


def test_rows_without_ids_are_refused_for_a_split_would_keep_them_together(tmp_path: Path):
    rows = [(None, ids, labels) for _, ids, labels in reversed_pairs(2)]
    with pytest.raises(CurateError, match=r"sources.parquet: column 'id' has 2 nulls"):
        load_tokens(write_tokens(tmp_path / "tokens", rows))


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path):
    with pytest.raises(CurateError, match="there is no such tokens folder"):
        load_tokens(str(tmp_path / "nowhere"))


def test_a_folder_that_is_no_tokens_folder_is_refused(tmp_path: Path):
    (tmp_path / "kept.jsonl").write_text("{}")
    with pytest.raises(CurateError, match=r"not a tokens folder .* `curate render` writes one"):
        load_tokens(str(tmp_path))


def test_a_dataset_without_rows_is_refused(tmp_path: Path):
    with pytest.raises(CurateError, match=r"cannot be read as a dataset .* render the rows"):
        load_tokens(write_tokens(tmp_path / "tokens", []))


def test_a_dataset_without_a_manifest_is_refused(tmp_path: Path):
    folder = write_tokens(tmp_path / "tokens", reversed_pairs(3))
    (tmp_path / "tokens" / "manifest.json").unlink()
    with pytest.raises(CurateError, match="not a tokens folder"):
        load_tokens(folder)


def test_a_manifest_without_stops_is_refused(tmp_path: Path):
    folder = write_tokens(tmp_path / "tokens", reversed_pairs(3))
    (tmp_path / "tokens" / "manifest.json").write_text(json.dumps({"counts": {}}))
    with pytest.raises(CurateError, match=r"stop\.ids: expected a list of ids, and there is none"):
        load_tokens(folder)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"input_ids": [5], "labels": [5]},
            "column 'input_ids' holds int.*, expected lists of ids",
        ),
        ({"input_ids": ["hi"], "labels": ["hi"]}, "column 'input_ids' holds string, expected list"),
        ({"input_ids": [[5]], "labels": [[0.5]]}, "'labels' holds list<.*double>, expected lists"),
        (
            {"input_ids": [[5]], "labels": [[5]], "weights": [1.0]},
            "column 'weights' holds double, expected lists of numbers",
        ),
        (
            {"input_ids": [[5]], "labels": [[5]], "weights": [["a"]]},
            "column 'weights' holds list<.*string>, expected lists of numbers",
        ),
        (
            {"input_ids": [[5]], "labels": [[5]], "attention_mask": [[True]]},
            "column 'attention_mask' holds list<.*bool>, expected lists of ones",
        ),
    ],
)
def test_columns_that_are_no_lists_of_numbers_are_refused(
    tmp_path: Path, columns: dict[str, Any], said: str
):
    folder = write_columns(tmp_path / "odd", ["a"], {"attention_mask": [[1]], **columns})
    with pytest.raises(CurateError, match=said):
        load_tokens(folder)


@pytest.mark.parametrize("file", ["state.json", "dataset_info.json"])
@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"features": {"id": 3}}', "{"])
def test_a_dataset_whose_own_files_were_changed_is_refused_or_read(
    tmp_path: Path, file: str, text: str
):
    folder = write_tokens(tmp_path / "tokens", reversed_pairs(3))
    (tmp_path / "tokens" / file).write_text(text)
    if (file, text) == ("dataset_info.json", "{}"):  # what it says is in the rows' file too
        assert len(load_tokens(folder).rows) == 3
        return
    with pytest.raises(CurateError, match=r"cannot be read as a dataset .* render the rows again"):
        load_tokens(folder)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"stop": {"ids": [2.5], "strings": []}}, r"stop.ids: expected a list of ids, got \[2.5\]"),
        ({"stop": {"ids": 2, "strings": []}}, "stop.ids: expected a list of ids, got 2"),
        ({"template": {"source": 5}}, "template.source: expected a text, got 5"),
        ({"tokenizer": "toy"}, "tokenizer: expected an object, got 'toy'"),
        ({"tokenizer": {"special": {"eos_token": None}}}, "tokenizer.special: expected an object"),
        ({"tokenizer": {"eos_ids": 7}}, "tokenizer.eos_ids: expected a list of ids, got 7"),
        ({"tokenizer": {"added": {"<x>": "40"}}}, "tokenizer.added: expected an object with an id"),
        ({"tokenizer": {"functional": [1]}}, "tokenizer.functional: expected an object with an id"),
        ({"counts": {"trained_turns": "many"}}, "counts.trained_turns: expected a whole number"),
        ({"options": {"roles": "assistant"}}, "options.roles: expected a list of texts"),
    ],
)
def test_a_manifest_that_was_changed_is_refused_before_anything_is_loaded(
    tmp_path: Path, changed: dict[str, Any], said: str
):
    folder = write_tokens(tmp_path / "tokens", reversed_pairs(3), **changed)
    with pytest.raises(CurateError, match=f"manifest.json: {said}"):
        load_tokens(folder)


def test_labels_of_another_length_are_refused_with_the_row(tmp_path: Path):
    folder = write_tokens(tmp_path / "tokens", [("a", [1, 2], [1, 2]), ("b", [1, 2, 3], [1, 2])])
    with pytest.raises(CurateError, match=r"row 1 \(b\): 3 tokens, 2 labels"):
        load_tokens(folder)


def test_a_column_that_training_does_not_read_is_an_error(tmp_path: Path):
    columns = with_masks({"input_ids": [[5, 6]], "labels": [[-100, 6]]})
    folder = write_columns(tmp_path / "odd", ["a"], {**columns, "weight": [[1.0, 1.0]]})
    with pytest.raises(CurateError, match="reads no column 'weight'; did you mean 'weights'"):
        load_tokens(folder)


@pytest.mark.parametrize(
    ("columns", "missing"),
    [
        ({"input_ids": [[1]]}, "labels, attention_mask"),
        ({"input_ids": [[1]], "labels": [[1]]}, "attention_mask"),
        (
            with_masks({"input_ids": [[1]], "labels": [[1]], "rejected_input_ids": [[1]]}),
            "rejected_labels",
        ),
    ],
)
def test_a_missing_column_is_named(tmp_path: Path, columns: dict[str, Any], missing: str):
    folder = write_columns(tmp_path / "bare", ["a"], columns)
    with pytest.raises(CurateError, match=f"has no column {missing}; its columns are input_ids"):
        load_tokens(folder)


@pytest.mark.parametrize("side", ["", "rejected_"])
@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([[1, 1], [1, 1, 0]], r"is not 1 for 1 tokens; first in row 1 \(b\)"),
        ([[0, 1], [0, 1, None]], r"is not 1 for 3 tokens; first in row 0 \(a\)"),
        ([[1, 1], [1, 1]], r"of another length than their tokens; first is row 1 \(b\)"),
        ([[1, 1], None], r"of another length than their tokens; first is row 1 \(b\)"),
    ],
)
def test_rows_with_padding_are_refused(
    tmp_path: Path, side: str, masks: list[list[int]], message: str
):
    ids = [[5, 6], [7, 8, 0]]
    both = {f"{one}{name}": ids for one in ("", "rejected_") for name in ("input_ids", "labels")}
    columns = {**with_masks(both), f"{side}attention_mask": masks}
    folder = write_columns(tmp_path / "padded", ["a", "b"], columns)
    with pytest.raises(CurateError, match=f"{side}attention_mask.*{message}"):
        load_tokens(folder)


def weighted(tmp_path: Path, weights: list[list[float]]) -> str:
    columns = {"input_ids": [[1, 2, 3]], "labels": [[-100, 2, 3]], "weights": weights}
    return write_columns(tmp_path / "weighted", ["a"], with_masks(columns))


def test_weights_of_tokens_are_read_and_move_with_their_labels(tmp_path: Path):
    rows = load_tokens(weighted(tmp_path, [[1.0, 0.5, 2.0]])).rows
    assert rows.weights is not None
    assert rows.weights.tolist() == [0.5, 2.0, 0.0]
    assert rows.target_weights.tolist() == [2.5]


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([[1.0, 0.5]], r"weights of another length than their tokens; first is row 0 \(a\)"),
        ([[1.0, -0.5, 1.0]], r"1 weights are negative or not finite; first is -0.5 in row 0 \(a\)"),
        ([[1.0, float("inf"), 1.0]], "negative or not finite; first is inf"),
    ],
)
def test_weights_that_cannot_be_used_are_refused_with_the_row(
    tmp_path: Path, weights: list[list[float]], said: str
):
    with pytest.raises(CurateError, match=said):
        load_tokens(weighted(tmp_path, weights))


# The split


def rows_with_ids(ids: list[str]):
    documents = [[number + 4, 2] for number in range(len(ids))]
    return make_rows(ids, documents, documents)


def test_the_split_takes_its_share_and_loses_no_row():
    rows = rows_with_ids([str(number) for number in range(40)])
    train, held_out = split(rows, np.arange(40), 0.1, seed=0)
    assert len(held_out) == 4
    assert sorted([*train, *held_out]) == list(range(40))


def test_two_rows_are_enough_to_hold_one_out():
    rows = rows_with_ids(["a", "b"])
    train, held_out = split(rows, np.arange(2), 0.01, seed=0)
    assert (len(train), len(held_out)) == (1, 1)


def test_a_single_row_is_trained_and_nothing_is_held_out():
    train, held_out = split(rows_with_ids(["a"]), np.arange(1), 0.5, seed=0)
    assert (train.tolist(), held_out.tolist()) == ([0], [])


def test_a_share_of_zero_holds_nothing_out():
    train, held_out = split(rows_with_ids(["a", "b"]), np.arange(2), 0.0, seed=0)
    assert (train.tolist(), held_out.tolist()) == ([0, 1], [])


def test_the_split_depends_on_ids_and_not_on_the_order_of_the_file():
    ids = [f"row {number}" for number in range(30)]
    forward, backward = rows_with_ids(ids), rows_with_ids(ids[::-1])
    _, one = split(forward, np.arange(30), 0.2, seed=3)
    _, two = split(backward, np.arange(30), 0.2, seed=3)
    assert {ids[row] for row in one} == {ids[::-1][row] for row in two}


def test_another_seed_holds_other_rows_out():
    rows = rows_with_ids([str(number) for number in range(60)])
    held = [tuple(split(rows, np.arange(60), 0.1, seed=seed)[1]) for seed in range(3)]
    assert len(set(held)) == 3


def test_rows_with_the_same_tokens_stay_on_one_side_though_their_ids_differ():
    documents = [[4, 5, 2], [4, 5, 2], [6, 7, 2], [8, 9, 2]]
    for seed in range(20):
        rows = make_rows(["a", "b", "c", "d"], documents, documents)
        train, _ = split(rows, np.arange(4), 0.5, seed)
        assert (0 in train) == (1 in train)


@settings(max_examples=40, deadline=None)
@given(
    ids=st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=40),
    share=st.floats(0.01, 0.5),
    seed=st.integers(0, 2**63),
)
def test_duplicates_are_never_on_both_sides_and_neither_side_is_empty(
    ids: list[str], share: float, seed: int
):
    train, held_out = split(rows_with_ids(ids), np.arange(len(ids)), share, seed)
    assert not {ids[row] for row in train} & {ids[row] for row in held_out}
    assert len(train) + len(held_out) == len(ids)
    if len(set(ids)) > 1:
        assert len(train) and len(held_out)


# The order


def test_an_epoch_visits_each_row_once_and_epochs_differ():
    first, second = epoch_order(100, 0, 1), epoch_order(100, 0, 2)
    assert sorted(first) == sorted(second) == list(range(100))
    assert first.tolist() != second.tolist()


def test_the_order_is_a_function_of_seed_and_epoch_alone():
    # A literal, because the order must survive new versions of NumPy.
    assert epoch_order(8, seed=0, epoch=1).tolist() == epoch_order(8, seed=0, epoch=1).tolist()
    assert epoch_order(8, seed=0, epoch=1).tolist() != epoch_order(8, seed=1, epoch=1).tolist()


def test_every_position_in_the_order_is_equally_likely():
    firsts = [int(epoch_order(10, seed, 1)[0]) for seed in range(1000)]
    assert all(60 < firsts.count(row) < 140 for row in range(10))


def test_steps_have_different_random_seeds():
    seeds = {step_seed(seed, step) for seed in range(20) for step in range(50)}
    assert len(seeds) == 1000


# Padding


def test_padding_is_on_the_right_and_follows_from_length_alone():
    rows = make_rows(["a", "b"], [[5, 6, 0], [7]], [[-100, 6, 0], [7]])
    batch = pad(rows, np.array([0, 1]))
    assert batch.input_ids.tolist() == [[5, 6, 0], [7, 0, 0]]
    assert batch.targets.tolist() == [6, 0]  # the real token 0 is trained like any other
    assert batch.at.tolist() == [0, 1]


def test_positions_of_targets_point_into_the_flattened_batch():
    rows = make_rows(["a", "b"], [[5, 6, 7], [8, 9]], [[-100, -100, 7], [-100, 9]])
    batch = pad(rows, np.array([1, 0]))
    assert batch.input_ids.tolist() == [[8, 9, 0], [5, 6, 7]]
    assert batch.at.tolist() == [0, 4]
    assert batch.targets.tolist() == [9, 7]
    assert batch.row_of.tolist() == [0, 1]


def test_a_row_above_the_budget_is_a_batch_of_its_own_and_the_step_ends():
    rows = make_rows(["a", "b", "c"], [[4] * 100, [5] * 3, [6] * 3], [[4] * 100, [5] * 3, [6] * 3])
    shapes = [batch.input_ids.shape for batch in batches(rows, np.arange(3), micro_tokens=8)]
    assert shapes == [(1, 100), (2, 3)]


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=20),
    budget=st.integers(1, 100),
)
def test_batches_hold_each_row_once_and_every_target(lengths: list[int], budget: int):
    documents = [[4 + number] * length for number, length in enumerate(lengths)]
    rows = make_rows([str(length) for length in lengths], documents, documents)
    cut = list(batches(rows, np.arange(len(lengths)), budget))
    assert sorted(row for batch in cut for row in batch.rows.tolist()) == list(range(len(lengths)))
    assert sum(len(batch.targets) for batch in cut) == int(rows.target_counts.sum())
    for batch in cut:
        assert batch.input_ids.size <= budget or len(batch.rows) == 1
        assert batch.input_ids.reshape(-1)[batch.at].tolist() == batch.targets.tolist()


# The split never cuts through a cluster


def conversations(prompts: list[list[int]], answers: list[list[int]]):
    rows = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
    labels = [
        [-100] * len(prompt) + answer for prompt, answer in zip(prompts, answers, strict=True)
    ]
    return make_rows([f"row {number}" for number in range(len(rows))], rows, labels)


def different(number: int, length: int) -> list[int]:
    return [1000 + number * 100 + position for position in range(length)]


def sides(rows, share: float, seed: int) -> list[bool]:
    _, held_out = split(rows, np.arange(len(rows)), share, seed)
    return [row in set(held_out.tolist()) for row in range(len(rows))]


def test_several_answers_to_one_prompt_are_on_one_side():
    prompts = [different(number // 2, 4) for number in range(40)]
    rows = conversations(prompts, [different(50 + number, 5) for number in range(40)])
    for seed in range(5):
        held = sides(rows, 0.2, seed)
        assert held[::2] == held[1::2]
        assert sum(held) == 8


def test_prompts_that_differ_in_a_token_of_forty_are_on_one_side():
    prompts = [different(number // 2, 40) for number in range(40)]
    for number in range(1, 40, 2):
        prompts[number][20] = 7
    rows = conversations(prompts, [different(50 + number, 5) for number in range(40)])
    for seed in range(5):
        held = sides(rows, 0.2, seed)
        assert held[::2] == held[1::2]
        assert sum(held) == 8


def test_rows_that_differ_only_in_a_short_prompt_are_on_one_side():
    prompts = [[5, 6, 100 + number] for number in range(40)]
    rows = conversations(prompts, [different(number // 2, 60) for number in range(40)])
    held = sides(rows, 0.2, seed=1)
    assert held[::2] == held[1::2]
    assert sum(held) == 8


def test_a_system_prompt_that_all_rows_share_makes_no_cluster():
    prompts = [[*range(1, 60), 100 + number] for number in range(40)]
    rows = conversations(prompts, [different(number, 5) for number in range(40)])
    assert sum(sides(rows, 0.25, seed=0)) == 10


def test_a_start_token_before_rows_that_are_trained_whole_is_no_prompt():
    rows = conversations([[1]] * 20, [different(number, 12) for number in range(20)])
    assert sum(sides(rows, 0.25, seed=0)) == 5


def test_rows_alike_in_half_of_their_runs_are_no_cluster():
    halves = different(0, 30)
    prompts = [[*halves, *different(number + 1, 30)] for number in range(8)]
    rows = conversations(prompts, [different(50 + number, 5) for number in range(8)])
    assert sum(sides(rows, 0.5, seed=0)) == 4


def test_a_prompt_ends_where_training_starts():
    rows = make_rows(["a", "b"], [[4, 5, 6], [7, 8]], [[-100, -100, 6], [-100, -100]])
    assert prompt_lengths(rows).tolist() == [2, 2]


def test_thousands_of_near_copies_are_one_cluster_and_take_no_time():
    prompts = [[*different(0, 30), 9000 + number, *different(1, 30)] for number in range(3000)]
    others = [different(number + 5, 20) for number in range(300)]
    rows = conversations(prompts[:2000] + others, [[3, 2]] * 2300)
    held = sides(rows, 0.1, seed=0)
    assert sum(held[:2000]) == 0
    assert sum(held[2000:]) == 230


def _reversed_sources(folder: Path) -> None:
    path = folder / "sources.parquet"
    pl.read_parquet(path)[::-1].write_parquet(path)


def _in_manifest(*names: str, value: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "manifest.json"
        content = part = json.loads(path.read_text("utf-8"))
        for name in names[:-1]:
            part = part[name]
        assert part[names[-1]] != value
        part[names[-1]] = value
        path.write_text(json.dumps(content), "utf-8")

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_reversed_sources, "sources.parquet: is not the file that was written"),
        (_in_manifest("template", "source", value="{{ messages }}"), "changed by hand; render"),
        (_in_manifest("stop", "ids", value=[7]), "changed by hand; render"),
        (_in_manifest("manifest_sha256", value="0" * 64), "changed by hand; render"),
    ],
    ids=["reversed sources", "template", "stop", "its own hash"],
)
def test_rendered_rows_with_a_changed_word_about_them_are_refused(
    change: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    talk = [{"role": "user", "content": "Add 1 and 2."}, {"role": "assistant", "content": "3"}]
    rows = [{"messages": [{**talk[0], "content": f"Add {n}."}, talk[1]]} for n in range(3)]
    base = Path(__file__).parent.parent / "sample_data/tiny-base"
    folder = tmp_path / "tokens"
    curate.render(rows, tokenizer=base, template="chatml").save(folder)
    load_tokens(str(folder))
    change(folder)
    with pytest.raises(CurateError, match=said):
        load_tokens(str(folder))
