from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate.base.errors import CurateError
from curate.base.parts import Part
from curate.cli import main
from curate.pipeline.cache import MeasureCache
from curate.pipeline.judging import judge
from curate.pipeline.measuring import Measures
from filters.reward import linear_fit as fitting
from filters.reward.accuracy import Pairs, compare
from filters.reward.features import BUCKETS, DENSE, features
from filters.reward.filter import Reward
from filters.reward.linear import LinearReward, is_linear, load, save, score_with_linear

THINGS = "apple bridge candle desert engine forest guitar harbour island jungle kettle lantern"
WORDS = "warm bright silent broad heavy gentle rapid ancient modern narrow simple curious"


def rows(number: int) -> tuple[str, str, str]:
    """A prompt, an answer that says something about it, and one that says the same over again."""
    thing = THINGS.split()[number % 12]
    draw = np.random.default_rng(number)
    said = draw.permutation(WORDS.split())[: 4 + number % 5]
    good = f"The {thing} is " + ", ".join(said) + "."
    bad = f"the {thing} is {said[0]}, " + f"{said[0]}, " * int(draw.integers(2, 9))
    return f"Describe number {number % 30}: the {thing}.", good, bad


def pairs_of(count: int) -> Pairs:
    return Pairs(*(pl.Series(column) for column in zip(*map(rows, range(count)), strict=True)))


@pytest.fixture(scope="module")
def fitted() -> fitting.Fitted:
    return fitting.fit(pairs_of(90))


@pytest.fixture(scope="module")
def folder(fitted: fitting.Fitted, tmp_path_factory: pytest.TempPathFactory) -> str:
    made = tmp_path_factory.mktemp("RM")
    save(fitted.model, made, {})
    return str(made)


