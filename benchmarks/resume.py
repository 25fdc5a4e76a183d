"""kill -9 at random moments of a training run, then resume: are the weights the same?

Each kill is followed by the same command with `--resume`, until the run ends; its weights must be
those of a run that was never killed, to the bit. A moment is a random step, seen in
`metrics.jsonl`, and a random share of the time to the next one, in which checkpoints are written
and answers asked; so it lies within the run on a busy machine too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SETTINGS = (
    *("num_train_epochs=6", "batch_size=16", "save_steps=3"),
    *("held_out=0.1", "residual_dropout=0.1"),
)
# Steps are packed unless packing is off, and of one pass unless it may hold fewer positions.
RUNS = {
    "full": ("method=full",),
    "full, padded": ("method=full", "packing=off"),
    "full, accumulated": ("method=full", "micro_tokens=28"),
    "lora": ("method=lora",),
    "oft": ("method=oft", "rotation_block=8"),
}
LOOK_EVERY = 0.002  # seconds
TRIES = 10  # at kills that fall within the run: nearly all do


def rows_of_many_lengths(
    count: int, chance: random.Random
) -> list[tuple[str, list[int], list[int]]]:
    """Rows whose answer is the prompt's ids in the other order: packed and padded steps differ."""
    from tests.trainer_toys import ASK, START, STOP

    rows = []
    for number in range(count):
        asked = [chance.randint(4, 31) for _ in range(chance.randint(1, 9))]
        prompt, answer = [START, *asked, ASK], [*reversed(asked), STOP]
        rows.append((f"{number:016x}", prompt + answer, [-100] * len(prompt) + answer))
    return rows


def start(run: str, home: Path, out: Path, resume: bool) -> subprocess.Popen[bytes]:
    """The run as a process of its own, with the code beside this script."""
    command = [sys.executable, "-m", "curate", "train", str(home / "tokens")]
    command += ["--model", str(home / "model"), "--out", str(out), "--quiet"]
    for setting in (*SETTINGS, *RUNS[run]):
        command += ["--set", setting]
    return subprocess.Popen([*command, "--resume"] if resume else command, cwd=ROOT)


def digest(out: Path) -> str:
    """One hash over all weights that the run left."""
    whole = hashlib.sha256()
    for path in sorted(out.rglob("*.safetensors")):
        whole.update(path.relative_to(out).as_posix().encode() + path.read_bytes())
    return whole.hexdigest()[:16]


def steps(out: Path) -> int:
    """The last step that the run has noted whole; 0 before the first."""
    path = out / "metrics.jsonl"
    lines = path.read_text("utf-8").split("\n")[:-1] if path.exists() else []
    return max((json.loads(line)["step"] for line in lines), default=0)


def is_done(out: Path) -> bool:
    """Whether the run had ended, though its process had not."""
    path = out / "train.json"
    return path.exists() and json.loads(path.read_bytes())["status"] == "done"


def uninterrupted(run: str, home: Path, out: Path) -> list[float]:
    """Seconds until each step was noted, from 0 for the start to the end of the process."""
    began = time.perf_counter()
    process, times = start(run, home, out, resume=False), [0.0]
    while process.poll() is None:
        times += [time.perf_counter() - began] * (steps(out) - len(times) + 1)
        time.sleep(LOOK_EVERY)
    assert process.returncode == 0
    return [*times, time.perf_counter() - began]


def killed(process: subprocess.Popen[bytes], out: Path, step: int, later: float) -> str | None:
    """Kill the process so many seconds after a step; where that was, or None if all was done."""
    while process.poll() is None and steps(out) < step:
        time.sleep(LOOK_EVERY)
    time.sleep(later)
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        assert process.returncode == 0
        return None
    if is_done(out):
        return None
    unfinished = sorted(path.name for path in out.rglob(".*.unfinished"))
    writing = f" while it wrote {', '.join(unfinished)}" if unfinished else ""
    return f"after step {steps(out)}{writing}"


def kill(
    run: str, home: Path, out: Path, times: list[float], kills: int, chance: random.Random
) -> list[str]:
    """Start a run and kill it, as often as asked, each time further on; where that was."""
    last, places = len(times) - 2, []
    for number in range(kills):
        # Leave steps for the kills to come.
        step = chance.randint(min(steps(out) + bool(number), last), last - (kills - 1 - number))
        later = chance.random() * (times[step + 1] - times[step])
        place = killed(start(run, home, out, resume=bool(number)), out, step, later)
        if place is None:
            return []
        places.append(place)
    return places


def killed_within(
    run: str, home: Path, out: Path, times: list[float], kills: int, chance: random.Random
) -> list[str]:
    """As `kill`, anew from the start when a kill came too late."""
    for _ in range(TRIES):
        if places := kill(run, home, out, times, kills, chance):
            return places
        shutil.rmtree(out)
    raise SystemExit(f"{run}: {TRIES} times a kill came after the end")


def main() -> None:
    """Each run once whole, then killed and resumed."""
    from tests.trainer_toys import write_model, write_tokens

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=5, help="for each run")
    parser.add_argument("--twice", action="store_true", help="kill the resumed run once more")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--only", choices=RUNS, action="append", help="one of the runs, or more")
    options = parser.parse_args()
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_tokens(home / "tokens", rows_of_many_lengths(options.rows, chance))
        write_model(home / "model", hidden_size=64, intermediate_size=128)
        for run in options.only or RUNS:
            name = run.replace(", ", "-")
            times = uninterrupted(run, home, home / name)
            expected = digest(home / name)
            print(
                f"{run}: {len(times) - 2} steps, {times[-1]:.1f} s uninterrupted, {expected}",
                flush=True,
            )
            for number in range(options.kills):
                out = home / f"{name}-{number}"
                places = killed_within(run, home, out, times, 1 + options.twice, chance)
                assert start(run, home, out, resume=True).wait() == 0
                same = digest(out) == expected
                print(f"  killed {', then '.join(places)}: same weights {same}", flush=True)
                if not same:
                    raise SystemExit(1)


if __name__ == "__main__":
    main()
