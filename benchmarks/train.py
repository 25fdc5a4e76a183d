"""Training beside TRL: the same rows, model, order and seed; the same losses, and tokens a second.

TRL lives in a virtual environment of its own, because it pins other versions of our dependencies:
`--install` makes it. Without it our own speed is all there is to print. Every arm is a process of
one thread and is timed by the processor time of its steps, the first 20 left out, which other work
on the machine disturbs least. Packing and grouping by length change TRL's order of rows, so losses
are compared with its default arm alone, fp32 everywhere (bf16 is many times slower on a CPU).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

PACKAGES = ("trl==1.16.*", "torch==2.13.*", "transformers==5.23.*", "datasets==5.2.*")
BATCH, LONGEST, VOCABULARY, RATE, WARM = 32, 512, 512, 1e-3, 20

# What TRL is told: as it comes but for fp32, then without what only saves memory.
ARMS: dict[str, dict[str, Any]] = {
    "TRL default": {"per_device_train_batch_size": 8, "train_sampling_strategy": "sequential"},
    "TRL tuned, padded": {
        "per_device_train_batch_size": 8,
        "gradient_checkpointing": False,
        "train_sampling_strategy": "group_by_length",
    },
    # Ten rows of packed documents hold about as much as 32 documents.
    "TRL tuned, packed": {
        "batch": 10,
        "per_device_train_batch_size": 2,
        "gradient_checkpointing": False,
        "packing": True,
        "max_length": LONGEST,
    },
}

TRL = """
import json, os, sys, time
home, settings = sys.argv[1], json.loads(sys.argv[2])
os.environ["HF_HUB_OFFLINE"] = "1"
import torch
torch.set_num_threads(1)
from datasets import load_from_disk
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer
batch = settings.pop("batch")
rows = load_from_disk(f"{home}/ordered")
losses, tokens, stamps = [], [], []
class Noted(SFTTrainer):
    def training_step(self, model, inputs, *given, **named):
        ids = inputs.get("attention_mask")
        tokens[-1] += int(ids.sum()) if ids is not None else inputs["input_ids"].numel()
        loss = super().training_step(model, inputs, *given, **named)
        losses[-1] += float(loss)
        return loss
class Timed(TrainerCallback):
    def on_step_begin(self, *given, **named):
        stamps.append(time.process_time()); losses.append(0.0); tokens.append(0)
    def on_train_end(self, *given, **named):
        stamps.append(time.process_time())
config = SFTConfig(
    output_dir=f"{home}/trl", use_cpu=True, bf16=False, seed=0, num_train_epochs=1,
    gradient_accumulation_steps=batch // settings["per_device_train_batch_size"],
    learning_rate=RATE, lr_scheduler_type="constant", report_to="none", save_strategy="no",
    disable_tqdm=True, logging_strategy="no", dataset_kwargs={}, **settings,
)
trainer = Noted(
    AutoModelForCausalLM.from_pretrained(f"{home}/model", dtype=torch.float32), config,
    train_dataset=rows, processing_class=AutoTokenizer.from_pretrained(f"{home}/model"),
    callbacks=[Timed()],
)
trainer.train()
print("RESULT " + json.dumps({"losses": losses, "tokens": tokens, "stamps": stamps}))
"""

OURS = """
import json, os, sys, time
home, settings = sys.argv[1], json.loads(sys.argv[2])
import trainer
from trainer import TrainConfig, loop
settings.pop("batch", None)
stamps, real = [], loop.gradients
def timed(*given, **named):
    stamps.append(time.process_time())
    return real(*given, **named)
loop.gradients = timed
config = TrainConfig(
    tokens=f"{home}/tokens", model=f"{home}/model", out=f"{home}/ours", preset="alpaca", epochs=1,
    batch=BATCH, lr=RATE, schedule="constant", warmup=0.0, held_out=0.0, samples=0, proof=False,
    device="cpu", force=True, **settings,
)
stop = loop.faults.check_weights
def ended(*given):
    stamps.append(time.process_time())
    return stop(*given)
