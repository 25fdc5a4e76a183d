"""What the two losses are of: rows of the target, and a text that was known before."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from curate.base.errors import CurateError, some_of
from curate.base.folder import sha256
from curate.base.places import is_there
from trainer.after.rewind.source import Source
from trainer.checks import gate
from trainer.data.general import watched
from trainer.data.leaks import leaks
from trainer.data.rows import IGNORED, Ints, Rows, join, make_rows
from trainer.data.tokens import Limits, Tokens, load_tokens
from trainer.models import model

# Of fewer targets a mean says little: nats of single tokens scatter by 2 or 3.
LEAST = 256
_UNKNOWN = 0.5  # share of unknown tokens from which a text is not one that the model can read
_SHORT = 5  # tokens; a shorter passage may be in any two texts


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Rows, those of them that are read, their name, and a hash of where they are from."""

    name: str
    rows: Rows
    chosen: Ints
    sha256: str

    @property
    def targets(self) -> int:
        """How many tokens are predicted."""
        return int(self.rows.target_counts[self.chosen].sum())


@dataclasses.dataclass(frozen=True)
class Texts:
    """Both texts, and what is to be said of them."""

    target: Chosen
    retention: Chosen
    notices: tuple[str, ...]


def read_texts(
    source: Source,
    retention: str,
    target: str | None,
    tokenizers: tuple[Any | None, Any | None],
    limits: Limits,
) -> Texts:
    """The rows of both losses, checked against the checkpoint and against each other.

    `tokenizers` are those of the checkpoint and of its base: the retention text is read as the base
    reads it, as other tokens may end a text since. Raises `CurateError` for rows of another
    tokenizer or template, and for a retention text that is none, is too short, or is in the
    trained rows.
    """
    tokenizer, tokenizer_of_base = tokenizers
    own, why = _rows_of_run(source)
    trained = _trained(source, own)
    rows, lines = _target(source, target, own, why, tokenizer, limits)
    kept = _retention(retention, source, tokenizer_of_base or tokenizer, limits)
    seen = [each for each in (trained, (rows.rows, rows.chosen)) if each is not None]
    _check_apart(kept, seen, tokenizers)
    if trained is None:
        lines.append(
            f"{source.name}: its training rows are not here ({why}), so nobody can tell whether "
            f"{kept.name} or the target is in them"
        )
    elif target is not None:
        lines += _near_copies(rows, trained)
    return Texts(rows, kept, tuple(lines))


def _rows_of_run(source: Source) -> tuple[Tokens | None, str]:
    """The rows of the run that the checkpoint is of; without them, why they are not there."""
    folder = source.settings.get("tokens")
    if source.run is None or folder is None:
        return None, "no training run of it is known"
    if not Path(str(folder)).is_dir():
        return None, f"{folder} is gone"
    tokens = load_tokens(str(folder))
    known = (source.about.get("tokens") or {}).get("manifest_sha256")
    if known != tokens.manifest_hash:
        return None, f"{folder} holds other rows now"
    return tokens, ""


def _trained(source: Source, own: Tokens | None) -> tuple[Rows, Ints] | None:
    """The rows that were trained, as far as they are known."""
    if own is None:
        return None
    held = source.held_out
    return own.rows, np.array([row for row, name in enumerate(own.rows.ids) if name not in held])


def _target(
    source: Source,
    given: str | None,
    own: Tokens | None,
    why: str,
    tokenizer: Any | None,
    limits: Limits,
) -> tuple[Chosen, list[str]]:
    tokens = own
    if given is not None:
        tokens = load_tokens(given)
        _check_rendered(tokens, source, tokenizer)
    if tokens is None:
        raise CurateError(
            f"{source.name}: its own held-out rows are not here ({why}); name rows with --target"
        )
    rows = tokens.rows
    chosen = np.arange(len(rows))
    name = str(tokens.folder)
    if given is None:
        held = source.held_out
        chosen = np.array([row for row, key in enumerate(rows.ids) if key in held], np.int64)
        name = f"held-out rows of {name}"
        if not len(chosen):
            raise CurateError(
                f"{source.name}: its run held no rows out, and trained rows measure memory; name "
                "rows with --target"
            )
    fits = _fitting(rows, limits)
    left = chosen[~fits[chosen]]
    chosen = chosen[fits[chosen]]
    if not len(chosen):
        raise CurateError(
            f"{name}: no row has a trained token, only ids of the model, and no more tokens than "
            f"it has positions ({limits.positions})"
        )
    lines = []
    if len(left):
        shown = some_of([rows.ids[row] for row in left.tolist()])
        lines.append(
            f"{name}: {len(left):,} rows are left out, too long or without a target: {shown}"
        )
    return Chosen(name, rows, chosen, tokens.manifest_hash), lines


def _fitting(rows: Rows, limits: Limits) -> Any:
    """Which rows the model can read, and something is trained in."""
    outside = (rows.input_ids < 0) | (rows.input_ids >= limits.vocabulary)
    row_of = np.repeat(np.arange(len(rows)), rows.lengths)
    strange = np.bincount(row_of[outside], minlength=len(rows)) > 0
    longest = limits.positions or np.iinfo(np.int64).max
    return (rows.target_counts > 0) & (rows.lengths <= longest) & ~strange


def _check_rendered(tokens: Tokens, source: Source, tokenizer: Any | None) -> None:
    """Raise `CurateError` for rows that another tokenizer or template wrote than the trained."""
    _check_words(tokens, source.name, tokenizer)
    for what in ("tokenizer", "template"):
        _check_same(tokens, source, what)


