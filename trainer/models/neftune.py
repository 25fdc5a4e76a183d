"""NEFTune: uniform noise on the embeddings, in training only (Jain et al., arXiv 2310.05914)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.models.modes import plain

if TYPE_CHECKING:
    import torch


def add_noise(model: Any, alpha: float) -> None:
    """Noise of size `alpha / sqrt(length * width)` on each embedded token of a training batch.

    `length` is the row's as it is padded, as in the paper's code; where documents are packed it
    is each document's own, which positions that restart at 0 tell. Off in evaluation. The noise
    comes from torch's generator, so it is a function of the step like dropout.
    """
    import torch

    seen: dict[str, Any] = {}

    def remember(module: Any, args: Any, kwargs: Any) -> None:
        seen["positions"] = kwargs.get("position_ids")

    def disturb(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor | None:
        if not module.training:
            return None
        size = alpha / (lengths(output, seen.get("positions")) * output.shape[-1]).sqrt()
        noise = torch.empty_like(output).uniform_(-1, 1)
        return output + noise * size[..., None].to(output.dtype)

    network = plain(model)
    network.base_model.register_forward_pre_hook(remember, with_kwargs=True)
    network.get_input_embeddings().register_forward_hook(disturb)


def lengths(embedded: torch.Tensor, positions: torch.Tensor | None) -> torch.Tensor:
    """For each token [rows, positions] the length of its document, fp32."""
    import torch

    shape = embedded.shape[:2]
    if positions is None or positions.shape[-1] != shape[1]:
        return torch.full(shape, float(shape[1]), device=embedded.device)
    starts = (positions == 0).expand(shape).clone()
    starts[:, 0] = True
    document = starts.flatten().cumsum(0) - 1
    # No bincount: it has no deterministic kernel on a GPU.
    first = torch.nonzero(starts.flatten()).flatten()
    end = torch.cat([first[1:], first.new_tensor([document.numel()])])
    return (end - first).float()[document].view(shape)
