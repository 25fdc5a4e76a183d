"""Bases with one oddity each: trained right, or refused before the first step in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from tests.checkpoint_toys import change_json, change_tensors, tensors, train, write_answers
from tests.checkpoint_toys import write_base as write

pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")

UP = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_answers(tmp_path_factory.mktemp("odd") / "tokens")


def test_a_base_in_float64_is_trained_and_stays_in_it(tokens: str, tmp_path: Path):
    import torch

    base = write(tmp_path / "base")
    change_tensors(
        Path(base), lambda found: found.update({k: v.double() for k, v in found.items()})
    )
    change_json(Path(base) / "config.json", lambda content: content.update(dtype="float64"))
    out = train(tokens, base, tmp_path / "out")
    assert {one.dtype for one in tensors(out).values()} == {torch.float64}


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32"])
def test_whole_numbers_in_place_of_weights_are_refused(kind: str, tokens: str, tmp_path: Path):
    import torch

    base = write(tmp_path / "base")

    def whole(found: dict[str, Any]) -> None:
        found[UP] = (found[UP] * 100).to(getattr(torch, kind))

    change_tensors(Path(base), whole)
    with pytest.raises(CurateError, match=rf"{UP} is quantised to 8 bits or fewer; take"):
        train(tokens, base, tmp_path / "out")


def test_a_mask_of_whole_numbers_beside_the_weights_is_none_of_them(tokens: str, tmp_path: Path):
    import torch

    base = write(tmp_path / "base")
    mask = torch.ones(4, 4, dtype=torch.uint8)
    change_tensors(Path(base), lambda found: found.update({"attn.bias": mask}))
    out = train(tokens, base, tmp_path / "out")
    assert torch.equal(tensors(out)["attn.bias"], mask)


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_no_number_in_what_is_only_carried_is_found_too(
    method: str, value: str, tokens: str, tmp_path: Path
):
    import torch

    base = write(tmp_path / "base")
    head = torch.tensor([[1.0, float(value)]])
    change_tensors(Path(base), lambda found: found.update({"v_head.summary.weight": head}))
    with pytest.raises(CurateError, match=r"v_head\.summary\.weight \(1 values\); download"):
        train(tokens, base, tmp_path / "out", method=method)


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_files_that_were_never_fetched_are_named(file: str, tokens: str, tmp_path: Path):
    base = Path(write(tmp_path / "base"))
    (base / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(CurateError, match=rf"{file}: is a Git LFS pointer, .*run: git lfs pull"):
        train(tokens, str(base), tmp_path / "out")
