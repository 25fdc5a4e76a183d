"""How good the linear reward model is on judgements of models it never saw, and how fast.

    python benchmarks/reward.py [DATA] [--fast]

DATA (default: CURATE_TEST_DATA) is a folder with preference/alpaca_eval_*.json and
preference/pandalm_testset.json. Accuracy counts a tie as a half; intervals are 95 %, by resampling
prompts. Penalties are chosen on the training side alone; the table shows what every other choice
would have given.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import polars as pl

from curate import sources
from curate.base.schema import with_text
from curate.pairs import of_rejected, pair_texts
from filters.common.calibrate import METHODS, calibrate_scores, fitted_together, spread_ties
from filters.common.stats import spearman
from filters.common.tasks import tasks
from filters.common.units import lengths
from filters.reward import linear_fit as fitting
from filters.reward.accuracy import Pairs, compare
from filters.reward.linear import LinearReward

SIDES = {
    "alpaca_eval": ("alpaca_eval_alpaca_7b.json", "alpaca_eval_phi_2.json"),
    "pandalm": ("pandalm_testset.json",),
}


def read(data: Path, side: str) -> pl.DataFrame:
    """Records of one side's files."""
    return sources.read([str(data / "preference" / name) for name in SIDES[side]]).records


def pairs_of(records: pl.DataFrame) -> Pairs:
    """Majority of annotators, ties left out, empty losing answers among them."""
    made = of_rejected(records, empty_rejected=True)
    print(f"    {made.counts()}")
    pairs = Pairs(*pair_texts(made.pairs))
    print(f"    {len(pairs.groups):,} pairs on {pairs.prompts.n_unique():,} prompts")
    return pairs


def characters(pairs: Pairs) -> float:
    """How often the answer with more characters is the chosen one."""
    chosen, rejected = (side.str.len_chars().to_numpy() for side in (pairs.chosen, pairs.rejected))
    return float(((chosen > rejected) + 0.5 * (chosen == rejected)).mean())


def transfer(train: str, test: str, known: dict[str, Pairs], fast: bool) -> LinearReward:
    """Fit on one side, test on the other, print everything."""
    print(f"\n## Trained on {train}, tested on {test}")
    started = time.process_time()
    fitted = fitting.fit(known[train])
    print(f"fitted in {time.process_time() - started:.1f} s of processor time, {fitted.penalty}")
    print(f"held-out prompts of {train}: {fitted.held_out.model}, {fitted.held_out.longer} longer")
    pairs = known[test]
    for label, term in (("with its length term", True), ("without it", False)):
        found = compare(fitting.margins(fitted.model, pairs, length_term=term), pairs)
        print(f"{test}, {label}: {found.model}; less longer wins {found.gain}")
    print(f"{test}, longer wins: {found.longer} by words, {characters(pairs):.3f} by characters")
    if not fast:
        print(
            "every penalty: dense, word runs; held-out loss on the training side; on the test side"
        )
        for tried in fitted.tried:
            model = fitting.fit_with(known[train], tried.penalty)
            right = compare(fitting.margins(model, pairs), pairs).model.value
            chosen = " <- chosen" if tried.penalty == fitted.penalty else ""
            print(
                f"  {tried.penalty.dense:>6} {tried.penalty.grams or '-':>5}  {tried.loss:.4f}"
                f" +- {tried.error:.4f}  {right:.3f}{chosen}"
            )
    return fitted.model


def both_answers(records: pl.DataFrame) -> pl.DataFrame:
    """Every answer of the pairs as a record of its own."""
    pairs = of_rejected(records, empty_rejected=True).pairs
    frames = [
        pairs.select(messages=pl.col("prompt").list.concat(name), row=pl.int_range(pl.len()))
        for name in ("chosen", "rejected")
    ]
    return with_text(pl.concat(frames).with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt32)))


def calibration(test: str, records: pl.DataFrame, model: LinearReward) -> None:
    """Spearman of score and length, within task groups, before and after."""
    answers = both_answers(records)
    started = time.process_time()
    score = model.score(answers["prompt"], answers["response"], length_term=True)
    took = time.process_time() - started
    print(
        f"\n## Scores of {test}: {answers.height:,} answers, {answers.height / took:,.0f} a second"
    )
    length = lengths(answers, "words", "response", None).to_numpy().astype(np.int64)
    task = tasks(answers)["task"].rank("dense").to_numpy()
    spread = spread_ties(score, np.arange(len(score)))
    parts = fitted_together(score, length, task)
    for method in METHODS:
        values = calibrate_scores(spread, length, task, method)
        found = [spearman(values[part], length[part]) or 0.0 for part in parts]
        worst = max(found, key=abs)
        print(f"{method:>5}: {len(parts)} kinds, farthest from 0 {worst:+.3f}, all {found}")


def main() -> None:
    from rows import DATA, need

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("data", nargs="?", type=Path, default=DATA)
    options.add_argument("--fast", action="store_true", help="leave out the table of penalties")
    given = options.parse_args()
    need(given.data)
    records = {side: read(given.data, side) for side in SIDES}
    known = {}
    for side in SIDES:
        print(side)
        known[side] = pairs_of(records[side])
    for train, test in (("alpaca_eval", "pandalm"), ("pandalm", "alpaca_eval")):
        model = transfer(train, test, known, given.fast)
        calibration(test, records[test], model)


if __name__ == "__main__":
    main()