def _check_words(tokens: Tokens, name: str, tokenizer: Any | None) -> None:
    """Raise `CurateError` for rows of tokens that the tokenizer of `name` has not."""
    known = model.token_ids(tokenizer)
    if tokenizer is None or known is None:
        return
    if strange := gate.strange_tokens(tokens, known, len(tokenizer)):
        raise CurateError(
            f"{tokens.folder}: was rendered for another tokenizer than that of {name} "
            f"({strange[0]}); render it anew with that tokenizer"
        )


def _check_same(tokens: Tokens, source: Source, what: str) -> None:
    """Raise `CurateError` for rows of another tokenizer, or template, than the trained have."""
    about = source.about.get("tokens") or {}
    theirs, own = (each.get(what) or {} for each in (tokens.manifest, about))
    if theirs.get("hash") and own.get("hash") and theirs["hash"] != own["hash"]:
        raise CurateError(
            f"{tokens.folder}: was rendered with the {what} {theirs.get('name')!r} "
            f"({theirs['hash'][:12]}), and {source.name} was trained with "
            f"{own.get('name')!r} ({own['hash'][:12]}); render it anew with that one"
        )


def _retention(given: str, source: Source, tokenizer: Any | None, limits: Limits) -> Chosen:
    path = Path(given)
    if not given.strip() or not is_there(path):
        raise CurateError(f"{given!r:.90}: there is no such retention text")
    if path.is_dir():
        tokens = load_tokens(given)
        _check_words(tokens, source.base, tokenizer)
        _check_same(tokens, source, "tokenizer")
        digest = tokens.manifest_hash
    else:
        digest = _hash_of_text(path)
    rows, chosen = watched(path, tokenizer, limits)
    found = Chosen(path.name, rows, chosen, digest)
    if found.targets < LEAST:
        raise CurateError(
            f"{given}: has {found.targets} tokens to predict, and of fewer than {LEAST} a loss "
            "says little; give a longer text"
        )
    _check_readable(given, found, tokenizer)
    return found


def _hash_of_text(path: Path) -> str:
    with path.open("rb") as file:
        if b"\0" in file.read(1 << 20):
            raise CurateError(f"{path}: is no text (it has zero bytes); give plain text")
    return sha256(path)


def _check_readable(given: str, found: Chosen, tokenizer: Any | None) -> None:
    """Raise `CurateError` for a text in words that the tokenizer does not know."""
    rows, chosen = found.rows, found.chosen
    unknown = getattr(tokenizer, "unk_token_id", None)
    if unknown is not None and unknown != getattr(tokenizer, "eos_token_id", None):
        ids = np.concatenate([rows.input_ids[rows.row(row)] for row in chosen.tolist()])
        share = float((ids == unknown).mean())
        if share > _UNKNOWN:
            raise CurateError(
                f"{given}: {share:.0%} of its tokens are unknown to the model's tokenizer; give "
                "text in words it knows"
            )


def _check_apart(
    kept: Chosen, seen: list[tuple[Rows, Ints]], tokenizers: Sequence[Any | None]
) -> None:
    """Raise `CurateError` for a retention text of which parts are in rows of the task."""
    ends = {number for one in tokenizers for number in getattr(one, "all_special_ids", ())}
    parts = _rows([_bare(part, ends) for rows, chosen in seen for part in _parts(rows, chosen)])
    rows = kept.rows
    own = _rows([_bare(rows.input_ids[rows.row(row)], ends) for row in kept.chosen.tolist()])
    places = len(parts) + np.flatnonzero(own.lengths >= _SHORT)
    found = leaks(join(parts, own), np.flatnonzero(parts.lengths >= _SHORT), places)
    if len(found):
        shown = some_of([rows.ids[kept.chosen[row - len(parts)]] for row in found.tolist()])
        raise CurateError(
            f"{kept.name}: {len(found):,} of its {len(kept.chosen):,} documents are, nearly, rows "
            f"of the task or parts of them ({shown}), so what was learnt would count as kept; give "
            "a text that the training rows have nothing of"
        )


def _parts(rows: Rows, chosen: Ints) -> Iterator[Ints]:
    """Rows whole, and what is trained in them and what is not, each by itself."""
    for row in chosen.tolist():
        tokens, labels = rows.input_ids[rows.row(row)], rows.labels[rows.row(row)]
        yield tokens
        yield from np.split(tokens, np.flatnonzero(np.diff(labels != IGNORED)) + 1)


def _bare(ids: Ints, ends: Set[int]) -> list[int]:
    """Ids without the tokens that begin and end texts, which a row and a document put otherwise."""
    inner = [at for at, number in enumerate(ids.tolist()) if number not in ends]
    return ids[inner[0] : inner[-1] + 1].tolist() if inner else []


def _rows(ids: Sequence[list[int]]) -> Rows:
    names = [f"{len(ids)}-{number}" for number in range(len(ids))]
    return make_rows(names, ids, [[IGNORED] * len(each) for each in ids])


def _near_copies(target: Chosen, trained: tuple[Rows, Ints]) -> list[str]:
    """A warning of rows of the target that trained ones give away."""
    rows, chosen = trained
    other = join(rows, target.rows)
    found = leaks(other, chosen, len(rows) + target.chosen.astype(np.int64))
    if not len(found):
        return []
    shown = some_of([other.ids[row] for row in found.tolist()])
    return [
        f"{target.name}: {len(found):,} of {len(target.chosen):,} rows are near-copies of trained "
        f"ones, so the target loss measures memory: {shown}"
    ]
