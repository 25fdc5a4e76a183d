from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="difficulty needs torch")
pytest.importorskip("transformers", reason="difficulty needs transformers")

from curate.base.contract import Filter
from curate.base.errors import CurateError
from curate.base.schema import with_text
from curate.pipeline.judging import judge
from filters.difficulty.filter import Difficulty
from filters.difficulty.texts import Encoded, alone, shared, written

quick = settings(max_examples=40, deadline=None)


@pytest.fixture(scope="session")
def stories(test_data: Path) -> str:
    return str(test_data / "models" / "stories260k-hf")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A two-layer model whose tokenizer begins texts with a start token and merges freely."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from transformers.utils import logging

    folder = tmp_path_factory.mktemp("toy")
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    texts = ["what is two and two\n", "two and two is four", "\ntwo", ":two", ":four and"]
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    made.train_from_iterator(texts * 5, trainer)
    made.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64,
        initializer_range=0.5,
    )  # fmt: skip
    torch.manual_seed(0)
    logging.disable_progress_bar()
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


@lru_cache
def loaded(folder: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return AutoTokenizer.from_pretrained(folder), model


def naive(folder: str, prompt: str, answer: str, before: str) -> tuple[float, float, int]:
    """Mean losses of the answer's shared tokens, word by word from the definition."""
    import torch

    tokenizer, model = loaded(folder)
    sides = []
    for prefix in (prompt, before):
        found = tokenizer(prefix + answer, return_offsets_mapping=True)
        with torch.no_grad():
            logits = model(torch.tensor([found["input_ids"]])).logits[0].log_softmax(-1)
        tokens = {}
        for place, (token, (low, high)) in enumerate(
            zip(found["input_ids"], found["offset_mapping"], strict=True)
        ):
            if place and low >= len(prefix) and high > low:
                tokens[low - len(prefix), high - len(prefix), token] = -float(
                    logits[place - 1, token]
                )
        sides.append(tokens)
    common = sides[0].keys() & sides[1].keys()
    sums = [sum(side[key] for key in common) for side in sides]
    return sums[0] / max(len(common), 1), sums[1] / max(len(common), 1), len(common)


def test_difficulty_is_a_filter(stories: str) -> None:
    step = Difficulty(model=stories)
    assert isinstance(step, Filter)
    assert step.cached
    assert step.written_as == "wiz"
    assert Difficulty(model=stories, variant="perplexity").written_as == "bare"


def test_both_variants_equal_their_definitions_on_a_pretrained_model(
    conversation: Any, stories: str
) -> None:
    draw = np.random.default_rng(0)
    said = "Once there was a little girl who loved to play with her big red ball in the park"
    pairs = [
        (
            " ".join(draw.choice(said.split(), 4)) + "?",
            " ".join(draw.choice(said.split(), 3 + 4 * n)) + ".",
        )
        for n in range(3)
    ]
    records = conversation(*pairs)
    cherry = Difficulty(model=stories, max_ifd=None, template="wiz")
    super_ = Difficulty(model=stories, max_ifd=None, variant="perplexity")
    measured = cherry.measure(records)
    loss = (measured["given"] / measured["alone"]).to_list()
    perplexity = judge(super_, records).verdicts["score"]
    for row, (prompt, answer) in enumerate(pairs):
        after, bare, count = naive(stories, f"{prompt}\n\n### Response:", answer, "### Response:")
        assert loss[row] == pytest.approx(after / bare, rel=1e-5)
        assert measured["tokens"][row] == count
        after, bare, _ = naive(stories, f"{prompt}\n", answer, "")
        assert perplexity[row] == pytest.approx(math.exp(after) / math.exp(bare), rel=1e-5)


def test_a_start_token_and_merges_at_the_border_are_no_trouble(conversation: Any, toy: str) -> None:
    pairs = [("what is", "two and two"), ("two", "two is four\n\nis four"), ("two and", ":two")]
    records = conversation(*pairs)
    for template, after, before in (
        ("bare", "{}\n", ""),
        ("wiz", "{}\n\n### Response:", "### Response:"),
    ):
        step = Difficulty(model=toy, template=template)  # type: ignore[arg-type]
        found = step.measure(records)
        for row, (prompt, answer) in enumerate(pairs):
            expected = naive(toy, after.format(prompt), answer, before)
            if expected[2]:
                got = found.row(row)[:3]
                assert got == pytest.approx(expected, rel=1e-5)


def test_a_token_across_the_border_is_on_neither_side() -> None:
    # "q\n" + "ab cd": the break has merged with "a" in the whole; alone "ab" is one token.
    whole = Encoded([1, 5, 6, 7, 8], [(0, 1), (1, 3), (3, 4), (4, 7)], 1)
    single = Encoded([1, 9, 8], [(0, 2), (2, 5)], 1)
    assert shared(whole, (2, 7), single, (0, 5)) == [(4, 2)]
    # Without a start token nothing precedes the first token of the answer alone.
    assert shared(Encoded([5, 9, 8], [(0, 2), (2, 4), (4, 7)], 0), (2, 7),
                  Encoded([9, 8], [(0, 2), (2, 5)], 0), (0, 5)) == [(2, 1)]  # fmt: skip


def test_an_answer_that_occurs_in_the_question_too_is_found_where_it_stands() -> None:
    whole = written(
        [{"role": "user", "content": "Say yes"}, {"role": "assistant", "content": "yes"}], "bare"
    )
    assert whole.text == "Say yes\nyes"
    assert whole.answers == [(8, 11)]
    assert alone(whole, "wiz")[0] == ("### Response:yes", [(13, 16)])


def test_braces_and_special_tokens_in_a_row_are_text(conversation: Any, toy: str) -> None:
    # Read as what it spells, the end token would be one token and the answer's only one.
    records = conversation(("{0} {x} </s>", "</s>"))
    assert Difficulty(model=toy).measure(records)["tokens"][0] >= 3


def turns(*said: str) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[number % 2], "content": text} for number, text in enumerate(said)]


