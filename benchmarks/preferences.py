"""Losses of preferences beside TRL's own trainers: the same ids, weights and order, step by step.

    python benchmarks/preferences.py [--steps 30] [--peers FOLDER]

TRL reads texts, so its ids are compared with ours before anything is trained. It lives in an
environment of its own (`python benchmarks/train.py --install` makes it). fp32 on one CPU thread, no
dropout; the greatest difference of the losses of all steps is printed for each objective.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.train import Failed, arm

BATCH, RATE, VOCABULARY = 8, 1e-3, 64
START, STOP = 1, 2

# Name, what curate is told, and TRL's trainer with what it is told.
ARMS: tuple[tuple[str, dict[str, Any], str, dict[str, Any]], ...] = (
    ("dpo", {"objective": "dpo", "beta": 0.1}, "dpo", {"loss_type": "sigmoid", "beta": 0.1}),
    (
        "dpo, length-normalised",
        {"objective": "dpo", "beta": 5.0, "length_normalised": True},
        "dpo",
        {"loss_type": "sigmoid_norm", "beta": 5.0},
    ),
    (
        "dpo, tails desensitised",
        {"objective": "dpo", "beta": 0.1, "length_desensitised": 0.5},
        "dpo",
        {"loss_type": "sigmoid", "beta": 0.1, "ld_alpha": 0.5},
    ),
    (
        "dpo, robust",
        {"objective": "dpo", "beta": 0.1, "label_smoothing": 0.1, "robust": True},
        "dpo",
        {"loss_type": "robust", "beta": 0.1, "label_smoothing": 0.1},
    ),
    (
        "dpo, smoothed (unread by TRL)",
        {"objective": "dpo", "beta": 0.1, "label_smoothing": 0.3},
        "dpo",
        {"loss_type": "sigmoid", "beta": 0.1, "label_smoothing": 0.3},
    ),
    ("hinge", {"objective": "hinge", "beta": 0.1}, "dpo", {"loss_type": "hinge", "beta": 0.1}),
    ("ipo", {"objective": "ipo", "beta": 0.1}, "dpo", {"loss_type": "ipo", "beta": 0.1}),
    (
        "simpo",
        {"objective": "simpo", "beta": 2.0, "simpo_gamma": 1.0},
        "cpo",
        {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.0, "cpo_alpha": 0.0},
    ),
    (
        "cpo, without its part of SFT",
        {"objective": "cpo", "beta": 0.1, "sft_weight": 0.0},
        "cpo",
        {"loss_type": "sigmoid", "beta": 0.1, "cpo_alpha": 0.0},
    ),
)

BEGIN = """
import json, sys
home, settings = sys.argv[1], json.loads(sys.argv[2])
how = settings.pop("how")
batch = settings.pop("batch")
import torch
torch.set_num_threads(1)
"""

TRL = (
    BEGIN
    + """
import os
os.environ["HF_HUB_OFFLINE"] = os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
import datasets, transformers, trl
from transformers import AutoModelForCausalLM, AutoTokenizer
kind = how["trainer"]
if kind == "dpo":
    from trl import DPOConfig as Config, DPOTrainer as Trainer
else:
    from trl.experimental.cpo import CPOConfig as Config, CPOTrainer as Trainer
losses = []
class Noted(Trainer):
    def training_step(self, model, inputs, *given, **named):
        loss = super().training_step(model, inputs, *given, **named)
        losses.append(float(loss.detach()))
        return loss
config = Config(
    output_dir=f"{home}/trl", use_cpu=True, bf16=False, seed=0, num_train_epochs=1,
    per_device_train_batch_size=batch, gradient_accumulation_steps=1, learning_rate=how["rate"],
    lr_scheduler_type="constant", report_to="none", save_strategy="no", disable_tqdm=True,
    logging_strategy="no", max_length=256, train_sampling_strategy="sequential",
    gradient_checkpointing=False, **settings,
)
rows = json.load(open(f"{home}/pairs.json"))
trainer = Noted(
    AutoModelForCausalLM.from_pretrained(f"{home}/model", dtype=torch.float32), args=config,
    train_dataset=datasets.Dataset.from_list([row["texts"] for row in rows]),
    processing_class=AutoTokenizer.from_pretrained(f"{home}/model"),
)
for read, row in zip(trainer.train_dataset, rows, strict=True):
    for side in ("chosen", "rejected"):
        own = "prompt_ids" in read and f"{side}_ids" in read
        ids = read["prompt_ids"] + read[f"{side}_ids"] if own else read[f"{side}_input_ids"]
        assert ids == row[side], (ids, row[side])
