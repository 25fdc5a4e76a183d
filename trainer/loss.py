"""Negative log-likelihood of the trained tokens, in nats, without logits nobody needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trainer.data.batches import Batch
from trainer.data.rows import Rows
from trainer.distributed import ALONE, Group
from trainer.models.attention import isolated
from trainer.models.device import put
from trainer.models.modes import evaluating, plain
from trainer.models.routers import Routers
from trainer.models.sharding import inside
from trainer.packing import positions

if TYPE_CHECKING:
    import torch

# Logits above this number of values (fp32: 256 MB) are computed in pieces and never all exist.
CHUNK_VALUES = 1 << 26


def target_nats(
    model: Any,
    batch: Batch,
    *,
    whole: bool,
    chunk: int = CHUNK_VALUES,
    routed: list[torch.Tensor] | None = None,
) -> torch.Tensor:
    """-ln p of each target, float32 [targets], in the order of `batch.targets`.

    The sum over a step's batches divided by the step's number of targets is the loss: equal to
    `cross_entropy(..., ignore_index=-100)` over the shifted labels of the whole step. Unless
    `whole`, the output layer runs only where something is trained (see `head_is_plain`). A list
    `routed` is filled with the logits of each layer's router.
    """
    import torch.nn.functional as F

    inputs, at = _inputs(model, batch)
    more = {} if routed is None else {"output_router_logits": True}
    targets = put(batch.targets, at.device)
    with isolated(batch.documents):
        if whole:
            output = model(**inputs, **more, use_cache=False)
            _keep_routed(output, routed)
            picked = output.logits.flatten(0, 1).index_select(0, at)
            return F.cross_entropy(fine(picked), targets, reduction="none")

        def nats() -> torch.Tensor:
            output = plain(model).base_model(**inputs, **more, use_cache=False)
            _keep_routed(output, routed)
            states = output.last_hidden_state.flatten(0, 1).index_select(0, at)
            head = plain(model).get_output_embeddings()
            return _chunked(head, states, targets, max(1, chunk // head.weight.shape[0]))

        return inside(model, nats)


def _keep_routed(output: Any, routed: list[torch.Tensor] | None) -> None:
    if routed is not None:
        routed += output.router_logits


def read_logits(
    model: Any,
    batch: Batch,
    use: Callable[[slice, torch.Tensor], None],
    *,
    whole: bool,
    chunk: int = CHUNK_VALUES,
) -> None:
    """Hand `use` the logits of the targets, fp32 [some, vocabulary], and which targets they are of.

    Piece after piece in the order of `batch.targets`; without gradients, dropout off. Only where
    `whole` the logits of all positions exist at a time.
    """
    inputs, at = _inputs(model, batch)
    with evaluating(model), isolated(batch.documents):
        if whole:
            logits = model(**inputs, use_cache=False).logits
            use(slice(0, len(at)), logits.flatten(0, 1).index_select(0, at).float())
            return

        def pieces() -> None:
            states = _hidden_states(model, inputs).flatten(0, 1).index_select(0, at)
            head = plain(model).get_output_embeddings()
            rows = max(1, chunk // head.weight.shape[0])
            for start in range(0, max(1, len(at)), rows):
                piece = slice(start, min(start + rows, len(at)))
                use(piece, head(states[piece]).float())

        inside(model, pieces)


def _inputs(model: Any, batch: Batch) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """What the model is given, and the places of the targets, on its device.

    No 2-D mask: padding is on the right, where causal attention does not look, and with a mask
    transformers would no longer see packed documents in the positions.
    """
    device = next(model.parameters()).device
    inputs = {"input_ids": put(batch.input_ids, device)}
    if batch.documents is not None:
        inputs["position_ids"] = put(positions(batch.documents), device)
    return inputs, put(batch.at, device)


@dataclasses.dataclass(frozen=True)
class LossMode:
    """How a model's loss is computed: what it was found to need, and what it can do."""

    whole: bool  # from whole logits, as they are more than the output layer
    packed: bool  # from documents end to end
    group: Group = ALONE  # who shares a step
    rejected: Rows | None = None  # of a reward model: the other side of the rows
    routers: Routers | None = None  # of a mixture of experts: what a step adds for them


def fine(logits: torch.Tensor) -> torch.Tensor:
    """Logits as float32, or as float64 if they are that."""
    import torch

    return logits if logits.dtype == torch.float64 else logits.float()


def weighted_sum(nats: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The sum of nats [targets], each times what its target counts."""
    import torch

    if batch.weights is None:
        return nats.sum()
    return torch.dot(nats, put(batch.weights, nats.device).to(nats.dtype))


def _chunked(head: Any, states: torch.Tensor, targets: torch.Tensor, rows: int) -> torch.Tensor:
    """Cross entropy of `head(states)`, `rows` targets at a time.

    With more than one piece the logits of each are computed again in the backward pass: one
    more product with the output matrix in exchange for never holding targets x vocabulary.
    """
    import torch
    import torch.nn.functional as F
    from torch.utils.checkpoint import checkpoint

    def nats(states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(fine(head(states)), targets, reduction="none")

    if len(targets) <= rows:
        return nats(states, targets)
    pieces = [
        checkpoint(nats, *piece, use_reentrant=False, preserve_rng_state=False)
        for piece in zip(torch.split(states, rows), torch.split(targets, rows), strict=True)
    ]
    return torch.cat(pieces)


def head_is_plain(model: Any, batch: Batch) -> bool:
    """Whether the model's logits are its output layer applied to its last hidden states.

    Some architectures scale or cap logits after that layer. Instead of a list of names, the
    model itself is asked: both ways must give the same logits on a few real tokens.
    """
    import torch

    network = plain(model)
    head = network.get_output_embeddings()
    if head is None or network.base_model is network:
        return False
    with evaluating(model):
        ids = torch.from_numpy(batch.input_ids[:1, :16]).to(next(model.parameters()).device)

        def apart() -> Any:
            states = _hidden_states(model, {"input_ids": ids})
            return None if states is None else head(states)

        logits = inside(model, apart)
        expected = model(input_ids=ids, use_cache=False).logits
        return logits is not None and bool(torch.equal(logits, expected))


def _hidden_states(model: Any, inputs: dict[str, torch.Tensor]) -> Any:
    outputs = plain(model).base_model(**inputs, use_cache=False)
    return getattr(outputs, "last_hidden_state", None)