loop.faults.check_weights = ended
trainer.train(config, lambda line: None)
lines = [json.loads(line) for line in open(f"{home}/ours/metrics.jsonl")]
steps = [line for line in lines if not line.get("eval")]
print("RESULT " + json.dumps({
    "losses": [step["loss"] for step in steps], "tokens": [step["tokens"] for step in steps],
    "stamps": stamps,
}))
"""


def make(home: Path, steps: int) -> None:
    """Rows of random ids, their lengths as conversations have them; a model and its tokenizer."""
    import datasets
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    from tests.trainer_toys import write_model, write_tokens
    from trainer.batches import epoch_order

    chance = np.random.default_rng(0)
    count = steps * BATCH
    lengths = np.exp(chance.normal(4.8, 0.7, count)).clip(16, LONGEST).astype(int)
    rows = []
    for number, length in enumerate(lengths.tolist()):
        ids = [1, *chance.integers(4, VOCABULARY, length - 2).tolist(), 2]
        prompt = max(1, length // 3)
        rows.append((f"{number:016x}", ids, [-100] * prompt + ids[prompt:]))
    write_tokens(home / "tokens", rows)
    ordered = [rows[place] for place in epoch_order(count, 0, 1)]
    columns = {"input_ids": [row[1] for row in ordered], "labels": [row[2] for row in ordered]}
    datasets.Dataset.from_dict(columns).save_to_disk(str(home / "ordered"))
    shape = {"hidden_size": 64, "intermediate_size": 172, "num_attention_heads": 4}
    more = {"num_key_value_heads": 2, "max_position_embeddings": LONGEST, "initializer_range": 0.05}
    write_model(home / "model", vocab_size=VOCABULARY, **shape, **more)
    words = {f"w{number}": number for number in range(VOCABULARY)}
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")),
        bos_token="w1",
        eos_token="w2",
        pad_token="w0",
    ).save_pretrained(home / "model")


def arm(python: Path | str, script: str, home: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """One process; what it says after RESULT."""
    script = script.replace("RATE", str(RATE)).replace("BATCH", str(BATCH))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [str(python), "-c", script, str(home), json.dumps({"batch": BATCH, **settings})]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    said = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not said:
        raise SystemExit(f"{settings}: failed\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(said[-1].removeprefix("RESULT "))
    return result


def speed(result: dict[str, Any]) -> float:
    """Real tokens, padding not counted, a second of processor time, after the first steps."""
    seconds = result["stamps"][-1] - result["stamps"][WARM]
    return float(sum(result["tokens"][WARM:]) / seconds)


def install(folder: Path) -> None:
    """A virtual environment with TRL, by pip."""
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", *PACKAGES], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(os.environ.get("CURATE_TRL", ".venv/trl")),
        help="TRL's virtual environment (default: $CURATE_TRL or .venv/trl)",
    )
    parser.add_argument("--install", action="store_true", help="make that environment first")
    asked = parser.parse_args()
    if asked.install and not asked.peers.exists():
        install(asked.peers)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make(home, asked.steps)
        print(f"{asked.steps} steps of {BATCH} rows, 2 layers of 64, vocabulary {VOCABULARY}, fp32")
        ours = {
            "curate": arm(sys.executable, OURS, home, {}),
            "curate, padded": arm(sys.executable, OURS, home, {"packing": "off"}),
        }
        for name, result in ours.items():
            print(f"  {name:20s} {speed(result):8,.0f} tokens/s", flush=True)
        python = asked.peers.absolute() / "bin" / "python"
        if not python.exists():
            print(
                f"  no TRL in {asked.peers}: `python benchmarks/train.py --install` puts it there"
            )
            return
        own = speed(ours["curate"])
        for name, settings in ARMS.items():
            theirs = arm(python, TRL, home, settings)
            print(
                f"  {name:20s} {speed(theirs):8,.0f} tokens/s; curate is "
                f"{own / speed(theirs):.2f} times as fast",
                flush=True,
            )
            if name == "TRL default":
                compare(ours, theirs)


def compare(ours: dict[str, dict[str, Any]], theirs: dict[str, Any]) -> None:
    """Differences of the losses of the first 50 steps, step by step."""
    for name, result in ours.items():
        pairs = zip(result["losses"][:50], theirs["losses"][:50], strict=True)
        apart = [abs(one - other) for one, other in pairs]
        print(
            f"  {name} and TRL, loss of each of {len(apart)} steps: at most {max(apart):.1e} "
            f"apart, {statistics.mean(apart):.1e} on average"
        )


if __name__ == "__main__":
    main()
