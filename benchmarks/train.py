"""Training beside TRL: the same rows, model, order and seed; the same losses, and tokens a second.

TRL lives in a virtual environment of its own, because it pins other versions of our dependencies:
`--install` makes it. Without it our own speed is all there is to print. Every arm is a process of
one thread and is timed by the processor time of its steps, the first ones left out, which other
work on the machine disturbs least. A tiny model shows what a step costs besides arithmetic; with
`--small` nearly all is arithmetic, and what is left to save is padding and logits. Packing and
grouping by length change TRL's order of rows, so losses are compared with its default arm alone,
fp32 everywhere (bf16 is many times slower on a CPU).
"""

from __future__ import annotations

import argparse
import dataclasses
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
BATCH, RATE, WARM = 32, 1e-3, 20


@dataclasses.dataclass(frozen=True)
class Shape:
    """A model with random weights, and rows of log-normal lengths that fit it."""

    kind: str  # as transformers names it
    sizes: dict[str, Any]  # fields of its configuration
    middle: int  # tokens of the row in the middle
    spread: float
    longest: int

    @property
    def vocabulary(self) -> int:
        return int(self.sizes["vocab_size"])


TINY = Shape(
    "llama",
    {
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 172,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.05,
    },
    middle=121,
    spread=0.7,
    longest=512,
)

SMALL = dataclasses.replace(
    TINY,
    sizes={
        **TINY.sizes,
        "vocab_size": 8000,
        "hidden_size": 256,
        "intermediate_size": 688,
        "num_hidden_layers": 4,
    },
)

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
        "max_length": TINY.longest,
    },
}

# Both scripts are told how to run (`how`) apart from the settings of the trainer itself, and look
# at the clock twice: a GPU must not be waited for in between.
START = """
import json, os, sys, time
home, settings = sys.argv[1], json.loads(sys.argv[2])
how = settings.pop("how")
batch, warm, on_gpu = settings.pop("batch"), how["warm"], how["device"] == "cuda"
import torch
stamps = []
def look():
    if on_gpu:
        torch.cuda.synchronize()
    stamps.append(time.perf_counter() if on_gpu else time.process_time())
"""

TRL = (
    START
    + """
os.environ["HF_HUB_OFFLINE"] = "1"
import resource
import transformers, trl
from datasets import load_from_disk
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer
if not on_gpu:
    torch.set_num_threads(1)
dtype, attention = settings.pop("dtype", "float32"), settings.pop("attention", "sdpa")
losses, tokens = [], []
class Noted(SFTTrainer):
    def training_step(self, model, inputs, *given, **named):
        ids = inputs.get("attention_mask")
        tokens[-1] += ids.sum() if ids is not None else inputs["input_ids"].numel()
        loss = super().training_step(model, inputs, *given, **named)
        losses[-1] += loss.detach()
        return loss
class Timed(TrainerCallback):
    def on_step_begin(self, *given, **named):
        if len(losses) == warm:
            look()
        losses.append(0.0); tokens.append(0)
    def on_train_end(self, *given, **named):
        look()
config = SFTConfig(
    output_dir=f"{home}/trl", use_cpu=not on_gpu, bf16=how["bf16"], seed=0, num_train_epochs=1,
    gradient_accumulation_steps=batch // settings["per_device_train_batch_size"],
    learning_rate=how["rate"], lr_scheduler_type="constant", report_to="none", save_strategy="no",
    disable_tqdm=True, logging_strategy="no", dataset_kwargs={}, **settings,
)
model = AutoModelForCausalLM.from_pretrained(
    f"{home}/model", dtype=getattr(torch, dtype), attn_implementation=attention
)
trainer = Noted(
    model, config, train_dataset=load_from_disk(f"{home}/ordered"),
    processing_class=AutoTokenizer.from_pretrained(f"{home}/model"), callbacks=[Timed()],
)
trainer.train()
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
libraries = (torch, transformers, trl)
print("RESULT " + json.dumps({
    "losses": [float(loss) for loss in losses], "tokens": [int(count) for count in tokens],
    "stamps": stamps, "memory": torch.cuda.max_memory_allocated() if on_gpu else memory,
    "versions": {library.__name__: library.__version__ for library in libraries},
}))
"""
)

OURS = (
    START
    + """
import transformers, trainer
from trainer import TrainConfig, loop
from trainer.evaluation import pace
from trainer.objectives import sft
begun, paces = [], []
real, stop, measure = sft.gradients, loop.finite.check_weights, loop.measure
def timed(*given, **named):
    if len(begun) == warm:
        look()
    begun.append(1)
    return real(*given, **named)
def ended(*given):
    look()
    return stop(*given)
def measured(*given):
    paces.append(measure(*given))
    return paces[-1]
sft.gradients, loop.finite.check_weights, loop.measure = timed, ended, measured
config = TrainConfig(
    tokens=f"{home}/tokens", model=f"{home}/model", out=f"{home}/ours", preset="alpaca",
    num_train_epochs=1, batch_size=batch, learning_rate=how["rate"], lr_scheduler_type="constant",
    warmup_ratio=0.0, held_out=0.0, prompts=0, proof=False, device=how["device"], force=True,
    **settings,
)
said = []
trainer.train(config, said.append)
lines = [json.loads(line) for line in open(f"{home}/ours/metrics.jsonl")]
steps = [line for line in lines if not line.get("eval")]
print("RESULT " + json.dumps({
    "losses": [step["loss"] for step in steps], "tokens": [step["tokens"] for step in steps],
    "stamps": stamps, "memory": pace.peak_memory(paces[0].device), "flops": paces[0].flops,
    "peak": paces[0].peak, "of": paces[0].of, "said": [s for s in said if s.startswith("packing")],
    "versions": {library.__name__: library.__version__ for library in (torch, transformers)},
}))
"""
)


