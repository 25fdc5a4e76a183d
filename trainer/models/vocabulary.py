"""Added tokens: rows of the embeddings that the base model does not have yet."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError, nearest, some_of


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """What the rows need of the embeddings: `size` ids, those in `added` newly made.

    `functional` are all tokens that were named as added, also those the tokenizer had before;
    those in `closing` end answers. `padding` is what a reward model pads with, and `named` are
    tokens whose rows learn because the user says so.
    """

    size: int
    added: Mapping[str, int]
    functional: Mapping[str, int]
    closing: frozenset[str] = frozenset()
    padding: int | None = None
    named: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def rows(self) -> list[int]:
        """The ids whose embedding rows learn, where not all do."""
        return sorted({*self.added.values(), *self.named.values()})


def needed(manifest: Mapping[str, Any], model_size: int, where: Path) -> Vocabulary:
    """Read the manifest's added tokens; `model_size` is the number of embedding rows there are.

    A padded embedding matrix may have rows for them already: those are made anew as well, since
    nothing was ever learnt there. Raises `CurateError` for ids that leave a gap after the model's.
    """
    named = manifest.get("tokenizer") or {}
    added = dict(sorted((named.get("added") or {}).items(), key=lambda item: item[1]))
    closing = named.get("closing") or {}
    functional = {**(named.get("functional") or {}), **closing, **added}
    beyond = [number for number in added.values() if number >= model_size]
    if beyond and (min(beyond) != model_size or max(beyond) + 1 != model_size + len(beyond)):
        raise CurateError(
            f"{where}: added tokens have ids {beyond[0]} to {beyond[-1]}, but the model's "
            f"vocabulary ends at {model_size - 1}; render the rows with the model's own tokenizer"
        )
    return Vocabulary(model_size + len(beyond), added, functional, frozenset(closing))


PAD = "<|pad|>"


def with_padding(
    words: Vocabulary, tokenizer: Any, preferred: Sequence[int | None], ends: Container[int]
) -> Vocabulary:
    """With a token to pad with that no row ends with, and that tokenizer and model both know.

    The first of `preferred` that will do: a token that is matched whole in any text, as an ordinary
    word would begin to be if it became the `pad_token`. Where none does, one is added.
    """
    whole = {*tokenizer.get_added_vocab().values(), *words.added.values()}
    fitting = (each for each in preferred if each in whole and each not in ends)
    number = next((each for each in fitting if each is not None and each < words.size), None)
    if number is not None:
        return dataclasses.replace(words, padding=number)
    new = len(tokenizer) + len(words.added.keys() - tokenizer.get_vocab().keys())
    if new > words.size or PAD in words.added or PAD in tokenizer.get_vocab():
        raise CurateError(
            "objective: reward: rows end with every token that could be padding, and the tokenizer "
            f"and the model have no room for another ({len(tokenizer)} and {words.size} ids); give "
            "the tokenizer a pad_token that no row ends with"
        )
    added, size = {**words.added, PAD: new}, max(words.size, new + 1)
    functional = {**words.functional, PAD: new}
    return dataclasses.replace(words, size=size, added=added, functional=functional, padding=new)


def pad_with(model: Any, words: Vocabulary) -> None:
    """Let a reward model pad with the token it was given; it scores a row before the padding."""
    for config in (model.config, model.config.get_text_config()):
        config.pad_token_id = words.padding


def grow(model: Any, words: Vocabulary) -> None:
    """Give the model rows for the added tokens, each the mean of the rows before them.

    Input and output embeddings are treated alike, tied or not. The mean makes a new token about
    as likely as an average one at first (Hewitt 2021), where random rows can drown all others.
    """
    import torch

    if not words.added:
        return
    if words.size > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(words.size, mean_resizing=False)
    known = min(words.added.values())
    rows = sorted(words.added.values())
    both = [model.get_input_embeddings(), model.get_output_embeddings()]
    with torch.no_grad():
        for layer in [layer for layer in both if layer is not None]:
            weight = layer.weight
            weight[rows] = weight[:known].float().mean(dim=0).to(weight.dtype)
            bias = getattr(layer, "bias", None)
            if bias is not None:
                bias[rows] = bias[:known].float().mean().to(bias.dtype)


def learn_every_row(model: Any) -> None:
    """Let the row of the token that the base pads with learn like any other.

    Torch gives it no gradient. Here padding is masked, and rows may use the token: many bases pad
    with the one that ends an answer.
    """
    embeddings = model.get_input_embeddings()
    if getattr(embeddings, "padding_idx", None) is not None:
        embeddings.padding_idx = None


# A row whose norm is below this share of the median is as good as empty.
_EMPTY = 0.1


def unlearnt(model: Any, used: Sequence[int], control: Collection[int]) -> list[int]:
    """Those of the `used` ids whose embedding row the base never learnt.

    Such a row is zero or far smaller than those of the other tokens that are used, or, of `control`
    tokens, exactly the row of another one: rows that were added and never trained are alike. What
    was drawn at random and left so looks like any other row, and is not seen.
    """
    import torch

    found: set[int] = set()
    ids = torch.tensor(sorted(used))
    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    weights = {id(layer.weight): layer.weight.detach() for layer in layers if layer is not None}
    for weight in weights.values():
        norms = torch.linalg.vector_norm(weight, dim=1, dtype=torch.float32).cpu()[ids]
        found |= {int(number) for number in ids[norms < _EMPTY * norms.median()]}
        alike: dict[bytes, list[int]] = {}
        for number in sorted(control):
            row = weight[number].float().cpu().numpy().tobytes()
            alike.setdefault(row, []).append(number)
        for numbers in alike.values():
            found |= {*numbers} & {*used} if len(numbers) > 1 else set()
    return sorted(found)


def extend(tokenizer: Any, words: Vocabulary, name: str) -> None:
    """Teach the model's tokenizer the added tokens, under the ids that the rows have."""
    from tokenizers import AddedToken

    known = tokenizer.get_vocab()
    new = [text for text in words.added if text not in known]
    # An end is special: texts that are decoded without special tokens are without it.
    tokenizer.add_tokens(
        [AddedToken(text, normalized=False, special=text in words.closing) for text in new]
    )
    for text, number in words.functional.items():
        got = tokenizer.convert_tokens_to_ids(text)
        if got != number:
            raise CurateError(
                f"{name}: its tokenizer gives the added token {text!r} the id {got}, the rows "
                f"have {number}; render the rows with the model's own tokenizer"
            )


