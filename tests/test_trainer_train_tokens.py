"""Chat tokens whose rows the base never learnt: seen, named, and trained beside adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from tests.checkpoint_toys import (
    END,
    STOP,
    change_json,
    change_tensors,
    tensors,
    train,
    write_answers,
    write_base,
)
from tests.trainer_toys import ASK, START

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning"),
]
MATRICES = ("model.embed_tokens.weight", "lm_head.weight")
WARNING = "tokens whose embedding rows the base never learnt: "


def zero_rows(found: dict[str, Any]) -> None:
    for name in MATRICES:
        found[name][[STOP, START]] = 0


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_answers(tmp_path_factory.mktemp("rows") / "tokens")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base of which two tokens that the rows use are zero in both matrices."""
    folder = write_base(tmp_path_factory.mktemp("rows") / "base")
    change_tensors(Path(folder), zero_rows)
    return folder


def run(tokens: str, base: str, out: Path, **fields: Any) -> list[str]:
    lines: list[str] = []
    train(tokens, base, out, lines.append, **{"num_train_epochs": 2, "weight_decay": 0.0, **fields})
    return lines


def warned(lines: list[str]) -> list[str]:
    return [line.removeprefix(WARNING) for line in lines if line.startswith(WARNING)]


def test_rows_of_zeros_are_named_with_what_trains_them(tokens: str, base: str, tmp_path: Path):
    lines = run(tokens, base, tmp_path / "out", method="lora")
    assert warned(lines) == [
        f"<s> ({START}), {END} ({STOP}); method lora leaves them as they are; set "
        f"train_tokens=<s>,{END} to train them beside the adapters"
    ]
    after = tensors(tmp_path / "out")
    assert all(not after[name][[STOP, START]].any() for name in MATRICES)


def test_train_tokens_trains_these_rows_and_no_other(tokens: str, base: str, tmp_path: Path):
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    out = tmp_path / "out"
    lines = run(tokens, base, out, method="lora", train_tokens=f"<s>,{END}")
    assert warned(lines) == []
    before, after = tensors(Path(base)), tensors(out)
    for name, row in ((MATRICES[0], START), (MATRICES[1], STOP)):
        assert bool(after[name][row].any())
    others = [row for row in range(32) if row not in (STOP, START)]
    assert all(torch.equal(before[name][others], after[name][others]) for name in MATRICES)
    ids = torch.tensor([[START, 9, 21, ASK]])
    merged = AutoModelForCausalLM.from_pretrained(out)(ids).logits
    apart = AutoPeftModelForCausalLM.from_pretrained(out / "adapter")(ids).logits
    assert torch.allclose(merged, apart, atol=1e-5)


def test_one_named_leaves_the_warning_for_the_other(tokens: str, base: str, tmp_path: Path):
    lines = run(tokens, base, tmp_path / "out", method="lora", train_tokens=END)
    assert warned(lines)[0].startswith(f"<s> ({START}); method lora leaves")


def test_full_fine_tuning_trains_them_and_says_so(tokens: str, base: str, tmp_path: Path):
    lines = run(tokens, base, tmp_path / "out")
    assert warned(lines) == [f"<s> ({START}), {END} ({STOP}); full fine-tuning trains them"]
    assert bool(tensors(tmp_path / "out")[MATRICES[1]][STOP].any())


def test_rows_that_were_added_alike_are_seen_and_learnt_ones_are_not(tokens: str, tmp_path: Path):
    """Tools that add tokens give each the same row, the mean of all."""
    base = write_base(tmp_path / "base")
    assert warned(run(tokens, base, tmp_path / "one", method="oft", rotation_block=8)) == []

    def alike(found: dict[str, Any]) -> None:
        for name in MATRICES:
            found[name][30:32] = found[name].mean(dim=0)

    change_tensors(Path(base), alike)
    (line,) = warned(run(tokens, base, tmp_path / "two", method="oft", rotation_block=8))
    # The other of the two is in no row.
    assert line.startswith(f"{END} ({STOP}); method oft leaves them as they are; method full")


def test_a_token_that_the_tokenizer_lacks_is_an_error(tokens: str, base: str, tmp_path: Path):
    with pytest.raises(CurateError, match=r"no token '<\|ende\|>'; did you mean '<\|end\|>'"):
        run(tokens, base, tmp_path / "out", method="lora", train_tokens="<|ende|>")
    with pytest.raises(CurateError, match="train_tokens is read only with method tokens, lora"):
        run(tokens, base, tmp_path / "out", train_tokens=END)


def test_the_token_that_the_base_pads_with_learns_like_any_other(tokens: str, tmp_path: Path):
    """Torch gives the row of `pad_token_id` no gradient, and many bases pad with a chat token."""
    base = write_base(tmp_path / "base")
    change_json(tmp_path / "base" / "config.json", lambda content: content.update(pad_token_id=ASK))
    run(tokens, base, tmp_path / "out")
    before, after = tensors(Path(base))[MATRICES[0]], tensors(tmp_path / "out")[MATRICES[0]]
    assert bool((before[ASK] != after[ASK]).any())