def make(home: Path, steps: int, shape: Shape = TINY, dtype: str = "float32") -> tuple[int, int]:
    """Rows of random ids, a model and its tokenizer; how many tokens there are and are trained."""
    import datasets

    from tests.trainer_toys import write_tokens
    from trainer.data.batches import epoch_order

    chance = np.random.default_rng(0)
    count = steps * BATCH
    lengths = np.exp(chance.normal(np.log(shape.middle), shape.spread, count))
    lengths = lengths.clip(16, shape.longest).astype(int)
    rows = []
    for number, length in enumerate(lengths.tolist()):
        ids = [1, *chance.integers(4, shape.vocabulary, length - 2).tolist(), 2]
        prompt = max(1, length // 3)
        rows.append((f"{number:016x}", ids, [-100] * prompt + ids[prompt:]))
    write_tokens(home / "tokens", rows)
    ordered = [rows[place] for place in epoch_order(count, 0, 1)]
    columns = {"input_ids": [row[1] for row in ordered], "labels": [row[2] for row in ordered]}
    datasets.Dataset.from_dict(columns).save_to_disk(str(home / "ordered"))
    write_model(home / "model", shape, dtype)
    return int(lengths.sum()), int((lengths - np.maximum(1, lengths // 3)).sum())


def write_model(folder: Path, shape: Shape, dtype: str) -> None:
    """A model with random weights, and a tokenizer whose token `n` is the word `wn`."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    special = {"bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model(shape.kind, **shape.sizes, **special)
    model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    model.save_pretrained(folder)
    words = {f"w{number}": number for number in range(shape.vocabulary)}
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")),
        bos_token="w1",
        eos_token="w2",
        pad_token="w0",
    ).save_pretrained(folder)


class Failed(Exception):
    """An arm that did not end, with the last that it said."""


def arm(
    python: Path | str, script: str, home: Path, settings: dict[str, Any], **how: Any
) -> dict[str, Any]:
    """One process; what it says after RESULT. `how` is read by both scripts."""
    how = {"device": "cpu", "warm": WARM, "rate": RATE, "bf16": False, **how}
    threads = {} if how["device"] == "cuda" else {"OMP_NUM_THREADS": "1"}
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", **threads}
    given = json.dumps({"batch": BATCH, "how": how, **settings})
    command = [str(python), "-c", script, str(home), given]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    said = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not said:
        raise Failed(done.stderr[-3000:])
    result: dict[str, Any] = json.loads(said[-1].removeprefix("RESULT "))
    return result


def speed(result: dict[str, Any], warm: int = WARM) -> float:
    """Real tokens, padding not counted, a second after the first steps; on a CPU, of its time."""
    began, ended = result["stamps"]
    return float(sum(result["tokens"][warm:]) / (ended - began))


def install(folder: Path) -> None:
    """A virtual environment with TRL, by pip."""
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", *PACKAGES], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, help="default: 200, and 24 of the small model")
    parser.add_argument("--small", action="store_true", help="a larger model, of 7,000,000 weights")
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
    shape, warm = (SMALL, 4) if asked.small else (TINY, WARM)
    steps = asked.steps or (24 if asked.small else 200)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make(home, steps, shape)
        layers, width = shape.sizes["num_hidden_layers"], shape.sizes["hidden_size"]
        print(
            f"{steps} steps of {BATCH} rows, {layers} layers of {width}, {shape.vocabulary} words, "
            "fp32"
        )
        ours = {
            "curate": arm(sys.executable, OURS, home, {}, warm=warm),
            "curate, padded": arm(sys.executable, OURS, home, {"packing": "off"}, warm=warm),
        }
        for name, result in ours.items():
            print(f"  {name:20s} {speed(result, warm):8,.0f} tokens/s", flush=True)
        python = asked.peers.absolute() / "bin" / "python"
        if not python.exists():
            print(
                f"  no TRL in {asked.peers}: `python benchmarks/train.py --install` puts it there"
            )
            return
        own = speed(ours["curate"], warm)
        for name, settings in ARMS.items():
            theirs = arm(python, TRL, home, settings, warm=warm)
            print(
                f"  {name:20s} {speed(theirs, warm):8,.0f} tokens/s; curate is "
                f"{own / speed(theirs, warm):.2f} times as fast",
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
