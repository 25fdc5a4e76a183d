"""Negative log-likelihood of the trained tokens, in nats, without logits nobody needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.config.config import TrainConfig
from trainer.data.batches import Batch
from trainer.data.pairs import Pairs
from trainer.data.rows import Rows
from trainer.distributed import ALONE, Group
from trainer.models import chunked
from trainer.models.anchor import Anchor
from trainer.models.attention import isolated
from trainer.models.chunked import fine
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

    def of_logits(logits: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, put(batch.targets, logits.device), reduction="none")

    def of_states(head: Any, states: torch.Tensor) -> torch.Tensor:
        targets = put(batch.targets, states.device)
        return chunked.cross_entropy(head, states, targets, _rows(head, chunk))

    return _at_targets(model, batch, routed, of_logits if whole else None, of_states)


def target_numbers(
    model: Any,
    batch: Batch,
    measure: chunked.Measure,
    *,
    whole: bool,
    chunk: int = CHUNK_VALUES // 4,
    routed: list[torch.Tensor] | None = None,
) -> torch.Tensor:
    """What `measure` makes of the logits of each target, fp32 [targets, numbers].

    All else is as in `target_nats`.
    Pieces are smaller than those of a loss alone, since several values are made of each logit.
    """

    def of_logits(logits: torch.Tensor) -> Any:
        return measure(logits, slice(0, len(logits)))

    def of_states(head: Any, states: torch.Tensor) -> torch.Tensor:
        return chunked.by_pieces(head, states, _rows(head, chunk), measure)

    return _at_targets(model, batch, routed, of_logits if whole else None, of_states)


def _at_targets(
    model: Any,
    batch: Batch,
    routed: list[torch.Tensor] | None,
    of_logits: Callable[[torch.Tensor], torch.Tensor] | None,
    of_states: Callable[[Any, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """One forward pass, and what is made at its targets of whole logits, or of states and head."""
    inputs, at = _inputs(model, batch)
    more = {} if routed is None else {"output_router_logits": True}
    with isolated(batch.documents):
        if of_logits is not None:
            output = model(**inputs, **more, use_cache=False)
            _keep_routed(output, routed)
            return of_logits(fine(output.logits.flatten(0, 1).index_select(0, at)))

        def made() -> torch.Tensor:
            output = plain(model).base_model(**inputs, **more, use_cache=False)
            _keep_routed(output, routed)
            states = output.last_hidden_state.flatten(0, 1).index_select(0, at)
            return of_states(plain(model).get_output_embeddings(), states)

        return inside(model, made)


def _rows(head: Any, chunk: int) -> int:
    """How many targets have at most `chunk` logits."""
    return max(1, chunk // int(head.weight.shape[0]))


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
            for piece in chunked.pieces(len(at), _rows(head, chunk)):
                use(piece, head(states[piece]).float())

        inside(model, pieces)


def hidden_at_targets(model: Any, batch: Batch, *, whole: bool) -> tuple[Any, torch.Tensor]:
    """The output layer and the hidden states [targets, width] before it, without gradients.

    Where `whole` there is no such layer: None, and the logits [targets, vocabulary].
    """
    inputs, at = _inputs(model, batch)
    with evaluating(model), isolated(batch.documents):
        if whole:
            logits = model(**inputs, use_cache=False).logits
            return None, logits.flatten(0, 1).index_select(0, at)
        states = _hidden_states(model, inputs).flatten(0, 1).index_select(0, at)
        return plain(model).get_output_embeddings(), states


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


class Taught(Protocol):
    """What a teacher gives for one pass."""

    @property
    def known(self) -> torch.Tensor:
        """Bool [targets]: those it has a distribution for."""

    def apart(self, logits: torch.Tensor, places: slice) -> torch.Tensor:
        """Divergence from the teacher, fp32 [some], of logits fp32 [some, vocabulary]."""


class Teacher(Protocol):
    """A larger model's distributions, or a file of them, and how they count beside the labels."""

    @property
    def weight(self) -> float:
        """The share of its part in the loss."""

    @property
    def temperature(self) -> float:
        """What logits are divided by before they are compared."""

    def knows(self, rows: Rows) -> bool:
        """Whether it has distributions for these rows."""

    def taught(self, batch: Batch) -> Taught:
        """Its distributions at the targets of a pass over rows that it knows."""


@dataclasses.dataclass(frozen=True)
class LossMode:
    """How a model's loss is computed: what it was found to need, and what it can do."""

    whole: bool  # from whole logits, as they are more than the output layer
    packed: bool  # from documents end to end
    group: Group = ALONE  # who shares a step
    rejected: Rows | None = None  # of a reward model: the other side of the rows
    routers: Routers | None = None  # of a mixture of experts: what a step adds for them
    teacher: Teacher | None = None  # whose distributions are learnt beside the labels
    pairs: Pairs | None = None  # of preferences: both sides
    reference: NDArray[np.float64] | None = None  # ln p of all sides before training
    settings: TrainConfig | None = None  # of preferences: those of the loss
    anchor: Anchor | None = None  # where training started, and what draws back there


def weighted_sum(nats: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The sum of nats [targets], each times what its target counts."""
    import torch

    if batch.weights is None:
        return nats.sum()
    return torch.dot(nats, put(batch.weights, nats.device).to(nats.dtype))


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
