"""Before anything is put on the model: no token of a row may know what comes after it."""

from __future__ import annotations

from typing import Any

from curate.base.errors import CurateError

_TOKENS = 8


def check_causal(model: Any, name: str) -> None:
    """Refuse a model whose tokens see later ones: it would be trained to copy its own targets.

    Instead of a list of architectures, the model itself is asked: what it makes of the first
    tokens must have no gradient at all at the embeddings of the last. `model` is as it was loaded.
    Raises `CurateError`.
    """
    import torch

    embedded: list[torch.Tensor] = []

    def cut_off(module: Any, given: Any, output: torch.Tensor) -> torch.Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[-1]

    embeddings = model.get_input_embeddings()
    ids = torch.arange(_TOKENS, device=next(model.parameters()).device)
    handle = embeddings.register_forward_hook(cut_off)
    try:
        # Of a reward model too: its body, as its score is one number for the whole row.
        output = model.base_model(input_ids=(ids % embeddings.weight.shape[0])[None])[0]
    finally:
        handle.remove()
    early = output[:, : _TOKENS // 2].float().square().sum()
    try:
        (gradient,) = torch.autograd.grad(early, embedded[:1])
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise CurateError(
            f"{name}: {model.config.model_type} models cannot be trained here, as their gradients "
            f"cannot be computed: {str(error).splitlines()[0][:120]}"
        ) from error
    late = gradient[:, _TOKENS // 2 :]
    # Weights that are no numbers give gradients that are none: the first step's proof says so.
    if bool((late.isfinite() & (late != 0)).any()):
        raise CurateError(
            f"{name}: a {model.config.model_type} model of this kind reads a row in both "
            "directions, so it would see the tokens it has to predict; name a causal language model"
        )
