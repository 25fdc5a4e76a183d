"""Rows read by `datasets`, polars or pandas, compared with what was written.

    tables.py READER PATH TRUTH HOME

READER is datasets, polars or pandas; PATH a file of lines, a folder for the hub, or
`kept.parquet`, of which every column is compared.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

from conversation import canonical, differences, everything, report, truth


def by_datasets(path: Path, home: Path) -> Iterable[Mapping[str, Any]]:
    import datasets

    datasets.disable_progress_bars()
    cache = str(home / "cache")
    if path.is_dir():
        return datasets.load_dataset(str(path), split="train", cache_dir=cache)
    kind = "json" if path.suffix == ".jsonl" else "parquet"
    return datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=cache)


def by_polars(path: Path, home: Path) -> Iterable[Mapping[str, Any]]:
    import polars

    read = polars.read_ndjson if path.suffix == ".jsonl" else polars.read_parquet
    return read(path).iter_rows(named=True)


def by_pandas(path: Path, home: Path) -> Iterable[Mapping[str, Any]]:
    import pandas

    frame = (
        pandas.read_json(path, lines=True) if path.suffix == ".jsonl" else pandas.read_parquet(path)
    )
    return (dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False))


READERS = {"datasets": by_datasets, "polars": by_polars, "pandas": by_pandas}


def ran(card: Path) -> dict[str, Any]:
    """The Python blocks of a dataset card, run in its folder."""
    blocks = re.findall(r"^```python\n(.*?)^```", card.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    for code in blocks:
        subprocess.run([sys.executable, "-c", code], cwd=card.parent, check=True)
    return {"notes": [f"{len(blocks)} block of code of its card runs"]} if blocks else {}


def main() -> None:
    name, path, wanted, home = sys.argv[1:]
    rows = READERS[name](Path(path), Path(home))
    says = everything if path.endswith("kept.parquet") else canonical
    result = differences(map(says, rows), truth(Path(wanted)))
    if (card := Path(path) / "README.md").exists():
        result |= ran(card)
    report(result, **{name: version(name)})


if __name__ == "__main__":
    main()
