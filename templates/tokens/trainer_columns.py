"""The dataset of rendered rows: the columns that trainers read and no other."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import polars as pl

from curate.base.errors import CurateError
from curate.base.extras import require
from templates.remedies import remedy_lines
from templates.tokens.columns import MASK, PAIRED, SIDES, by_check
from templates.tokens.rendered import Rendered


def to_dataset(rendered: Rendered) -> Any:
    """The examples as a `datasets.Dataset`, see `dataset_of`.

    Raises `CurateError` without the `datasets` library and if there is nothing to train on.
    """
    if not rendered.examples.height:
        raise CurateError(_nothing(rendered))
    return dataset_of(rendered.examples)


def dataset_of(examples: pl.DataFrame) -> Any:
    """What trainers read of examples and nothing else, as a `datasets.Dataset`.

    Its columns are `input_ids` and `labels` (int32), and `attention_mask` (int8, all ones: nothing
    is padded); of pairs also `rejected_...` of each. Its fingerprint is the hash of its content.
    Raises `CurateError` without the `datasets` library.
    """
    require("a TOKENS folder", "train", "datasets")
    import datasets

    table = _table(examples)
    digest = hashlib.sha256()
    for column in table.columns:
        for buffer in filter(None, column.combine_chunks().buffers()):
            digest.update(buffer)
    return datasets.Dataset(table, fingerprint=digest.hexdigest()[:16])


def _nothing(rendered: Rendered) -> str:
    counts = by_check(rendered.refused)
    if not counts:
        return "nothing left to train on: there are no rows"
    check = max(counts, key=lambda name: (counts[name], name))
    example = rendered.refused.filter(pl.col("check") == check)["message"][0]
    lines = [
        f"nothing left to train on: all {rendered.refused.height:,} rows were refused, "
        f"{counts[check]:,} by {check}, such as: {example}",
        *remedy_lines(rendered.found),
    ]
    return "\n".join(lines)


def _table(examples: pl.DataFrame) -> Any:
    """What trainers read of the examples, as an Arrow table with the features of `datasets`."""
    import datasets
    import pyarrow as pa

    features, columns = dict[str, Any](), list[Any]()
    for side in SIDES:
        names = [f"{side}{name}" for name in PAIRED]
        if names[0] not in examples.columns:
            continue
        kinds = datasets.Features(dict.fromkeys(names, datasets.List(datasets.Value("int32"))))
        tokens = examples.select(names).to_arrow().cast(kinds.arrow_schema)
        features |= {**kinds, f"{side}{MASK}": datasets.List(datasets.Value("int8"))}
        columns += [*tokens.columns, _ones_like(tokens[names[0]])]
    return pa.table(columns, schema=datasets.Features(features).arrow_schema)


def _ones_like(lists: Any) -> Any:
    """A column of lists as long as these, of ones."""
    import pyarrow as pa

    return pa.chunked_array(
        [
            pa.ListArray.from_arrays(chunk.offsets, np.ones(len(chunk.values), np.int8))
            for chunk in lists.chunks
        ]
    )