@pytest.fixture
def few_penalties(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two penalties to choose from: as good a test of everything around the choice."""
    monkeypatch.setattr(fitting, "PENALTIES", (fitting.Penalty(10.0), fitting.Penalty(0.3)))


def one(prompt: str, response: str) -> dict[str, float]:
    found = features(pl.Series([prompt]), pl.Series([response]))
    return dict(zip(DENSE, found.dense[0].tolist(), strict=True))


def test_features_count_words_that_are_new_repeated_or_the_prompts_own() -> None:
    found = one("Describe the red kettle", "The kettle, the old kettle: it boils water!")
    # the kettle the old kettle it boils water: 8 words, 6 of them distinct; the, it are common
    assert found["distinct"] == pytest.approx(math.log(7 / 9))
    assert found["content"] == pytest.approx(math.log(5 / 9))
    assert found["new"] == pytest.approx(math.log(4 / 9))  # old, boils, water
    assert found["covered"] == pytest.approx(1 / 3)  # of describe, red, kettle
    assert found["from_prompt"] == pytest.approx(2 / 5)
    assert found["common"] == pytest.approx(3 / 8)
    assert found["exclamation_marks"] == pytest.approx(math.sqrt(1 / 43))
    assert found["starts_capital"] == 1.0 == found["ends_sentence"]
    assert found["distinct_pairs"] == 0.0  # all seven are


@pytest.mark.parametrize(
    ("name", "response"),
    [
        ("ends_open", "First this,"), ("ends_asking", "Is it?"), ("starts_small", "yes, it is"),
        ("numbered", "Here:\n1. one"), ("code", "```\nx\n```"), ("link", "see https://a.b"),
        ("refuses", "I'm sorry, no."), ("labels", "Done.\nInput: next"), ("hash", "# Title"),
        ("placeholder", "<noinput>"), ("in_prompt", "red kettle"), ("one_word", "Kettle"),
        ("starts_quote", '"Kettle"'),
    ],
)  # fmt: skip
def test_signs_of_style_are_seen_and_a_plain_answer_has_none_of_them(
    name: str, response: str
) -> None:
    assert one("Describe the red kettle", response)[name] == 1.0
    assert one("Describe the red kettle", "It boils water quickly.")[name] == 0.0


def test_features_of_a_row_do_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*map(rows, range(20)), ("", "", ""), ("Say 猫", "猫は\n\n動物です。", "\x00")]
    prompts, answers = pl.Series([row[0] for row in texts]), pl.Series([row[1] for row in texts])
    together = features(prompts, answers)
    monkeypatch.setattr("filters.reward.features.RUN_BYTES", 1)
    alone = features(prompts, answers)
    assert np.array_equal(together.dense, alone.dense)
    assert np.array_equal(together.length, alone.length)
    assert (together.grams != alone.grams).nnz == 0
    assert np.isfinite(together.dense).all()
    norms = np.sqrt(together.grams.multiply(together.grams).sum(axis=1))
    assert np.allclose(np.asarray(norms).ravel()[:20], 1.0)


def test_no_rows_have_no_features() -> None:
    found = features(pl.Series([], dtype=pl.String), pl.Series([], dtype=pl.String))
    assert found.dense.shape == (0, len(DENSE))
    assert found.grams.shape == (0, BUCKETS)


def test_the_model_learns_what_length_alone_does_not_tell(fitted: fitting.Fitted) -> None:
    held = fitted.held_out
    assert held.pairs == 90 and held.prompts == 60
    assert held.model.value > 0.95 > 0.75 > held.longer.value
    assert fitted.without_length.model.value > 0.95
    assert held.gain.value == pytest.approx(held.model.value - held.longer.value)
    assert held.model.low <= held.model.value <= held.model.high


@pytest.mark.usefixtures("few_penalties")
def test_labels_that_mean_nothing_are_not_better_than_a_coin() -> None:
    pairs = pairs_of(60)
    flip = pl.Series(np.random.default_rng(1).random(60) < 0.5)
    noise = Pairs(
        pairs.prompts, pairs.chosen.zip_with(flip, pairs.rejected),
        pairs.rejected.zip_with(flip, pairs.chosen),
    )  # fmt: skip
    held = fitting.fit(noise).held_out
    assert held.model.low < 0.5 < held.model.high


def test_the_weights_are_those_that_minimise_the_penalised_loss() -> None:
    from scipy.optimize import minimize
    from scipy.sparse import csr_matrix

    draw = np.random.default_rng(0)
    dense = draw.normal(size=(50, 2 + len(DENSE)))
    grams = csr_matrix(draw.normal(size=(50, BUCKETS)) * (draw.random((50, BUCKETS)) < 0.0005))
    found = fitting._Differences(dense, grams)
    penalty = fitting.Penalty(0.3, 0.1)
    ridge = np.full(dense.shape[1] + BUCKETS, 0.1)
    ridge[: dense.shape[1]] = 0.3
    ridge[[0, 1, 2 + DENSE.index("new")]] = 0.01

    def loss(weights: Any) -> Any:
        margin = np.hstack([dense, grams.toarray()]) @ weights
        return np.logaddexp(0, -margin).mean() + 0.5 * ridge @ weights**2

    weights = np.concatenate(found.fit(penalty, None))
    nearby = [loss(weights + draw.normal(size=len(weights)) * 1e-3) for _ in range(20)]
    assert loss(weights) < min(nearby)
    plain, none = found.fit(fitting.Penalty(0.3), None)
    brute = minimize(
        lambda w: np.logaddexp(0, -dense @ w).mean() + 0.5 * ridge[: len(w)] @ w**2,
        np.zeros(dense.shape[1]),
    ).x
    assert np.allclose(plain, brute, atol=2e-3)
    assert not none.any()


def test_few_pairs_or_few_prompts_are_refused() -> None:
    with pytest.raises(
        CurateError, match="19 usable pairs on 19 prompts; expected 20 or more on 5"
    ):
        fitting.fit(pairs_of(19))
    same = dataclasses.replace(pairs_of(40), prompts=pl.Series(["a", "b"] * 20))
    with pytest.raises(CurateError, match="40 usable pairs on 2 prompts"):
        fitting.fit(same)


def test_a_saved_model_scores_as_it_did(fitted: fitting.Fitted, folder: str) -> None:
    pairs = pairs_of(10)
    expected = fitted.model.score(pairs.prompts, pairs.chosen, length_term=True)
    assert is_linear(folder)
    loaded = load(folder)
    assert np.array_equal(loaded.score(pairs.prompts, pairs.chosen, length_term=True), expected)
    alone = loaded.score(pairs.prompts[3:4], pairs.chosen[3:4], length_term=True)
    assert alone[0] == expected[3]


def test_the_length_term_is_all_that_switching_it_off_takes_away(fitted: fitting.Fitted) -> None:
    pairs = pairs_of(10)
    found = features(pairs.prompts, pairs.chosen)
    scale = fitted.model.scale
    term = (found.length - scale.length_mean) / scale.length_sd @ fitted.model.length_weights
    whole = fitted.model.score_features(found, length_term=True)
    assert np.allclose(whole - term, fitted.model.score_features(found, length_term=False))


def test_word_runs_count_where_the_model_has_weights_for_them(fitted: fitting.Fitted) -> None:
    pairs = pairs_of(4)
    weights = np.random.default_rng(0).normal(size=BUCKETS)
    richer = LinearReward(
        fitted.model.scale, fitted.model.length_weights, fitted.model.dense_weights, weights
    )
    grams = features(pairs.prompts, pairs.chosen).grams
    more = richer.score(pairs.prompts, pairs.chosen)
    assert np.allclose(
        more - fitted.model.score(pairs.prompts, pairs.chosen),
        grams @ (weights - fitted.model.gram_weights),
    )


def test_the_reward_step_uses_a_fitted_model(conversation: Any, folder: str) -> None:
    texts = [rows(number) for number in range(6)]
    records = conversation(*[(text[0], text[1 + number % 2]) for number, text in enumerate(texts)])
    step = Reward(model=folder, top_k=3, calibrate="none")
    assert step.cached
    found = judge(step, records).verdicts
    assert found["keep"].to_list() == [True, False] * 3
    bare = Reward(model=folder, length_term=False).measure(records)["score"]
    assert bare.to_list() != step.measure(records)["score"].to_list()


def test_moving_a_threshold_scores_nothing_again(
    conversation: Any, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = conversation(*[rows(number)[:2] for number in range(6)])

    def measures(step: Reward) -> pl.DataFrame:
        part, keys = Part(0, 0, records.height, records), records.select("row", "id")
        every = np.ones(records.height, bool)
        return Measures(cache=MeasureCache(tmp_path)).of("reward", step, [part], keys, every)

    once = measures(Reward(model=folder, keep_top=0.5))

    def never(records: pl.DataFrame, *_: Any) -> pl.DataFrame:
        assert not records.height, "scored again"
        return score_with_linear(records, *_)

    monkeypatch.setattr("filters.reward.filter.score_with_linear", never)
    again = measures(Reward(model=folder, min_score=0.1, per_prompt=1, calibrate="rank"))
    assert again.equals(once.select(again.columns))
    with pytest.raises(AssertionError, match="scored again"):
        measures(Reward(model=folder, length_term=False))


def test_a_conversation_without_an_answer_is_not_scorable(conversation: Any, folder: str) -> None:
    records = conversation(("a", "b"), ("c", "d"))
    asks = [[{"role": "user", "content": "a"}], records["messages"][1].to_list()]
    records = records.with_columns(messages=pl.Series(asks, dtype=records["messages"].dtype))
    found = judge(Reward(model=folder), records).verdicts
    assert found["reason"].to_list() == ["not_scorable", None]
    assert found["evidence"][0] == "no assistant message"


def test_a_model_that_is_not_whole_is_refused(fitted: fitting.Fitted, tmp_path: Path) -> None:
    save(fitted.model, tmp_path, {})
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "features": 0}))
    with pytest.raises(CurateError, match="fitted on version 0 of the features, and this version"):
        Reward(model=str(tmp_path))
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with (tmp_path / "weights.npz").open("ab") as file:
        file.write(b"x")
    with pytest.raises(CurateError, match="not the weights that its manifest names"):
        Reward(model=str(tmp_path))


def dump(path: Path, count: int) -> str:
    lines = [
        json.dumps({"prompt": prompt, "chosen": good, "rejected": bad})
        for prompt, good, bad in map(rows, range(count))
    ]
    path.write_text("\n".join([*lines, json.dumps({"prompt": "a", "completion": "b"})]))
    return str(path)


@pytest.mark.usefixtures("few_penalties")
def test_the_command_fits_a_model_and_says_how_good_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, out = dump(tmp_path / "pairs.jsonl", 40), tmp_path / "RM"
    assert main(["reward", "fit", given, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "41 rows read: 40 in pairs, 1 in no pair, 0 rejects" in said
    assert "longer wins" in said and "coin              0.500" in said
    assert "better than picking the longer answer" in said
    assert is_linear(str(out))
    again = tmp_path / "again"
    assert main(["reward", "fit", given, "--out", str(again), "--quiet"]) == 0
    for name in ("weights.npz", "manifest.json"):
        assert (out / name).read_bytes() == (again / name).read_bytes()
    assert main(["reward", "fit", dump(tmp_path / "few.jsonl", 5), "--out", f"{out}5"]) == 1
    assert "5 usable pairs" in capsys.readouterr().err


def test_on_real_judgements_it_beats_the_longer_answer_on_models_it_never_saw(
    test_data: Path,
) -> None:
    from curate import sources
    from curate.pairs import of_rejected, pair_texts

    def real(*names: str) -> Pairs:
        dump = sources.read([str(test_data / "preference" / name) for name in names])
        return Pairs(*pair_texts(of_rejected(dump.records, empty_rejected=True).pairs))

    theirs = real("alpaca_eval_alpaca_7b.json", "alpaca_eval_phi_2.json")
    found = fitting.fit(real("pandalm_testset.json"))
    assert found.held_out.gain.low > 0
    moved = compare(fitting.margins(found.model, theirs), theirs)
    assert moved.gain.value >= 0.03 and moved.gain.low > 0
