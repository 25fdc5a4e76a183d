"""-ln p of every label after every prompt, token by token.

The prompt is read once for all of its labels where the model keeps keys and values, and the two
ways are compared on the first rows; else each label is read with its prompt, as training does.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.batches import batches, pad
from trainer.data.labelled import Ids
from trainer.data.rows import IGNORED, Rows, make_rows
from trainer.evaluation.samples import takes_batches
from trainer.loss import CHUNK_VALUES, head_is_plain, target_nats
from trainer.models.modes import evaluating, plain
from trainer.models.sharding import is_sharded

if TYPE_CHECKING:
    import torch

Nats = NDArray[np.float64]
# Positions of prompts that are read together, and of labels with their prompts' keys and values.
POSITIONS = 8192
# The largest share of them that is padding.
_PADDING = 0.1
# By how much both ways may differ: a share of the sum, in fp32 and in bfloat16.
_TOLERANCE, _COARSE = 1e-3, 0.05


@dataclasses.dataclass(frozen=True)
class LabelNats:
    """-ln p of the tokens of each label, stop included, after each prompt.

    `tokens` [rows][labels] are in the order of the label's tokens. `read` counts the positions that
    went through the model, padding too; `once` is what each prompt once and each label's tokens
    are, `apart` each label with a prompt of its own.
    """

    tokens: list[list[Nats]]
    read: int
    once: int
    apart: int
    shares_prompts: bool

    def sums(self) -> Nats:
        """-ln p of each label as a whole [rows, labels]."""
        return np.array([[each.sum() for each in row] for row in self.tokens])

    def means(self) -> Nats:
        """-ln p of a label's token, on average [rows, labels]."""
        return np.array([[each.mean() for each in row] for row in self.tokens])


def label_nats(
    model: Any,
    prompts: Sequence[Ids],
    labels: Sequence[Sequence[Ids]],
    *,
    share: bool = True,
    positions: int = POSITIONS,
    log: Callable[[str], None] | None = None,
) -> LabelNats:
    """What the model gives each of a row's `labels` [rows][labels] after its prompt.

    Neither a prompt nor a label is empty. The sums are those of `target_nats` over the rows that
    prompt and label make, to rounding, whatever is read together: `positions` bounds that. Without
    `share` each label is read with its prompt even where the model could do otherwise.
    """
    reader = _Reader(model, prompts, labels, positions)
    order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
    found: dict[int, list[Nats]] = {}
    able = share and takes_batches(model) and not is_sharded(model)
    shares = able and reader.can_share(order)
    for group in _groups(order, prompts, positions):
        given = reader.together(group) if shares else None
        found |= zip(group, given or reader.apart(group), strict=True)
        if log is not None:
            log(f"{len(found):,} of {len(prompts):,} rows scored")
    once = [len(prompt) + sum(len(each) - 1 for each in row) for prompt, row in reader.pairs]
    apart = [sum(len(prompt) + len(each) - 1 for each in row) for prompt, row in reader.pairs]
    tokens = [found[row] for row in range(len(prompts))]
    return LabelNats(tokens, reader.read, sum(once), sum(apart), shares)


def _groups(order: Sequence[int], prompts: Sequence[Ids], positions: int) -> Iterator[list[int]]:
    """Rows that are read together, longest first: few `positions`, and few of them padding."""
    group: list[int] = []
    real = 0
    for row in order:
        size = (len(group) + 1) * len(prompts[group[0]]) if group else 0
        if group and (size > positions or real + len(prompts[row]) < (1 - _PADDING) * size):
            yield group
            group, real = [], 0
        group.append(row)
        real += len(prompts[row])
    if group:
        yield group


def _alike(one: list[list[Nats]], other: list[list[Nats]], coarse: bool) -> bool:
    """Whether both ways gave the same, to rounding."""
    first, second = (np.array([each.sum() for row in way for each in row]) for way in (one, other))
    tolerance = _COARSE if coarse else _TOLERANCE
    return np.allclose(first, second, rtol=tolerance, atol=tolerance, equal_nan=True)