trainer.train()
libraries = (torch, transformers, trl)
print("RESULT " + json.dumps({
    "losses": losses, "versions": {each.__name__: each.__version__ for each in libraries},
}))
"""
)

OURS = (
    BEGIN
    + """
import trainer
from trainer import TrainConfig
config = TrainConfig(
    tokens=f"{home}/tokens", model=f"{home}/model", out=f"{home}/ours", num_train_epochs=1,
    batch_size=batch, learning_rate=how["rate"], lr_scheduler_type="constant", warmup_ratio=0.0,
    held_out=0.0, prompts=0, device="cpu", force=True, **settings,
)
trainer.train(config, lambda line: None)
lines = [json.loads(line) for line in open(f"{home}/ours/metrics.jsonl")]
print("RESULT " + json.dumps({
    "losses": [line["loss"] for line in lines if not line.get("eval")],
}))
"""
)


def make(home: Path, steps: int) -> None:
    """Pairs of random ids, as our rows and, in the order of our steps, as TRL's texts; a model."""
    import json

    from tests.preference_toys import write_made
    from trainer.data.batches import epoch_order

    chance = np.random.default_rng(0)
    count = steps * BATCH
    pairs = []
    for _ in range(count):
        prompt = [START, *chance.integers(4, VOCABULARY, chance.integers(2, 12)).tolist()]
        sides = [
            [*chance.integers(4, VOCABULARY, chance.integers(2, 24)).tolist(), STOP]
            for _ in range(2)
        ]
        pairs.append((prompt, *sides))
    write_made(home / "tokens", pairs)
    ordered = [pairs[place] for place in epoch_order(count, 0, 1)]
    rows = [
        {
            "texts": {
                "prompt": _text(prompt),
                "chosen": f" {_text(chosen)}",
                "rejected": f" {_text(rejected)}",
            },
            "chosen": [*prompt, *chosen],
            "rejected": [*prompt, *rejected],
        }
        for prompt, chosen, rejected in ordered
    ]
    (home / "pairs.json").write_text(json.dumps(rows), encoding="utf-8")
    write_model(home / "model")


def _text(ids: list[int]) -> str:
    names = {START: "<s>", STOP: "</s>"}
    return " ".join(names.get(one, f"w{one}") for one in ids)


def write_model(folder: Path) -> None:
    """A model with random weights, and a tokenizer of words between spaces."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from transformers.utils import logging

    from tests.trainer_toys import toy_model

    logging.disable_progress_bar()
    toy_model(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        max_position_embeddings=256,
        bos_token_id=START,
        eos_token_id=STOP,
    ).save_pretrained(folder)
    words = {"<unk>": 0, "<s>": START, "</s>": STOP, "<pad>": 3}
    words |= {f"w{number}": number for number in range(4, VOCABULARY)}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
    ).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(os.environ.get("CURATE_TRL", ".venv/trl")),
        help="TRL's virtual environment (default: $CURATE_TRL or .venv/trl)",
    )
    asked = parser.parse_args()
    python = asked.peers.absolute() / "bin" / "python"
    if not python.exists():
        sys.exit(f"no TRL in {asked.peers}: `python benchmarks/train.py --install` puts it there")
    print(f"{asked.steps} steps of {BATCH} pairs, rate {RATE:g}, fp32 on one thread")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make(home, asked.steps)
        for name, ours, trainer, theirs in ARMS:
            own = arm(sys.executable, OURS, home, {**ours, "batch": BATCH}, rate=RATE)["losses"]
            try:
                found = arm(
                    python, TRL, home, {**theirs, "batch": BATCH}, rate=RATE, trainer=trainer
                )
            except Failed as failed:
                print(f"  {name:30s} TRL does not run: {str(failed).splitlines()[-1]}", flush=True)
                continue
            apart = np.abs(np.array(own) - np.array(found["losses"]))
            print(
                f"  {name:30s} loss {own[0]:.6f} to {own[-1]:.6f}; TRL {found['losses'][0]:.6f} "
                f"to {found['losses'][-1]:.6f}; greatest difference {apart.max():.1e}",
                flush=True,
            )
    print(", ".join(f"{library} {version}" for library, version in found["versions"].items()))


if __name__ == "__main__":
    main()
