"""`python -m fuzz`: try random input, or the saved cases again."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from pathlib import Path

from fuzz.fuzzers import FUZZERS
from fuzz.record import record
from fuzz.runner import CASES, alone, run

HEAD = ("| fuzzer | inputs | time | kinds of faults |", "|---|---|---|---|")


def replay(files: list[Path]) -> int:
    """Try saved cases again: how many fail."""
    failed = 0
    for path in files:
        saved = json.loads(path.read_text("utf-8"))
        found = alone(saved["fuzzer"], saved["case"])
        failed += found is not None
        print(f"{path.name}: {f'{found.kind}{chr(10)}{found.fault}' if found else 'ok'}")
    print(f"{len(files)} saved cases, {failed} fail")
    return failed


def main() -> int:
    """Exit code 1 if something fails."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for each fuzzer (default: 60)")
    parser.add_argument("--cases", type=int, default=10**9, help="of each fuzzer at most")
    parser.add_argument("--seed", help="of all cases (default: a fresh one, which is printed)")
    parser.add_argument("--fuzzer", action="append", choices=FUZZERS, help="only this (repeatable)")
    parser.add_argument("--no-save", action="store_true", help="do not save what fails")
    parser.add_argument("--docs", action="store_true", help="write into docs/security.md")
    about = "try saved cases again, all or these"
    parser.add_argument("--replay", nargs="*", type=Path, metavar="FILE", help=about)
    options = parser.parse_args()
    if options.replay is not None:
        return int(replay(options.replay or sorted(CASES.glob("*.json"))) > 0)
    seed = options.seed or secrets.token_hex(4)
    print(f"seed {seed}", flush=True)
    tallies = []
    for name in options.fuzzer or FUZZERS:
        tally = run(
            name, seed, options.seconds, options.cases,
            lambda line: print(line, flush=True), not options.no_save,
        )  # fmt: skip
        print(tally.line(), flush=True)
        tallies.append(tally)
    if options.docs:
        lines = [
            f"| `{each.name}` | {each.inputs:,} | {each.seconds:.0f} s | {len(each.faults)} |"
            for each in tallies
        ]
        command = f"`python -m fuzz --seed {seed} --seconds {options.seconds:g}`"
        record("fuzz", [f"{command} tried:", "", *HEAD, *lines])
    return int(any(tally.faults for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
