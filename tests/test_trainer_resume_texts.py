"""Resume goes on with the run it resumes: sources, general texts, labels and stops are the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.base.errors import CurateError
from tests.resume_toys import outcome, train_until
from tests.trainer_toys import (
    STOP,
    Row,
    reversed_pairs,
    silent,
    toy_model,
    write_model,
    write_tokenizer,
    write_tokens,
)
from trainer import TrainConfig, dry_run, train

torch: Any = pytest.importorskip("torch")
FIELDS: dict[str, Any] = {
    "preset": "alpaca",
    "num_train_epochs": 3,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "held_out": 0.1,
    "prompts": 2,
    "save_total_limit": 1,
    "save_steps": 2,
    "replay_share": 0.2,
}
WORDS = "w5 w6 w7 w8 w9\n\nw20 w21 w22 w23"


def rows() -> list[Row]:
    return reversed_pairs(40)


def write_inputs(home: Path) -> dict[str, str]:
    home.mkdir()
    write_model(home / "model")
    write_tokenizer(home / "model")
    for name in ("replay", "retention"):
        (home / f"{name}.txt").write_text(WORDS)
    return {
        "tokens": write_tokens(home / "tokens", rows()),
        "model": str(home / "model"),
        "replay": str(home / "replay.txt"),
        "retention": str(home / "retention.txt"),
    }


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs, and the folder of a run on them that was stopped in step 8."""
    home = tmp_path_factory.mktemp("home") / "inputs"
    fields = write_inputs(home)
    train_until("trainer.loop.learning_rate", 7, {**fields, **FIELDS, "out": str(home / "out")})
    return home


@pytest.fixture
def home(stopped_once: Path, tmp_path: Path) -> Path:
    """A copy of both, at another place."""
    shutil.copytree(stopped_once, tmp_path / "inputs")
    return tmp_path / "inputs"


def fields_of(home: Path, **changes: Any) -> dict[str, Any]:
    paths = {
        "tokens": str(home / "tokens"),
        "model": str(home / "model"),
        "replay": str(home / "replay.txt"),
        "retention": str(home / "retention.txt"),
        "out": str(home / "out"),
    }
    return {**paths, **FIELDS, **changes}


def refused(home: Path, message: str, **changes: Any) -> None:
    """By a dry run too, and nothing is changed."""
    before = {path: path.read_bytes() for path in (home / "out").rglob("*") if path.is_file()}
    for door in (train, dry_run):
        with pytest.raises(CurateError, match=f"another one: .*{message}.*; give the same set"):
            door(TrainConfig(**fields_of(home, **changes), resume=True), silent)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("name", ["replay", "retention"])
@pytest.mark.parametrize(
    "text",
    [
        WORDS.replace("w22", "w24"),
        f"{WORDS}\n\nw30 w31",
        "\n\n".join(WORDS.split("\n\n")[::-1]),
        WORDS.replace("\n\n", " "),
    ],
)
def test_other_words_of_a_general_text_are_refused(home: Path, name: str, text: str) -> None:
    (home / f"{name}.txt").write_text(text)
    refused(home, f"the text of {name} is another")


@pytest.mark.parametrize("name", ["replay", "retention"])
def test_the_same_words_at_another_place_are_the_same_text(home: Path, name: str) -> None:
    (home / f"{name}.txt").rename(home / "moved.txt")
    whole = home.parent / "whole"
    train(TrainConfig(**fields_of(home, **{name: str(home / "moved.txt")}), resume=True), silent)
    fields = fields_of(home, **{name: str(home / "moved.txt")}, out=str(whole))
    train(TrainConfig(**fields), silent)
    assert outcome(home / "out") == outcome(whole)


def test_a_text_that_is_no_longer_watched_is_a_difference(home: Path) -> None:
    refused(home, "the text of retention is another", retention=None)


def test_other_sources_of_the_rows_are_refused(home: Path) -> None:
    path = home / "tokens" / "sources.parquet"
    about = pl.read_parquet(path)
    names = ["forum" if row < 7 else "wiki" for row in range(about.height)]
    about.with_columns(source=pl.Series(names)).write_parquet(path)
    refused(home, "the sources of the rows are others")


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        ({"ids": [0, STOP], "strings": []}, "the stops were 2, now 0, 2"),
        ({"ids": [STOP], "strings": ["w9"]}, "the stops were 2, now 2, 'w9'"),
    ],
)
def test_other_stops_are_refused(home: Path, stop: dict[str, Any], message: str) -> None:
    path = home / "tokens" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "stop": stop}))
    refused(home, message)


def test_other_labels_are_refused_where_all_tokens_are_trained(tmp_path: Path) -> None:
    """With prompts trained alike, labels decide nothing but the loss that epochs are chosen by."""
    model = write_model(tmp_path / "model")
    fields = {**FIELDS, "prompt_weight": 1.0, "prompts": 0, "model": model}
    fields = {name: value for name, value in fields.items() if name != "replay_share"}
    given = {**fields, "out": str(tmp_path / "out")}
    one = write_tokens(tmp_path / "one", rows())
    train_until("trainer.loop.learning_rate", 3, {**given, "tokens": one})
    less = [(name, ids, [*labels[:4], -100, *labels[5:]]) for name, ids, labels in rows()]
    other = write_tokens(tmp_path / "two", less)
    with pytest.raises(CurateError, match="the rows to train on are others"):
        train(TrainConfig(**given, tokens=other, resume=True), silent)


