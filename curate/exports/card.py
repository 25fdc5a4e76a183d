"""What the dataset cards of rows and of tokens share: the head, how to load, the columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import yaml

from curate.exports.markdown import fenced, inline, table
from curate.exports.names import without_folders

FILES = 40  # files in a table
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
)


def card(
    head: Mapping[str, Any],
    rows: int,
    files: Sequence[str],
    about: str,
    sections: Mapping[str, str],
) -> str:
    """A card of `rows` rows in `files`: a YAML head, `about`, and the sections by their titles."""
    size = next((name for limit, name in _SIZES if rows < limit), "100M<n<1B")
    # Without this list every JSON and Parquet file of the folder would be taken for data.
    data = [{"split": "train", "path": list(files)}]
    configs = [{"config_name": "default", "data_files": data}]
    head = {**head, "size_categories": [size], "configs": configs}
    text = yaml.safe_dump(head, allow_unicode=True, sort_keys=False)
    parts = [f"---\n{text}---", "# Dataset card", about]
    parts += [f"## {name}\n\n{section}" for name, section in sections.items()]
    return "\n\n".join(parts) + "\n"


def loading(column: str) -> str:
    """Code that loads the rows and prints a column of the first."""
    # "." alone is refused by load_dataset: it makes a name of the last part of a path.
    code = (
        "from pathlib import Path\n\n"
        "from datasets import load_dataset\n\n"
        "folder = str(Path.cwd())  # this folder, or the name of the dataset on the hub\n"
        'rows = load_dataset(folder, split="train")\n'
        f'print(rows[0]["{column}"])'
    )
    return fenced(code, "python")


_ABOUT = {
    "id": "16 hex digits: equal conversations have equal ids",
    "messages": "role, content, and of OpenAI's other fields those that any message has; "
    "arguments of calls are JSON text, a weight of 0 means: not trained",
    "tools": "the tools of the conversation, as JSON text",
    "rejected": "of preference pairs: the messages that were not chosen",
    "category": "as the source gives it",
    "score": "as the source gives it",
    "scores": "of each step that gave one",
    "source": "the file it was read from",
    "line": "the line or row in that file, from 1",
    "input_ids": "token ids",
    "labels": "token ids to learn, -100 where nothing is learnt",
    "attention_mask": "1 for each token",
    "rejected_input_ids": "the same prompt with the answer that was not chosen",
    "rejected_labels": "its labels",
}


def columns(data: pl.DataFrame) -> str:
    """What each column is."""
    return table(("column", "what it is"), [(name, _ABOUT[name]) for name in data.columns])


def points(lines: Sequence[str]) -> str:
    """The lines as a list, without the folders of this machine."""
    return "\n".join(f"- {inline(without_folders(line), 600)}" for line in lines)


def several(number: int, what: str) -> str:
    """A number of things, in words."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def more_files(files: int) -> str:
    """How many files a table leaves out, as a paragraph; nothing where it has all."""
    return f"\n\n{files - FILES:,} more files." if files > FILES else ""
