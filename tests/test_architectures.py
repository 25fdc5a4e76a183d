"""Tiny models of many architectures, each trained for two steps, loaded by others, and stopped.

`make slow` runs it: it takes some minutes. `docs/architectures.md` has a line for each.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architectures import Method, walk
from tests.checkpoint_toys import STOP
from tests.tiny_models import ARCHITECTURES

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

# What cannot be trained, and what the sentence says.
REFUSED = {
    "bert": "reads a row in both directions",
    "t5": "no model of type t5 behind AutoModelForCausalLM",
    "rwkv": "cannot be trained here, as their gradients cannot be computed",
}
# Statistics that are counted, not trained: no gradient ever moves them.
COUNTED = (
    "e_score_correction_bias",
    "expert_bias",
    "act_fn.beta",
    "act_fn.eps",
    "_decay",
    "slope_rate",
)
# Weights of linear layers that LoRA leaves, each with the words of the log that say so.
LEFT = {
    "out_proj.weight": "of state-space layers stay as they are",
    "x_proj.weight": "of state-space layers stay as they are",
    "dt_proj.weight": "of state-space layers stay as they are",
    "experts.mlp": "experts of the mixture stay frozen",
}
_LINEAR = ("_proj.weight", "dense.weight", "c_attn.weight", "c_fc.weight", "experts.mlp")
_MIXTURES = ("moe", "mixtral", "deepseek", "gpt_oss", "jamba", "qwen3_next", "minimax", "llama4")


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_is_trained_stops_wherever_it_is_loaded_or_is_refused(
    name: str, method: Method, tmp_path: Path
):
    outcome = walk(name, method, tmp_path)
    if name in REFUSED:
        assert REFUSED[name] in outcome.refused and not outcome.began
        return
    assert outcome.refused == ""
    # The checkpoint has all that the base had, and transformers reads all of it.
    assert (outcome.lost, outcome.unread, outcome.lacking) == ((), (), ())
    assert outcome.moved > 1e-3
    # From the checkpoint, and from the epoch or the adapter: two words, and the stop.
    assert outcome.answers == ((7, 6, STOP), (7, 6, STOP))
    if method == "full":
        assert [one for one in outcome.unmoved if not one.endswith(COUNTED)] == []
        return
    # What peft puts together from base and adapter is what was merged.
    assert outcome.apart < 1e-5
    for left in outcome.unmoved:
        if any(part in left for part in _LINEAR):
            (words,) = {why for part, why in LEFT.items() if part in left}
            assert any(words in line for line in outcome.log), left
    if any(part in name for part in _MIXTURES):
        assert outcome.experts.startswith("experts of the mixture are adapted")


def test_the_page_has_a_line_for_each():
    page = Path(__file__).parent.parent / "docs" / "architectures.md"
    lines = page.read_text(encoding="utf-8").splitlines()
    named = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    assert sorted(named[1:]) == sorted(ARCHITECTURES)