@pytest.mark.parametrize("key", ["stops", "sources", "retention"])
def test_a_state_that_does_not_know_is_of_an_earlier_version_or_damaged(
    home: Path, key: str
) -> None:
    for file in (home / "out").glob("state/*/state.json"):
        content = json.loads(file.read_text())
        del content["of"][key]
        file.write_text(json.dumps(content))
    message = "was written by an earlier version, which" if key == "stops" else "state is damaged"
    with pytest.raises(CurateError, match=f"{message}.*start anew with --force"):
        train(TrainConfig(**fields_of(home), resume=True), silent)


def test_with_all_the_same_it_ends_in_the_same_bits(home: Path, tmp_path: Path) -> None:
    train(TrainConfig(**fields_of(home), resume=True), silent)
    train(TrainConfig(**fields_of(home, out=str(tmp_path / "whole"))), silent)
    assert outcome(home / "out") == outcome(tmp_path / "whole")


def other_coefficient(model: Path) -> None:
    path = model / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "router_aux_loss_coef": 0.2}))


def test_another_coefficient_in_the_config_of_the_base_is_refused(tmp_path: Path) -> None:
    from tests.test_trainer_routers import mixture

    mixture().save_pretrained(tmp_path / "model")
    fields = {**FIELDS, "model": str(tmp_path / "model"), "prompts": 0}
    del fields["replay_share"]
    given = {**fields, "tokens": write_tokens(tmp_path / "t", rows()), "out": str(tmp_path / "out")}
    train_until("trainer.loop.learning_rate", 3, given)
    other_coefficient(tmp_path / "model")
    with pytest.raises(CurateError, match="the loss of the routers is another"):
        train(TrainConfig(**given, resume=True), silent)


# Updates of bf16 weights that rounding loses


@pytest.mark.parametrize("rounding", ["nearest", "stochastic", "masters"])
@pytest.mark.parametrize("call", [3, 6])
def test_lost_updates_are_counted_over_the_whole_epoch_after_a_resume(
    tmp_path: Path, rounding: str, call: int
) -> None:
    inputs = {"tokens": write_tokens(tmp_path / "t", rows()), "model": write_model(tmp_path / "m")}
    more = {"dtype": "bfloat16", "rounding": rounding, "learning_rate": 2e-4, "save_steps": 1}
    fields = {**inputs, **FIELDS, **more, "num_train_epochs": 2, "prompts": 0}
    del fields["replay_share"]
    train(TrainConfig(**fields, out=str(tmp_path / "whole")), silent)
    train_until("trainer.loop.learning_rate", call, {**fields, "out": str(tmp_path / "out")})
    train(TrainConfig(**fields, out=str(tmp_path / "out"), resume=True), silent)
    expected, found = (lost(tmp_path / name) for name in ("whole", "out"))
    assert len(expected) == 2 and all(0 < share < 1 for share in expected)
    assert found == expected
    assert outcome(tmp_path / "out") == outcome(tmp_path / "whole")


def lost(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line["lost_updates"] for line in lines if "lost_updates" in line]


# Blocks that OFT turns


@pytest.mark.parametrize(
    ("change", "block", "expected"),
    [
        (
            {"hidden_size": 64, "intermediate_size": 172, "num_attention_heads": 4},
            32,
            [(2, 172, 43)],
        ),
        ({"hidden_size": 16, "intermediate_size": 32}, 8, []),
        ({"hidden_size": 16, "intermediate_size": 36}, 8, [(2, 36, 9)]),
        ({"hidden_size": 16, "intermediate_size": 32}, 32, [(12, 16, 16)]),
    ],
)
def test_blocks_of_another_width_than_was_asked_for_are_reported(
    tmp_path: Path, change: dict[str, int], block: int, expected: list[tuple[int, int, int]]
) -> None:
    model = write_model(tmp_path / "m", **change)
    fields = {"tokens": write_tokens(tmp_path / "t", rows()), "model": model, "method": "oft"}
    lines: list[str] = []
    config = TrainConfig(**fields, out=str(tmp_path / "out"), rotation_block=block, prompts=0)
    dry_run(config, lines.append)
    assert [line for line in lines if line.startswith("oft: ")] == [
        f"oft: {count} layers of width {width}, which blocks of {block} do not divide, are "
        f"rotated in blocks of {used} (rotation_block)"
        for count, width, used in expected
    ]


def test_what_is_reported_is_what_peft_turns() -> None:
    from trainer.models import adapt

    model = toy_model(hidden_size=64, intermediate_size=172, num_attention_heads=4)
    config = TrainConfig(tokens="t", model="m", out="o", method="oft")
    adapted = adapt.attach(model, config)
    layer = adapted.get_submodule("base_model.model.model.layers.0.mlp.down_proj")
    # 172 inputs are four blocks of 43, each of which has 43 * 42 / 2 angles.
    assert tuple(layer.oft_R["default"].weight.shape) == (4, 903)
