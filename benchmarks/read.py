"""Reading and normalising ShareGPT rows: ours against `datasets` with a Python map.

Both in fresh processes on the same file, one after the other, process start to end.
`--rows 1000000` shows memory and growth; `--ours` leaves the peer out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

OURS = """
import sys
from pathlib import Path
from curate.base.parts import PartsTo
from curate.sources import read
dump = read([sys.argv[1]], to=PartsTo(Path(sys.argv[2])))
print(dump.height)
"""

USUAL = """
import sys, datasets
datasets.disable_progress_bars()
roles = {"human": "user", "gpt": "assistant", "system": "system"}
def normalise(row):
    turns = row["conversations"]
    return {"messages": [{"role": roles[t["from"]], "content": t["value"]} for t in turns]}
rows = datasets.load_dataset("json", data_files=sys.argv[1], split="train", cache_dir=sys.argv[2])
print(rows.map(normalise, remove_columns=["conversations"]).num_rows)
"""


def timed(code: str, *arguments: str) -> tuple[float, float]:
    """Seconds and peak memory in GB of one process."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"exit status {status}")
    return time.perf_counter() - started, usage.ru_maxrss / 1e6


def main() -> None:
    """Print seconds, rows a second, peak memory, and the ratio."""
    from rows import write_sharegpt

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--ours", action="store_true", help="leave the peer out")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_sharegpt(path, options.rows)
        print(f"{options.rows:,} rows, {path.stat().st_size / 1e6:.0f} MB")
        best: dict[str, float] = {}
        for number in range(options.repeat):
            arms = {"curate": (OURS, str(path), f"{folder}/parts")}
            if not options.ours:
                # A new cache folder each time: the peer must not find its own last result.
                arms["datasets + map"] = (USUAL, str(path), f"{folder}/cache{number}")
            for name, arguments in arms.items():
                seconds, memory = timed(*arguments)
                best[name] = min(seconds, best.get(name, seconds))
                rate = options.rows / seconds
                print(f"{name:15} {seconds:6.2f} s  {rate:9,.0f} rows/s  peak {memory:.2f} GB")
    if len(best) == 2:
        print(f"ratio (best of {options.repeat}): {best['datasets + map'] / best['curate']:.1f}")


if __name__ == "__main__":
    main()
