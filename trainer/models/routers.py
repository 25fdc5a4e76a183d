"""The loss that keeps the experts of a mixture in use alike (Fedus et al., arXiv 2101.03961).

For each expert: the share of choices that fell on it, times the probability that it was given on
average; summed over experts, times their number. It is counted as transformers' models count it for
a batch, over all real tokens and layers together, but over those of the whole optimizer step: so it
does not depend on how the rows of a step are packed, padded or accumulated.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError
from trainer.config.config import TrainConfig
from trainer.models.modes import evaluating, plain

if TYPE_CHECKING:
    import torch

# Largest difference from the model's own number, relative to it.
_ALLOWED = {"float32": 1e-4, "bfloat16": 2e-2}


@dataclasses.dataclass(frozen=True)
class Routers:
    """What a step adds: `coefficient` times the loss; a token chooses `per_token` of `experts`."""

    coefficient: float
    experts: int
    per_token: int


def choices(logits: Sequence[torch.Tensor], real: torch.Tensor | None, per_token: int) -> Any:
    """How many tokens chose each expert, and how many there were in all layers: fp64 [experts + 1].

    `logits` [tokens, experts] are those of each layer, `real` [tokens] tells tokens from padding.
    """
    import torch
    import torch.nn.functional as F

    experts = logits[0].shape[-1]
    found = torch.zeros(experts + 1, dtype=torch.float64, device=logits[0].device)
    for layer in logits:
        chosen = layer.detach().softmax(dim=-1).topk(per_token, dim=-1).indices
        flags = F.one_hot(chosen, experts).sum(dim=1)
        if real is not None:
            flags = flags * real[:, None]
        found[:-1] += flags.sum(dim=0)
        found[-1] += len(layer) if real is None else real.sum()
    return found


def balance(logits: Sequence[torch.Tensor], real: torch.Tensor | None, counted: Any) -> Any:
    """What these tokens add to the loss, fp32; `counted` are the `choices` of all of the step."""
    given: Any = 0.0
    for layer in logits:
        shares = layer.softmax(dim=-1).float()
        given = given + (shares if real is None else shares * real[:, None]).sum(dim=0)
    share = (counted[:-1] / counted[-1].square()).float()
    return len(share) * (share.to(given.device) * given).sum()


def of_model(
    model: Any, ids: torch.Tensor, config: TrainConfig, log: Callable[[str], None]
) -> Routers | None:
    """What the model's routers get; None if it has none, or they are to get nothing.

    `ids` [1, tokens] are of a row. The model itself is asked: its own number must be the one that
    is counted here. Raises `CurateError` for a coefficient that was given and that no router takes.
    """
    given = config.router_aux_coef
    if given == 0 or config.learns == "prompt":
        return None
    if given is None:
        given = getattr(model.config.get_text_config(), "router_aux_loss_coef", None)
    if not given:
        return None
    found = _sizes(model, ids, config.dtype)
    if not isinstance(found, str):
        whose = "as the base's config.json says; " if config.router_aux_coef is None else ""
        log(
            f"routers: the loss that keeps experts in use alike is added {given:g} times "
            f"({whose}router_aux_coef=0 leaves it out)"
        )
        return Routers(float(given), *found)
    if config.router_aux_coef is None:
        log(f"routers: nothing keeps experts in use alike, as {found}")
        return None
    raise CurateError(f"router_aux_coef: {given:g} cannot be added, as {found}; leave it out")


def _sizes(model: Any, ids: torch.Tensor, dtype: str) -> tuple[int, int] | str:
    """How many experts there are and a token chooses, or why the loss cannot be added."""
    network = plain(model)
    kind = network.config.model_type
    per_token = getattr(network, "num_experts_per_tok", None)
    takes = "output_router_logits" in inspect.signature(network.forward).parameters
    if per_token is None or not takes:
        return f"{kind} models have no such loss"
    with evaluating(model):
        output = model(input_ids=ids, output_router_logits=True, use_cache=False)
    logits, own = output.router_logits, getattr(output, "aux_loss", None)
    if not logits or own is None:
        return f"no layer of this {kind} model has a router"
    if {tuple(layer.shape) for layer in logits} != {(ids.numel(), logits[0].shape[-1])}:
        return f"routers of {kind} models give no number for each token and expert"
    ours = float(balance(logits, None, choices(logits, None, per_token)))
    if not abs(ours - float(own)) <= _ALLOWED[dtype] * abs(float(own)):
        return f"{kind} models count it in another way ({float(own):.6f}, not {ours:.6f})"
    return logits[0].shape[-1], int(per_token)