class _Reader:
    """Reads groups of rows, and counts the positions that went through the model."""

    def __init__(
        self,
        model: Any,
        prompts: Sequence[Ids],
        labels: Sequence[Sequence[Ids]],
        positions: int,
    ) -> None:
        import torch

        self.model, self.positions, self.read = model, positions, 0
        self.pairs = list(zip(prompts, labels, strict=True))
        weight = next(model.parameters())
        self.device, self.is_coarse = weight.device, weight.dtype != torch.float32
        self.plain_head: bool | None = None

    def can_share(self, order: Sequence[int]) -> bool:
        """Whether the longest and the shortest row give the same both ways; it is not counted."""
        few = list(dict.fromkeys([order[0], order[-1]]))
        together = self.together(few)
        is_alike = together is not None and _alike(self.apart(few), together, self.is_coarse)
        self.read = 0
        return is_alike

    def apart(self, group: Sequence[int]) -> list[list[Nats]]:
        """Each label behind a prompt of its own, as rows of training."""
        made = [(*self.pairs[row], row) for row in group]
        texts = [(prompt, label) for prompt, labels, _ in made for label in labels]
        rows = _as_rows(texts)
        if self.plain_head is None:
            self.plain_head = head_is_plain(self.model, pad(rows, np.arange(1)))
        nats: list[Nats] = [np.zeros(len(label)) for _, label in texts]
        width = plain(self.model).get_input_embeddings().weight.shape[0]
        most = self.positions if self.plain_head else max(1, CHUNK_VALUES // width)
        with evaluating(self.model):
            for batch in batches(rows, np.arange(len(rows)), min(self.positions, most)):
                found = target_nats(self.model, batch, whole=not self.plain_head)
                self.read += batch.input_ids.size
                values = found.double().cpu().numpy()
                for place, row in enumerate(batch.rows.tolist()):
                    nats[row] = values[batch.row_of == place]
        left = iter(nats)
        return [[next(left) for _ in labels] for _, labels, _ in made]

    def together(self, group: Sequence[int]) -> list[list[Nats]] | None:
        """Each prompt once, its keys and values before each of its labels; None if it cannot."""
        rows = [self.pairs[row] for row in group]
        try:
            with evaluating(self.model):
                return self._together(rows)
        except (RuntimeError, AttributeError, TypeError, ValueError, LookupError):
            # What architectures raise whose memory is not by position; then `apart` is taken.
            return None

    def _together(self, rows: Sequence[tuple[Ids, Sequence[Ids]]]) -> list[list[Nats]]:
        import torch

        width = max(len(prompt) for prompt, _ in rows)
        real = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p, _ in rows])
        ids = torch.tensor([[0] * (width - len(p)) + list(p) for p, _ in rows])
        last, cache = self._read_prompts(ids, real)
        firsts = torch.log_softmax(last.float(), dim=-1)
        pairs = [(row, label) for row, (_, labels) in enumerate(rows) for label in labels]
        at = torch.tensor([[row, label[0]] for row, label in pairs], device=self.device)
        first = -firsts[at[:, 0], at[:, 1]].double().cpu().numpy()
        nats = [np.array([value]) for value in first.tolist()]
        long = [place for place, (_, label) in enumerate(pairs) if len(label) > 1]
        for some in self._chunks(long, pairs, width, last.shape[-1]):
            rest = self._read_labels(cache, real, [pairs[place] for place in some])
            for place, values in zip(some, rest, strict=True):
                nats[place] = np.concatenate([nats[place], values])
        left = iter(nats)
        return [[next(left) for _ in labels] for _, labels in rows]

    def _chunks(
        self, long: Sequence[int], pairs: Sequence[tuple[int, Ids]], width: int, words: int
    ) -> Iterator[list[int]]:
        """Labels of like length that are read together."""
        order = sorted(long, key=lambda place: len(pairs[place][1]))
        some: list[int] = []
        for place in order:
            size = len(pairs[place][1]) - 1
            count = len(some) + 1
            if some and (
                count * (width + size) > self.positions or count * size * words > CHUNK_VALUES
            ):
                yield some
                some = []
            some.append(place)
        if some:
            yield some

    def _read_prompts(self, ids: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, Any]:
        options: dict[str, Any] = {"logits_to_keep": 1, "use_cache": True}
        if not bool(real.all()):
            places = (real.cumsum(1) - 1).clamp(min=0)
            options |= {
                "attention_mask": real.to(self.device),
                "position_ids": places.to(self.device),
            }
        self.read += ids.numel()
        output = self.model(input_ids=ids.to(self.device), **options)
        return output.logits[:, -1], output.past_key_values

    def _read_labels(
        self, cache: Any, real: torch.Tensor, pairs: Sequence[tuple[int, Ids]]
    ) -> list[Nats]:
        """-ln p of the tokens of each label after its first."""
        import torch

        owners = torch.tensor([row for row, _ in pairs])
        size = max(len(label) for _, label in pairs) - 1
        fed = torch.tensor([(*label[:-1], *[0] * (size + 1 - len(label))) for _, label in pairs])
        wanted = torch.tensor(
            [(*label[1:], *[IGNORED] * (size + 1 - len(label))) for _, label in pairs]
        )
        mask = torch.cat([real[owners], torch.ones_like(fed)], dim=1)
        places = real.sum(1)[owners, None] + torch.arange(size)
        known = copy.deepcopy(cache)
        known.batch_select_indices(owners.to(self.device))
        self.read += fed.numel()
        output = self.model(
            input_ids=fed.to(self.device),
            attention_mask=mask.to(self.device),
            position_ids=places.to(self.device),
            past_key_values=known,
            use_cache=True,
        )
        nats = torch.nn.functional.cross_entropy(
            output.logits.flatten(0, 1).float(),
            wanted.flatten().to(self.device),
            reduction="none",
            ignore_index=IGNORED,
        )
        values = nats.view(fed.shape).double().cpu().numpy()
        return [row[: len(label) - 1] for row, (_, label) in zip(values, pairs, strict=True)]


def _as_rows(texts: Sequence[tuple[Ids, Ids]]) -> Rows:
    ids = [(*prompt, *label) for prompt, label in texts]
    labels = [(*[IGNORED] * len(prompt), *label) for prompt, label in texts]
    return make_rows([str(number) for number in range(len(texts))], ids, labels)
