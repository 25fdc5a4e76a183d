"""The default recipe over many rows: seconds and memory, process start to files written.

The rows are made up and alike in length; `--dump` takes a file of one's own. The cache of measures
is off, so everything is measured. `--before TREE`, another checkout, is run in turn with this one:
then ratios of medians are printed, and both must write the same rows and the same ledger.
`--sample` takes the sample data instead, without and with what an earlier run left in the cache.

Memory is resident memory, added up over all processes: pages of mapped files count, and what
several processes share counts in each of them, so it is rather too much than too little.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import polars as pl

sys.path.insert(0, str(Path(__file__).parent))

from figures import report

ROOT = Path(__file__).resolve().parent.parent
TABLE = "ledger.parquet"
# Both trees must write these to the byte; of the ledger the content counts, not how it is stored.
FILES = ("kept.jsonl", "dropped.jsonl", "rejects.jsonl")
LOOK_EVERY = 0.05  # seconds between two looks at the memory
SLICE = 500_000  # lines of a ledger that are compared at a time


class Memory(NamedTuple):
    """Bytes that are resident, and how many of them are pages of files (or shared otherwise)."""

    resident: int
    mapped: int


class Taken(NamedTuple):
    """What a command took, with all processes that it started."""

    seconds: float
    processor: float  # seconds
    memory: Memory  # at its peak

    def __str__(self) -> str:
        resident, mapped = (size / 1e9 for size in self.memory)
        return (
            f"{self.seconds:7.2f} s, {self.processor:7.2f} s of CPU, peak {resident:.2f} GB "
            f"(mapped files {mapped:.2f})"
        )


def resident(process: int) -> Memory:
    """What a process and those that it started hold now, as Linux counts pages."""
    held, mapped, waiting = 0, 0, [process]
    while waiting:
        one = Path(f"/proc/{waiting.pop()}")
        try:
            _, pages, shared, *_ = map(int, (one / "statm").read_text().split())
            children = (one / "task" / one.name / "children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        held, mapped = held + pages, mapped + shared
        waiting += map(int, children)
    page = os.sysconf("SC_PAGE_SIZE")
    return Memory(held * page, mapped * page)


def timed(tree: Path, words: Sequence[str], folder: Path, cache: Path) -> Taken:
    """What `curate` of this tree takes for a command; its words are shown only if it fails."""
    folder.mkdir(exist_ok=True)
    log = folder / "log"
    environment = os.environ | {"PYTHONPATH": str(tree), "CURATE_CACHE": str(cache)}
    peak = Memory(0, 0)
    started = time.perf_counter()
    command = [sys.executable, "-m", "curate", *words]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=file)
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(LOOK_EVERY):
            peak = max(peak, resident(process.pid))

    watching = threading.Thread(target=watch)
    watching.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    ended.set()
    watching.join()
    if status:
        raise SystemExit(f"{' '.join(command)}: failed\n{log.read_text(errors='replace')[-2000:]}")
    return Taken(seconds, usage.ru_utime + usage.ru_stime, peak)


def check_tree(tree: Path) -> None:
    """End the script unless Python takes `curate` from this tree."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    command = [sys.executable, "-c", "import curate; print(curate.__file__)"]
    with tempfile.TemporaryDirectory() as folder:
        found = subprocess.check_output(command, cwd=folder, env=environment, text=True).strip()
    if Path(found).resolve().parent.parent != tree:
        raise SystemExit(f"{tree}: Python takes curate from {found} instead")


def differences(one: Path, other: Path) -> list[str]:
    """The names of files that two runs wrote with other content; see `FILES`."""
    found = [name for name in FILES if (one / name).read_bytes() != (other / name).read_bytes()]
    return found if same_table(one / TABLE, other / TABLE) else [*found, TABLE]


def same_table(one: Path, other: Path) -> bool:
    """Whether two tables hold the same; texts may be stored in another way."""
    texts = pl.col(pl.Categorical, pl.Enum).cast(pl.String)
    tables = [pl.scan_parquet(path).with_columns(texts) for path in (one, other)]
    for start in count(0, SLICE):
        first, second = (table.slice(start, SLICE).collect() for table in tables)
        if not first.equals(second):
            return False
        if first.height < SLICE:
            return True
    raise AssertionError("there is an end")


def medians(taken: Sequence[Taken]) -> tuple[float, float, float]:
    """Seconds, seconds of processor, and resident bytes."""
    return (
        statistics.median(one.seconds for one in taken),
        statistics.median(one.processor for one in taken),
        statistics.median(one.memory.resident for one in taken),
    )


