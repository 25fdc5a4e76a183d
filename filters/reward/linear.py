"""`linear`: a small reward model of our own, which scores some ten thousand rows a second.

A weighted sum of text features (see `filters.reward.features`). Length is a term of its own, and
every other feature is what is left of it once length is known; so the term can be left out of a
score, and what remains does not grow with length on the kind of text it was fitted on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate.base.errors import CurateError
from curate.base.folder import MANIFEST, is_made_by, sha256, write_manifest
from filters.common.arrays import Floats
from filters.reward.features import BUCKETS, DENSE, LENGTH, VERSION, Features, features

MAKER = "curate reward fit"
WEIGHTS = "weights.npz"
FILES = (WEIGHTS, MANIFEST)
FARTHEST = 4.0  # standard deviations: past that a feature says no more
_SHAPES = {
    "length_mean": (len(LENGTH),),
    "length_sd": (len(LENGTH),),
    "expected": (1 + len(LENGTH), len(DENSE)),
    "dense_sd": (len(DENSE),),
    "length_weights": (len(LENGTH),),
    "dense_weights": (len(DENSE),),
    "gram_weights": (BUCKETS,),
}


@dataclass(frozen=True)
class Scale:
    """How features become comparable numbers; learnt from the responses alone.

    Length columns are standardised. Of each dense column the part that a line in them explains
    (`expected` [3, 41], the constant first) is taken away, and the rest is put in standard
    deviations, at most 4. (Frisch and Waugh: a weight then says what a feature adds at a length.)
    """

    length_mean: Floats
    length_sd: Floats
    expected: Floats
    dense_sd: Floats

    @classmethod
    def of(cls, length: Floats, dense: Floats) -> Scale:
        """The scale of these responses (n, ...)."""
        mean, sd = length.mean(axis=0), _no_zeros(length.std(axis=0))
        standard = (length - mean) / sd
        design = np.concatenate([np.ones((len(standard), 1)), standard], axis=1)
        # Three unknowns: threaded BLAS would take longer to start than this takes in all.
        square = np.einsum("ni,nj->ij", design, design) + 1e-9 * len(design) * np.eye(3)
        expected = np.linalg.solve(square, np.einsum("ni,nj->ij", design, dense))
        rest = dense - np.einsum("ni,ij->nj", design, expected)
        return cls(mean, sd, expected, _no_zeros(rest.std(axis=0)))

    def apply(self, length: Floats, dense: Floats) -> tuple[Floats, Floats]:
        """Length and dense columns on this scale."""
        standard = (length - self.length_mean) / self.length_sd
        # Term by term: the last bits of a matrix product depend on how many rows it has.
        line = self.expected[0] + standard[:, :1] * self.expected[1]
        line += standard[:, 1:] * self.expected[2]
        return standard, np.clip((dense - line) / self.dense_sd, -FARTHEST, FARTHEST)


@dataclass(frozen=True)
class LinearReward:
    """A fitted model: a scale and a weight per feature. Scores are log odds of being preferred."""

    scale: Scale
    length_weights: Floats
    dense_weights: Floats
    gram_weights: Floats

    @property
    def reads_grams(self) -> bool:
        """Whether runs of words count in it."""
        return bool(self.gram_weights.any())

    def score(
        self, prompts: pl.Series, responses: pl.Series, *, length_term: bool = False
    ) -> Floats:
        """A score per response (n,), each from its row alone; with or without the length term."""
        found = features(prompts, responses, grams=self.reads_grams)
        return self.score_features(found, length_term=length_term)

    def score_features(self, found: Features, *, length_term: bool) -> Floats:
        """The same from features."""
        length, dense = self.scale.apply(found.length, found.dense)
        score: Floats = (dense * self.dense_weights).sum(axis=1)
        if length_term:
            score += (length * self.length_weights).sum(axis=1)
        if found.grams is not None and self.reads_grams:
            score += found.grams @ self.gram_weights
        return score

    def arrays(self) -> dict[str, Floats]:
        """Every number of the model, by name."""
        own = {**vars(self.scale), **vars(self)}
        return {name: own[name] for name in _SHAPES}


def is_linear(path: str) -> bool:
    """Whether a folder was written by `curate reward fit`."""
    return is_made_by(Path(path), MAKER)


def save(model: LinearReward, folder: Path, about: Mapping[str, Any]) -> None:
    """Write `weights.npz` and `manifest.json` (with the weights' SHA-256) into a folder."""
    with (folder / WEIGHTS).open("wb") as file:
        np.savez(file, **model.arrays())  # type: ignore[arg-type]
    write_manifest(folder, MAKER, {"kind": "linear", "features": VERSION, **about})


def load(path: str) -> LinearReward:
    """The model in a folder. Raises `CurateError` where it is not whole or reads other features."""
    folder = Path(path)
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    if manifest.get("features") != VERSION:
        raise CurateError(
            f"{path}: fitted on version {manifest.get('features')} of the features, and this"
            f" version reads {VERSION}; fit it anew with curate reward fit"
        )
    file = folder / WEIGHTS
    if not file.is_file() or sha256(file) != manifest["sha256"].get(WEIGHTS):
        raise CurateError(f"{file}: not the weights that its manifest names; fit the model anew")
    with np.load(file, allow_pickle=False) as stored:
        found = {name: stored[name] for name in stored.files}
    shapes = {name: array.shape for name, array in found.items()}
    if shapes != _SHAPES:
        raise CurateError(f"{file}: holds arrays {shapes}; expected {_SHAPES}; fit the model anew")
    scale = Scale(**{field.name: found.pop(field.name) for field in fields(Scale)})
    return LinearReward(scale, **found)


def score_with_linear(records: pl.DataFrame, path: str, length_term: bool) -> pl.DataFrame:
    """`score` (f64), `problem` (why there is none), `tokens` (null): all answers to all else."""
    is_answer = pl.col("messages").list.eval(pl.element().struct.field("role") == "assistant")
    answered = records.select(answered=is_answer.list.any().fill_null(False))
    score = load(path).score(records["prompt"], records["response"], length_term=length_term)
    return answered.with_columns(score=pl.Series(score)).select(
        score=pl.when("answered").then("score"),
        problem=pl.when(~pl.col("answered")).then(pl.lit("no assistant message", pl.Categorical)),
        tokens=pl.lit(None, pl.UInt32),
    )


def _no_zeros(deviations: Floats) -> Floats:
    """A column that never changes divides by one and stays zero."""
    return np.where(deviations > 1e-9, deviations, 1.0)