def with_named(words: Vocabulary, texts: Sequence[str], tokenizer: Any, name: str) -> Vocabulary:
    """With the tokens that `train_tokens` names. Raises `CurateError` for a text that is none."""
    if not texts:
        return words
    known: dict[str, int] = {} if tokenizer is None else tokenizer.get_vocab()
    for text in texts:
        if text not in known:
            added = sorted(tokenizer.get_added_vocab()) if tokenizer is not None else []
            has = f"it has {some_of(added, 8)}" if added else "it has no added tokens"
            raise CurateError(
                f"train_tokens: {name}: its tokenizer has no token {text!r}{nearest(text, added)}; "
                f"{has}"
            )
    return dataclasses.replace(words, named={text: known[text] for text in texts})


def with_learnt(
    words: Vocabulary, added: Mapping[str, int], named: Mapping[str, int]
) -> Vocabulary:
    """With tokens that an adapter holds rows for: those it added, and those the base has."""
    size = max([words.size, *(number + 1 for number in (*added.values(), *named.values()))])
    all_added = dict(sorted({**words.added, **added}.items(), key=lambda item: item[1]))
    functional = {**words.functional, **added}
    more = {**words.named, **named}
    return dataclasses.replace(words, size=size, added=all_added, functional=functional, named=more)


def describe(words: Vocabulary, learnt: bool = False) -> str:
    """A line for the log; `learnt` are rows that an adapter holds already."""
    shown = some_of([f"{text} ({number})" for text, number in words.added.items()], 5)
    where = "are those of the adapter" if learnt else "start as the mean of those before them"
    return f"added tokens: {shown}; their rows {where}"
