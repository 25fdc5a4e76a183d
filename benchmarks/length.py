"""Response lengths of real sets: what the diagnosis says, and what `cap` and `match` do to them.

Prints the figures of docs/length.md. Needs the real dumps (environment variable
CURATE_TEST_DATA). `--rows N` also times the step, on N made-up rows, which need no dump.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate.base.errors import CurateError
from curate.base.schema import with_text
from curate.pipeline.recipe import filter_called
from curate.pipeline.result import Result
from curate.pipeline.runner import run
from curate.pipeline.steps import Step
from curate.sources import read
from filters.length.filter import Length
from filters.length.report import diagnose, shift

SETS = (
    "alpaca_random_9k",
    "lima_1k",
    "alpaca_1k_longest",
    "model_outputs_alpaca_7b",
    "model_outputs_alpaca_7b_concise",
    "model_outputs_alpaca_7b_verbose",
)
ACTIONS: tuple[Mapping[str, Any], ...] = (
    {"action": "cap"},
    {"action": "cap", "max_share": 0.3},
    {"action": "cap", "max_share": 0.1},
    {"action": "match", "min": 20, "max": 400},
    {"action": "match", "quantiles": [5, 30, 90, 300]},
)
DOSES = (0.1, 0.2, 0.3, 0.5, 0.8, 1.0)


def calibrated(records: pl.DataFrame, settings: Mapping[str, Any]) -> Result:
    """The records after one length step."""
    return run(records, [Step("length", filter_called("length", settings))])


def words(records: pl.DataFrame) -> np.ndarray[Any, Any]:
    """Words of each response."""
    return Length(action="report").measure(records)["length"].to_numpy()


def diagnoses(sets: Mapping[str, pl.DataFrame]) -> None:
    """Print the verdict and the main numbers of each set."""
    print("set                              rows  median    C10  spread  eta2  adjusted  verdict")
    for name, records in sets.items():
        found = calibrated(records, {"action": "report"}).steps[0].numbers["before"]
        median, dense = found["quantiles"]["0.5"], found["concentration"]
        print(
            f"{name:32} {found['rows']:5} {median:7} {dense:6.3f}"
            f" {found['spread']:7.2f} {found['eta2']:5.3f} {found['eta2_adjusted']:9.3f}"
            f"  {found['verdict']} {', '.join(found['reasons'])}"
        )


def doses(records: pl.DataFrame) -> None:
    """Print how concentration answers to a share of rows of about 200 words."""
    draw, found = np.random.default_rng(0), []
    for share in DOSES:
        lengths = words(records).astype(np.int64)
        dosed = draw.permutation(len(lengths))[: round(share * len(lengths))]
        lengths[dosed] = np.rint(draw.normal(200, 10, len(dosed)))
        found.append(f"{diagnose(lengths).concentration:.3f}")
    print("\nshare of N(200, 10) rows:", *DOSES, "\nC10:", *found)


def actions(sets: Mapping[str, pl.DataFrame]) -> None:
    """Print what each action keeps of each set, and what doing it again drops."""
    print("\nset, action: kept; C10; spread; KS to the target; a second time")
    for name, records in sets.items():
        for settings in ACTIONS:
            more = ", ".join(f"{key} {value}" for key, value in settings.items() if key != "action")
            print(f"{name} {settings['action']} {more}".rstrip(), end=": ")
            try:
                done = calibrated(records, settings)
            except CurateError as error:
                print(error)
                continue
            numbers = done.steps[0].numbers
            before, after = numbers["before"], numbers["after"] or numbers["before"]
            again = calibrated(records.filter(done.kept), settings).steps[0].dropped
            target = numbers["target"]
            print(
                f"{int(done.kept.sum())} of {records.height}; {before['concentration']:.3f} to"
                f" {after['concentration']:.3f}; {before['spread']:.2f} to {after['spread']:.2f};"
                + (f" {target['ks_before']:.3f} to {target['ks_after']:.3f};" if target else "")
                + f" drops {again}"
            )


def cost(rows: int) -> None:
    """Print seconds of CPU of one length step over made-up rows."""
    import tempfile

    from rows import write_sharegpt

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_sharegpt(path, rows)
        records = read([str(path)]).records
    for settings in ({"action": "report"}, {"action": "cap", "max_share": 0.1}):
        started = time.process_time()
        calibrated(records, settings)
        print(f"{rows:,} rows, {settings}: {time.process_time() - started:.1f} s of CPU")


def main() -> None:
    """Print all figures."""
    from rows import DATA, need

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    cost(options.rows)
    need(DATA)
    sets = {name: read([str(DATA / "raw" / f"{name}.json")]).records for name in SETS}
    diagnoses(sets)
    doses(with_text(sets["alpaca_random_9k"]))
    lengths = [words(with_text(sets[f"model_outputs_alpaca_7b{end}"])) for end in STYLES]
    for end, one in zip(STYLES[1:], lengths[1:], strict=True):
        print(f"\nmodel_outputs_alpaca_7b to {end[1:]}:", shift(lengths[0], one))
    print("\nconcise to verbose:", shift(lengths[1], lengths[2]))
    actions(sets)


STYLES = ("", "_concise", "_verbose")


if __name__ == "__main__":
    main()
