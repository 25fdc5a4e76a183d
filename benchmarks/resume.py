"""kill -9 at random moments of a training run, then resume: are the weights the same?

Each kill is followed by the same command with `--resume`, until the run ends; its weights must be
those of a run that was never killed, to the bit.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

SETTINGS = ("epochs=6", "batch=16", "held_out=0.1", "save_every=3", "residual_dropout=0.1")
# Steps are packed unless packing is off, and of one pass unless it may hold fewer positions.
RUNS = {
    "full": ("method=full",),
    "full, padded": ("method=full", "packing=off"),
    "full, accumulated": ("method=full", "micro_tokens=28"),
    "lora": ("method=lora",),
    "oft": ("method=oft", "rotation_block=8"),
}


def start(run: str, home: Path, out: Path, resume: bool) -> subprocess.Popen[bytes]:
    """The run as a process of its own."""
    command = [sys.executable, "-m", "curate", "train", str(home / "tokens")]
    command += ["--model", str(home / "model"), "--out", str(out), "--quiet"]
    for setting in (*SETTINGS, *RUNS[run]):
        command += ["--set", setting]
    return subprocess.Popen([*command, "--resume"] if resume else command)


def digest(out: Path) -> str:
    """One hash over all weights that the run left."""
    whole = hashlib.sha256()
    for path in sorted(out.rglob("*.safetensors")):
        whole.update(path.relative_to(out).as_posix().encode() + path.read_bytes())
    return whole.hexdigest()[:16]


def main() -> None:
    """Each run once whole, then killed and resumed."""
    from tests.trainer_toys import reversed_pairs, write_model, write_tokens

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=5, help="for each run")
    parser.add_argument("--twice", action="store_true", help="kill the resumed run once more")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--only", choices=RUNS, help="one of the runs")
    options = parser.parse_args()
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_tokens(home / "tokens", reversed_pairs(options.rows))
        write_model(home / "model", hidden_size=64, intermediate_size=128)
        for run in [options.only] if options.only else RUNS:
            name = run.replace(", ", "-")
            started = time.perf_counter()
            assert start(run, home, home / name, resume=False).wait() == 0
            seconds, expected = time.perf_counter() - started, digest(home / name)
            print(f"{run}: {seconds:.1f} s uninterrupted, {expected}", flush=True)
            for kill in range(options.kills):
                out, said = home / f"{name}{kill}", []
                for again in range(2 if options.twice else 1):
                    process = start(run, home, out, resume=bool(again))
                    moment = chance.uniform(0.2, 1.0) * seconds
                    time.sleep(moment)
                    process.send_signal(signal.SIGKILL)
                    status = process.wait()
                    said.append(f"{moment:.1f} s" + ("" if status else " (had ended)"))
                described = out / "train.json"  # not there yet if the kill came early
                text = described.read_text("utf-8") if described.exists() else ""
                if '"status": "done"' not in text:
                    assert start(run, home, out, resume=True).wait() == 0
                same = digest(out) == expected
                print(f"  killed at {', '.join(said)}: same weights {same}", flush=True)
                if not same:
                    raise SystemExit(1)


if __name__ == "__main__":
    main()