def measure(
    trees: dict[str, Path], words: Sequence[str], folder: Path, repeat: int
) -> dict[str, list[Taken]]:
    """Run all trees in turn, each as often as asked; the first run stays in `folder / RUN`.

    Ends the script where two runs wrote different things.
    """
    taken: dict[str, list[Taken]] = {name: [] for name in trees}
    first = folder / "RUN"
    for _ in range(repeat):
        for name, tree in trees.items():
            out = first if not first.exists() else folder / "again"
            given = [*words, "--quiet", "--no-cache", "--out", str(out)]
            taken[name].append(timed(tree, given, folder / "cwd", folder / "cache"))
            print(f"{name:7}{taken[name][-1]}", flush=True)
            if out != first:
                if found := differences(first, out):
                    raise SystemExit(f"other content: {', '.join(found)}")
                shutil.rmtree(out)
    return taken


def compare(trees: dict[str, Path], dump: Path, options: argparse.Namespace, folder: Path) -> None:
    """The default recipe over a dump, with one tree or two."""
    words = ["run", str(dump), "--workers", str(options.workers)]
    taken = measure(trees, words, folder, options.repeat)
    manifest = json.loads((folder / "RUN" / "manifest.json").read_text("utf-8"))
    read, size = manifest["counts"]["read"], dump.stat().st_size / 1e6
    print(f"{read:,} rows, {size:.0f} MB, {options.workers} workers, {options.repeat} times")
    seconds, processor, memory = medians(taken["now"])
    if read == 1_000_000:
        report("memory", f"{memory / 1e9:.2f} GB", options.docs)
    if len(trees) == 1:
        show_steps(manifest["seconds"], taken["now"][0].seconds)
        return
    before = medians(taken["before"])
    wall, cpu, peak = seconds / before[0], processor / before[1], memory / before[2]
    print(f"now / before: wall {wall:.2f}, CPU {cpu:.2f}, memory {peak:.2f}; same rows and ledger")
    if read == 1_000_000:
        report("processor", f"{cpu:.2f}", options.docs)
    if read == 100_000:
        report("wall", f"{wall:.2f}", options.docs)


def show_steps(steps: dict[str, float], seconds: float) -> None:
    """Print what each step of a run took, and what is left of all seconds."""
    for name, took in steps.items():
        print(f"  {name:18} {took:6.2f} s")
    print(f"  {'reading, writing':18} {seconds - sum(steps.values()):6.2f} s")


def sample(trees: dict[str, Path], repeat: int, folder: Path, docs: bool) -> None:
    """The sample data: each tree in turn, without and with what an earlier run left in the cache.

    Nothing is left out but a first run, which compiles the code and reads it from the disk.
    """
    data = [str(ROOT / "sample_data" / name) for name in ("raw", "recipe.yaml")]
    words = ["run", data[0], "--recipe", data[1], "--quiet"]
    taken: dict[tuple[str, str], list[float]] = {}
    outs: dict[str, Path] = {}
    for turn in range(repeat + 1):
        for name, tree in trees.items():
            cache = folder / f"cache-{name}-{turn}"
            for state in ("cold", "warm"):
                outs[name] = folder / f"RUN-{name}-{turn}-{state}"
                given = [*words, "--out", str(outs[name])]
                once = timed(tree, given, folder / "cwd", cache)
                if turn:
                    taken.setdefault((name, state), []).append(once.seconds)
    for (name, state), all_seconds in taken.items():
        shown = ", ".join(f"{seconds:.2f}" for seconds in sorted(all_seconds))
        print(f"{name:7}{state}: median {statistics.median(all_seconds):.2f} s of {shown}")
    if len(trees) == 2 and (found := differences(outs["before"], outs["now"])):
        raise SystemExit(f"other content: {', '.join(found)}")
    for state in ("cold", "warm"):
        report(state, f"{statistics.median(taken['now', state]):.2f} s", docs)


def main() -> None:
    """Print seconds and memory of each run, then lines of the table of figures."""
    from rows import write_sharegpt

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dump", type=Path, help="a file of one's own")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--before", type=Path, metavar="TREE", help="a checkout to compare with")
    parser.add_argument("--repeat", type=int, help="times each (default: 1, and 7 with --sample)")
    parser.add_argument("--sample", action="store_true", help="the sample data instead")
    parser.add_argument("--docs", action="store_true", help="write into docs/performance.md")
    options = parser.parse_args()
    trees = {"before": options.before.resolve()} if options.before else {}
    trees["now"] = ROOT
    for tree in trees.values():
        check_tree(tree)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if options.sample:
            sample(trees, options.repeat or 7, folder, options.docs)
            return
        options.repeat = options.repeat or 1
        dump = options.dump.resolve() if options.dump else folder / "rows.jsonl"
        if options.dump is None:
            write_sharegpt(dump, options.rows)
        compare(trees, dump, options, folder)


if __name__ == "__main__":
    main()
