"""How hard a language model finds each token of each answer, with and without the question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.base.errors import CurateError
from filters.common.arrays import Floats
from filters.common.models import Rows, batches, context, load
from filters.common.problems import TOKENS
from filters.difficulty.texts import Encoded, Template, Written, alone, shared, written

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LOGIT_ROWS = 256  # positions whose losses are computed at once: a vocabulary wide each
EASY = 0.1  # nats: a token that was nine in ten certain beforehand

NO_RATIO = "losses of {given} and {alone} have no ratio"
MEASURED = {
    "given": pl.Float64,
    "alone": pl.Float64,
    "tokens": pl.UInt32,
    "easy": pl.Float64,
    "late": pl.Float64,
    "problem": pl.Categorical,
}


@dataclass(frozen=True)
class _Reader:
    """A model, its tokenizer, and what it can read."""

    model: PreTrainedModel
    encode: Any  # the tokenizer's backend, which alone knows offsets
    start: list[int]  # the special tokens that the tokenizer puts before a text
    limit: int

    def encoded(self, side: Written) -> Encoded:
        found = self.encode.encode(side.text, add_special_tokens=False)
        return Encoded([*self.start, *found.ids], list(found.offsets), len(self.start))


def measure_difficulty(records: pl.DataFrame, path: str, template: Template) -> pl.DataFrame:
    """Columns `MEASURED` per record, null beside a `problem` that does not name them.

    `given` and `alone` are mean losses (nats) over the same `tokens` of all answers, after what
    was asked and alone. `easy` is the share of tokens whose loss after the question is below
    0.1 (a loop is easy), `late` the mean loss of their last quarter less that of the first.
    Nothing is cut: a row over the model's context is a problem.
    """
    reader = _load(path)
    texts: Rows = []
    rows: list[_Row] = []
    for messages in records["messages"]:  # tokenizers and models take texts: a loop it is
        row = _Row.of(messages.to_list(), reader, template)
        rows.append(row)
        texts += row.texts
    losses = _losses(reader.model, texts)
    found, start = [], 0
    for row in rows:
        found.append(row.numbers(losses[start : start + len(row.texts)]))
        start += len(row.texts)
    return pl.DataFrame(found, schema=MEASURED, orient="row")


@dataclass(frozen=True)
class _Row:
    """The texts of one record as token ids, the whole first, and the tokens they share."""

    texts: Rows
    tokens: list[list[tuple[int, int]]]  # per answer
    problem: str | None = None
    length: int | None = None  # of a row that is too long

    @classmethod
    def of(cls, messages: Sequence[Mapping[str, Any]], reader: _Reader, template: Template) -> _Row:
        whole = written(messages, template)
        if not whole.answers:
            return cls([], [], "no answer with text")
        encoded = reader.encoded(whole)
        if len(encoded.ids) > reader.limit:
            problem = f"{TOKENS} tokens, and the model reads {reader.limit:,}"
            return cls([], [], problem, len(encoded.ids))
        single = alone(whole, template)
        bare = [reader.encoded(each) for each in single]
        tokens = [
            shared(encoded, span, other, each.answers[0])
            for span, other, each in zip(whole.answers, bare, single, strict=True)
        ]
        if not any(tokens):
            return cls([], [], "no token of the answer is the same with and without the question")
        if max(len(each.ids) for each in bare) > reader.limit:
            return cls([], [], f"the answer alone is longer than the {reader.limit:,} it can be")
        return cls([encoded.ids, *(each.ids for each in bare)], tokens)

    def numbers(self, losses: Sequence[Floats]) -> tuple[Any, ...]:
        """A line of `MEASURED`."""
        if self.problem is not None:
            return (None, None, self.length, None, None, self.problem)
        given = np.concatenate([losses[0][[one for one, _ in pairs]] for pairs in self.tokens])
        sides = zip(losses[1:], self.tokens, strict=True)
        bare = np.concatenate([own[[other for _, other in pairs]] for own, pairs in sides])
        means = float(given.mean()), float(bare.mean())
        if not np.isfinite(means).all() or means[1] <= 0.0:
            return (*means, None, None, None, NO_RATIO)
        quarter = max(1, len(given) // 4)
        late = float(given[-quarter:].mean() - given[:quarter].mean())
        return (*means, len(given), float((given < EASY).mean()), late, None)


def _load(path: str) -> _Reader:
    model, tokenizer = load("difficulty", path, "causal")
    start = _start(tokenizer)  # before the backend is set up: a call sets it back
    return _Reader(model, _backend(tokenizer, path), start, context(model, tokenizer))


def _backend(tokenizer: PreTrainedTokenizerBase, path: str) -> Any:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise CurateError(
            f"difficulty: the tokenizer in {path} tells no character offsets; expected one with a"
            " tokenizer.json"
        )
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True  # "</s>" in an answer is text, not the end
    return backend


def _start(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The start token, if the tokenizer itself begins texts with one."""
    ids = list(tokenizer("a")["input_ids"])
    return ids[:1] if ids and ids[0] == tokenizer.bos_token_id else []


def _losses(model: PreTrainedModel, rows: Rows) -> list[Floats]:
    """The loss of each token of each row; NaN for the first, which nothing precedes."""
    found = [np.full(len(row), np.nan) for row in rows]
    for batch in batches(model, rows):
        for at, losses in zip(batch, _of_batch(model, [rows[at] for at in batch]), strict=True):
            found[at][1:] = losses
    return found


def _of_batch(model: PreTrainedModel, rows: Rows) -> Floats:
    import torch
    from torch.nn.functional import cross_entropy

    ids = torch.tensor(rows, device=model.device)
    if ids.shape[1] < 2:
        return np.zeros((len(rows), 0))
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, :-1]
        flat, targets = logits.flatten(0, 1), ids[:, 1:].flatten()
        parts = [
            cross_entropy(flat[low : low + LOGIT_ROWS].float(), wanted, reduction="none")
            for low in range(0, len(targets), LOGIT_ROWS)
            for wanted in [targets[low : low + LOGIT_ROWS]]
        ]
    return torch.cat(parts).reshape(len(rows), -1).double().cpu().numpy()
