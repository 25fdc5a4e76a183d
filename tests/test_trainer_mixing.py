"""What an epoch is made of: sources by weight, general text by share, all counts adding up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer
from curate.base.errors import CurateError
from tests.trainer_toys import (
    reversed_pairs,
    write_model,
    write_tokenizer,
    write_tokens,
)
from trainer import TrainConfig
from trainer.data.general import read_general
from trainer.data.mixing import Mixture, mix
from trainer.data.rows import make_rows
from trainer.data.tokens import Limits, Tokens

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")


def tokens_of(count: int, sources: tuple[str, ...] | None = None) -> Tokens:
    names, ids, labels = zip(*reversed_pairs(count), strict=True)
    return Tokens(Path("t"), make_rows(names, ids, labels), {}, "", (2,), (), sources)


def made(tokens: Tokens, tokenizer: Any = None, **fields: Any) -> Mixture:
    config = TrainConfig(tokens="t", model="m", out="o", batch_size=8, **fields)
    return mix(config, tokens, np.arange(len(tokens.rows)), tokenizer, Limits(32, 48))


def read(mixture: Mixture, epoch: int) -> list[int]:
    return np.concatenate(mixture.epoch(epoch)).tolist()


def test_an_epoch_holds_each_row_once_in_steps_whose_last_is_short():
    mixture = made(tokens_of(20))
    assert [len(step) for step in mixture.epoch(1)] == [8, 8, 4]
    assert sorted(read(mixture, 1)) == sorted(read(mixture, 2)) == list(range(20))
    assert read(mixture, 1) != read(mixture, 2)


def test_the_rows_of_a_step_need_no_step_before_it():
    one, other = made(tokens_of(20)), made(tokens_of(20))
    one.epoch(1)
    assert one.epoch(2)[1].tolist() == other.epoch(2)[1].tolist()


def test_a_source_is_read_as_often_as_its_weight_says():
    tokens = tokens_of(12, ("forum",) * 4 + ("wiki",) * 8)
    mixture = made(tokens, source_weights=("forum=2", "wiki=0.5"))
    for epoch in (1, 2):
        rows = read(mixture, epoch)
        assert sorted(row for row in rows if row < 4) == [0, 0, 1, 1, 2, 2, 3, 3]
        assert len({row for row in rows if row >= 4}) == 4
    halves = [{row for row in read(mixture, epoch) if row >= 4} for epoch in (1, 2)]
    assert halves[0] | halves[1] == set(range(4, 12))
    assert mixture.per_epoch == 12


def test_a_weight_of_nothing_leaves_a_source_out():
    mixture = made(tokens_of(6, ("a", "b") * 3), source_weights=("a=0",))
    assert sorted(read(mixture, 1)) == [1, 3, 5]
    with pytest.raises(CurateError, match="leave no row"):
        made(tokens_of(6, ("a", "b") * 3), source_weights=("a=0", "b=0"))


def test_a_source_that_is_not_there_names_the_nearest():
    with pytest.raises(CurateError, match="from 'forums'; did you mean 'forum'"):
        made(tokens_of(2, ("forum", "wiki")), source_weights=("forums=2",))
    with pytest.raises(CurateError, match="does not say of every row where it is from"):
        made(tokens_of(2), source_weights=("forum=2",))
    with pytest.raises(
        CurateError, match=r"source_weights is 'forum'; expected SOURCE=TIMES, such as forum=0\.5"
    ):
        made(tokens_of(2), source_weights=("forum",))


@pytest.fixture
def general(tmp_path: Path) -> str:
    lengths = [5, 9, 13, 7, 30, 11]
    rows = [(str(n), [4 + n] * length, [-100] * length) for n, length in enumerate(lengths)]
    return write_tokens(tmp_path / "general", rows)


def test_general_text_has_its_share_of_the_targets_of_an_epoch(general: str):
    mixture = made(tokens_of(64), replay=general, replay_share=0.2)
    counts = mixture.counts(3)
    for own, text in zip(counts["rows"]["counted"], counts["general text"]["counted"], strict=True):
        assert text / (own + text) == pytest.approx(0.2, abs=0.05)
    assert counts["rows"]["read"] == [64, 64, 64]
    assert len(mixture.epoch(1)) == 8  # on top of the steps' own rows, not in their place
    assert all((step < 64).sum() == 8 for step in mixture.epoch(2))
    made_steps = [step.tolist() for step in mixture.epoch(2)]
    assert made_steps == [step.tolist() for step in mixture.epoch(2)]


def test_general_text_is_read_again_when_it_is_too_short(general: str):
    mixture = made(tokens_of(64), replay=general, replay_share=0.6)
    read = np.concatenate(mixture.epoch(1))
    each = np.bincount(read[read >= 64] - 64, minlength=6)
    assert each.min() >= 1 and each.max() - each.min() <= 1


def test_every_token_of_general_text_but_the_first_is_a_target(general: str):
    rows = read_general(Path(general), None, Limits(32, None), 12)
    assert rows.lengths.tolist() == [5, 9, 12, 7, 12, 12, 6, 11]  # of 13, one token is left over
    assert rows.target_counts.tolist() == (rows.lengths - 1).tolist()


def test_text_files_are_read_by_documents(tmp_path: Path):
    write_tokenizer(tmp_path)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    (tmp_path / "plain.txt").write_text("w5 w6\nw7\n\nw8 w9\n")
    (tmp_path / "lines.jsonl").write_text('{"text": "w5 w6 w7"}\n{"text": "w8 w9"}\n')
    for name in ("plain.txt", "lines.jsonl"):
        rows = read_general(tmp_path / name, tokenizer, Limits(32, 48), 99)
        assert rows.input_ids.tolist() == [5, 6, 7, 2, 8, 9, 2]
        assert rows.ids == (f"{name}:1", f"{name}:2")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.txt", None, "cannot be read as text"),
        ("empty.txt", "\n", "holds no text of two tokens"),
        ("odd.jsonl", '{"text": "w5 w6"}\n{"body": 1}\n', r"odd.jsonl:2: expected a JSON object"),
        (
            "null.jsonl",
            '{"text": "w5 w6"}\n{"text": null}',
            r"null.jsonl:2: expected a JSON object",
        ),
        ("half.jsonl", '\n{"text": "w5 \\ud800"}', r"half.jsonl:2: its text has half a character"),
    ],
)
def test_general_text_that_cannot_be_read_is_an_error(
    tmp_path: Path, name: str, content: str | None, said: str
):
    from transformers import AutoTokenizer

    write_tokenizer(tmp_path)
    if content is not None:
        (tmp_path / name).write_text(content)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(CurateError, match=said):
        read_general(tmp_path / name, tokenizer, Limits(32, 48), 48)


def test_json_lines_end_with_a_newline_alone_and_empty_ones_are_passed_over(tmp_path: Path):
    """Other separators may stand in a string of JSON as they are; editors put a mark in front."""
    from transformers import AutoTokenizer

    write_tokenizer(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    content = '\ufeff{"text": "w5\u2028w6\x85w7"}\r\n\n{"text": "w8 w9"}\n\n'
    (tmp_path / "lines.jsonl").write_bytes(content.encode())
    rows = read_general(tmp_path / "lines.jsonl", tokenizer, Limits(32, 48), 99)
    assert rows.input_ids.tolist() == [5, 6, 7, 2, 8, 9, 2]
    assert rows.ids == ("lines.jsonl:1", "lines.jsonl:2")


def test_general_text_for_another_model_or_without_a_tokenizer_is_refused(tmp_path: Path):
    large = write_tokens(tmp_path / "large", [("a", [4, 99, 2], [-100] * 3)])
    with pytest.raises(CurateError, match="largest id is 99, but the model has 32"):
        made(tokens_of(8), replay=large)
    (tmp_path / "plain.txt").write_text("w5 w6")
    with pytest.raises(CurateError, match="needs a tokenizer beside the model"):
        made(tokens_of(8), replay=str(tmp_path / "plain.txt"))
    with pytest.raises(CurateError, match=r"replay_share is 0\.2, and replay is None"):
        made(tokens_of(8), replay_share=0.2)


def test_rows_whose_weights_are_all_nothing_are_refused():
    rows = make_rows(["a", "b"], [[1, 4, 2]] * 2, [[-100, 4, 2]] * 2, [[1, 1, 1], [1, 0, 0]])
    with pytest.raises(CurateError, match="weights of 1 rows are all 0"):
        made(Tokens(Path("t"), rows, {}, "", (2,), ()))


def test_a_mixed_run_says_what_it_reads_and_its_counts_add_up(tmp_path: Path, general: str):
    config = TrainConfig(
        tokens=write_tokens(tmp_path / "tokens", reversed_pairs(24)),
        model=write_model(tmp_path / "base"),
        out=str(tmp_path / "out"),
        num_train_epochs=2,
        batch_size=8,
        learning_rate=1e-3,
        replay=general,
        replay_share=0.3,
    )
    lines: list[str] = []
    trainer.train(config, lines.append)
    assert any(line.startswith("mixing: general text: 6 rows, read") for line in lines)
    counts = json.loads((tmp_path / "out" / "train.json").read_text())["mixing"]
    metrics = (tmp_path / "out" / "metrics.jsonl").read_text()
    notes = [json.loads(line) for line in metrics.splitlines()]
    steps = [note for note in notes if not note.get("eval")]
    assert sum(note.get("general_loss", 0) > 0 for note in steps) >= 4
    trained = sum(note["trained_tokens"] for note in steps)
    assert trained == sum(sum(source["counted"]) for source in counts.values())