def test_several_turns_count_together_each_after_all_that_went_before(
    conversation: Any, stories: str
) -> None:
    records = conversation(("a", "b"))
    said = ("Once upon a time", "there was a girl", "And then?", "she saw a big dog")
    several = with_text(
        records.with_columns(messages=pl.Series([turns(*said)], dtype=records["messages"].dtype))
    )
    step = Difficulty(model=stories, variant="perplexity")
    found = step.measure(several).row(0, named=True)
    first = naive(stories, "Once upon a time\n", "there was a girl", "")
    second = naive(
        stories, "Once upon a time\nthere was a girl\nAnd then?\n", "she saw a big dog", ""
    )
    count = first[2] + second[2]
    assert found["tokens"] == count
    for name, place in (("given", 0), ("alone", 1)):
        mean = (first[place] * first[2] + second[place] * second[2]) / count
        assert found[name] == pytest.approx(mean, rel=1e-5)


def test_what_cannot_be_measured_is_dropped_with_its_reason(conversation: Any, toy: str) -> None:
    pairs = [("two", "two and two"), ("two", "é " * 80), ("two", ""), ("two", "   ")]
    found = judge(Difficulty(model=toy, max_ifd=None), conversation(*pairs)).verdicts
    assert found["reason"].to_list() == [None, *["not_measurable"] * 3]
    assert "and the model reads 64" in found["evidence"][1]
    assert found["evidence"][2] == "no answer with text" == found["evidence"][3]
    with pytest.raises(CurateError, match="none of 1 rows can be measured"):
        judge(Difficulty(model=toy), conversation(("two", "")))


def test_a_problem_names_the_numbers_of_its_row(conversation: Any, toy: str) -> None:
    pairs = [("two", "two and two"), ("two", "é " * 800), ("two", "é " * 900)]
    found = judge(Difficulty(model=toy, max_ifd=None), conversation(*pairs)).verdicts
    counts = [text.split(" tokens, ")[0] for text in found["evidence"][1:]]
    assert len(set(counts)) == 2 and all("," in count for count in counts)
    measures = frame([2.0, 1.5], [2.0, 0.0]).with_columns(
        problem=pl.Series([None, "losses of {given} and {alone} have no ratio"])
    )
    verdicts = Difficulty(model=toy, max_ifd=None).judge(measures).verdicts
    assert verdicts["reason"].to_list() == [None, "not_measurable"]
    assert verdicts["evidence"][1] == "losses of 1.5 and 0.0 have no ratio"


def test_findings_say_what_most_often_cannot_be_measured(stories: str) -> None:
    measures = frame([1.0, None, None], [2.0, None, None])
    step = Difficulty(model=stories)
    measures = measures.with_columns(easy=pl.lit(0.0))
    said = step.judge(measures).findings
    assert said.sentences[1] == "2 rows cannot be measured; 2 of them: no answer with text"


def test_a_loop_is_easy_and_the_findings_count_it(conversation: Any, stories: str) -> None:
    story = "Once upon a time, there was a little girl named Lily. "
    records = conversation(
        ("Tell", story * 16),
        ("Tell", "Blue cats eat seven green cars."),
        ("Say", "Tax law vexed nine big firms."),
    )
    step = Difficulty(model=stories, max_ifd=None)
    measures = step.measure(records)
    assert measures["easy"][0] > 0.5 > measures["easy"][1]
    assert measures["late"][0] < 0 < measures["given"][1]
    full = pl.concat([records.select("row", "id"), measures], how="horizontal")
    said = step.judge(full).findings
    assert said.numbers["looping"] == 1
    assert said.sentences[1].startswith("rows with more than half of the tokens certain")
    assert said.tables["length"]["rows"].sum() == 3


