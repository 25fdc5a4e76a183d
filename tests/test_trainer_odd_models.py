"""Models that cannot do what others can: found by asking them, before the first step."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.base.errors import CurateError
from tests.checkpoint_toys import train, write_answers
from tests.tiny_models import write_tiny

pytestmark = [
    pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
]


def test_a_model_with_a_mask_of_its_positions_size_is_not_given_longer_passes(tmp_path: Path):
    """GPT-Neo has 64 positions here; the rows of a step have 112 tokens together."""
    lines: list[str] = []
    base, tokens = write_tiny("gpt_neo", tmp_path / "base"), write_answers(tmp_path / "tokens")
    train(tokens, base, tmp_path / "out", lines.append)
    assert "packing: off, as this model cannot read more than its 64 positions in one pass" in lines
    with pytest.raises(CurateError, match="so rows cannot share a pass; set packing to off"):
        train(tokens, base, tmp_path / "two", packing="on")


def test_a_model_whose_gradients_fail_is_refused_in_a_sentence(tmp_path: Path):
    base, tokens = write_tiny("rwkv", tmp_path / "base"), write_answers(tmp_path / "tokens")
    with pytest.raises(CurateError, match="rwkv models cannot be trained here, as their gradients"):
        train(tokens, base, tmp_path / "out")
