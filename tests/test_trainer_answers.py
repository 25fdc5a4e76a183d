from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.trainer_toys import START, VOCABULARY, silent, write_tokens
from trainer import TrainConfig
from trainer.checks.planning import make_plan
from trainer.evaluation.samples import answers
from trainer.plan import Plan

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")

POSITIONS = 16


def gpt2(**changes: Any) -> Any:
    """A model that has a learnt vector for each position, and none beyond the last."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 1, "n_head": 2}
    ends = {"bos_token_id": START, "eos_token_id": 2}
    return GPT2LMHeadModel(GPT2Config(**{**sizes, **ends, "n_positions": POSITIONS, **changes}))


def mamba() -> Any:
    """A model that remembers a state, and no keys and values."""
    import torch
    from transformers import MambaConfig, MambaForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 1, "state_size": 2}
    return MambaForCausalLM(MambaConfig(**sizes, pad_token_id=0))


def planned(folder: Path, model: Any, prompts: list[list[int]]) -> Plan:
    model.save_pretrained(folder / "base")
    rows = [(str(n), [*ids, 9, 2], [*[-100] * len(ids), 9, 2]) for n, ids in enumerate(prompts)]
    tokens = write_tokens(folder / "tokens", rows)
    config = TrainConfig(tokens=tokens, model=str(folder / "base"), out=str(folder / "out"))
    plan = make_plan(dataclasses.replace(config), silent)
    # No stop: each answer takes all the room it has.
    return dataclasses.replace(plan, tokens=dataclasses.replace(plan.tokens, stop_ids=()))


def test_a_long_prompt_beside_short_ones_is_answered_up_to_the_last_position(tmp_path: Path):
    model = gpt2()
    prompts = [[START, 5], [START, *range(4, 16)], [START, 6, 7]]
    plan = planned(tmp_path, model, prompts)
    said = answers(plan, model, [0, 1, 2], 8)
    assert [len(one.ids) for one in said] == [8, POSITIONS - 13, 8]
    alone = [answers(plan, model, [row], 8)[0].ids for row in range(3)]
    assert [one.ids for one in said] == alone


@pytest.mark.filterwarnings("ignore:.*sequential implementation")
def test_a_model_without_keys_and_values_answers_prompts_of_any_lengths(tmp_path: Path):
    import torch

    model = mamba().eval()
    prompts = [[START, 5], [START, 6, 7, 8, 9]]
    said = answers(planned(tmp_path, model, prompts), model, [0, 1], 3)
    for prompt, one in zip(prompts, said, strict=True):
        ids = list(prompt)
        with torch.no_grad():
            for _ in range(3):
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        assert one.ids == tuple(ids[len(prompt) :])