def frame(given: list[float | None], alone: list[float | None]) -> pl.DataFrame:
    count = len(given)
    return pl.DataFrame(
        {
            "row": pl.Series(range(count), dtype=pl.UInt32),
            "id": [f"{number:016x}" for number in range(count)],
            "given": pl.Series(given, dtype=pl.Float64),
            "alone": pl.Series(alone, dtype=pl.Float64),
            "tokens": pl.Series([9] * count, dtype=pl.UInt32),
            "easy": pl.Series([0.0] * count, dtype=pl.Float64),
            "problem": ["no answer with text" if loss is None else None for loss in given],
            "length": pl.Series([10] * count, dtype=pl.UInt32),
            "task": ["write"] * count,
        }
    )


def test_an_ifd_of_one_is_kept_by_one_variant_and_dropped_by_the_other(stories: str) -> None:
    measures = frame([2.0, 1.0, 3.0], [2.0, 2.0, 2.0])
    loss = Difficulty(model=stories).judge(measures).verdicts
    assert loss["keep"].to_list() == [True, True, False]
    assert loss["evidence"][2] == "IFD 1.5, max_ifd is 1.0; 3.0 after the question, 2.0 alone"
    perplexity = Difficulty(model=stories, variant="perplexity").judge(measures).verdicts
    assert perplexity["keep"].to_list() == [False, True, False]


@quick
@given(
    st.lists(
        st.tuples(st.sampled_from([None, 0.5, 1.0, 1.5, 2.0]), st.sampled_from([1.0, 2.0])),
        min_size=1, max_size=12,
    ),
    st.sampled_from([0.05, 0.25, 0.5, 1.0]),
    st.sampled_from(["loss", "perplexity"]),
)  # fmt: skip
def test_the_top_share_is_its_definition(
    rows: list[tuple[float | None, float]], share: float, variant: Any
) -> None:
    given_, alone_ = (list(column) for column in zip(*rows, strict=True))
    if all(loss is None for loss in given_):
        return
    ifd = {
        row: after / bare if variant == "loss" else math.exp(after - bare)
        for row, (after, bare) in enumerate(rows)
        if after is not None
    }
    within = [row for row in ifd if (ifd[row] <= 1.0 if variant == "loss" else ifd[row] < 1.0)]
    ranked = sorted(within, key=lambda row: (-ifd[row], row))
    expected = sorted(ranked[: math.ceil(round(share * len(within), 9))])
    step = object.__new__(Difficulty)  # the rule alone, without a model
    for name, value in {"variant": variant, "keep_top": share}.items():
        object.__setattr__(step, name, value)
    assert step.judge(frame(given_, alone_)).verdicts["keep"].arg_true().to_list() == expected


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({}, "name a causal language model's folder in model"),
    "no folder": ({"model": "nowhere"}, "nowhere is no model folder"),
    "variant": ({"variant": "ratio"}, "variant is 'ratio'; expected one of loss, perplexity"),
    "template": ({"template": "chatml"}, "template is 'chatml'; expected one of wiz, alpaca, bare"),
    "method": (
        {"calibrate": "loess"},
        "calibrate is 'loess'; expected one of none, lwr",
    ),
    "two rules": ({"keep_top": 0.5, "top_k": 1}, "keep_top and top_k both say"),
    "share": (
        {"keep_top": 5.0},
        r"keep_top is 5\.0; expected a number of more than 0 and at",
    ),
    "none": ({"top_k": 0}, "top_k is 0; expected a number of at least 1"),
    "limit": ({"max_ifd": 0.0}, r"max_ifd is 0\.0; expected a number of more than 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_make_no_sense_are_refused(case: str) -> None:
    given_settings, said = WRONG[case]
    with pytest.raises(CurateError, match=said):
        Difficulty(**given_settings)


def test_a_model_without_weights_of_its_own_is_refused(
    conversation: Any, toy: str, tmp_path: Path
) -> None:
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(toy, broken)
    (broken / "model.safetensors").unlink()
    with pytest.raises(CurateError, match=r"difficulty: .* its model cannot be loaded: OSError"):
        Difficulty(model=str(broken)).measure(conversation(("a", "b")))


def test_another_model_and_another_template_are_other_measures(toy: str, stories: str) -> None:
    steps = [
        Difficulty(model=toy), Difficulty(model=stories), Difficulty(model=toy, template="bare"),
        Difficulty(model=toy, variant="perplexity", template="wiz"),
    ]  # fmt: skip
    seen = [json.dumps([getattr(step, name) for name in step.measured_by]) for step in steps]
    assert len(set(seen)) == 3
    assert seen[0] == seen[3]  # from one variant to the other is a matter of judging
