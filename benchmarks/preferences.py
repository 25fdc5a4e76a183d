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
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.train import Failed, arm

BATCH, RATE, VOCABULARY = 8, 1e-3, 64
START, STOP = 1, 2


class Arm(NamedTuple):
    """What curate is told, and TRL's trainer with what it is told; and of which rows."""

    name: str
    ours: dict[str, Any]
    trainer: str
    theirs: dict[str, Any]
    rows: str = "pairs"


KTO = {"beta": 0.1, "desirable_weight": 1.2, "undesirable_weight": 0.8}
ARMS = (
    Arm("dpo", {"objective": "dpo", "beta": 0.1}, "dpo", {"loss_type": "sigmoid", "beta": 0.1}),
    Arm(
        "dpo, length-normalised",
        {"objective": "dpo", "beta": 5.0, "length_normalised": True},
        "dpo",
        {"loss_type": "sigmoid_norm", "beta": 5.0},
    ),
    Arm(
        "dpo, tails desensitised",
        {"objective": "dpo", "beta": 0.1, "length_desensitised": 0.5},
        "dpo",
        {"loss_type": "sigmoid", "beta": 0.1, "ld_alpha": 0.5},
    ),
    Arm(
        "dpo, robust",
        {"objective": "dpo", "beta": 0.1, "label_smoothing": 0.1, "robust": True},
        "dpo",
        {"loss_type": "robust", "beta": 0.1, "label_smoothing": 0.1},
    ),
    Arm(
        "dpo, smoothed (unread by TRL)",
        {"objective": "dpo", "beta": 0.1, "label_smoothing": 0.3},
        "dpo",
        {"loss_type": "sigmoid", "beta": 0.1, "label_smoothing": 0.3},
    ),
    Arm("hinge", {"objective": "hinge", "beta": 0.1}, "dpo", {"loss_type": "hinge", "beta": 0.1}),
    Arm("ipo", {"objective": "ipo", "beta": 0.1}, "dpo", {"loss_type": "ipo", "beta": 0.1}),
    Arm(
        "simpo",
        {"objective": "simpo", "beta": 2.0, "simpo_gamma": 1.0},
        "cpo",
        {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.0, "cpo_alpha": 0.0},
    ),
    Arm(
        "cpo, without its part of SFT",
        {"objective": "cpo", "beta": 0.1, "sft_weight": 0.0},
        "cpo",
        {"loss_type": "sigmoid", "beta": 0.1, "cpo_alpha": 0.0},
    ),
    # Means over the tokens of a pass and over those of each answer are one on even rows alone.
    Arm(
        "cpo, even rows",
        {"objective": "cpo", "beta": 0.1},
        "cpo",
        {"loss_type": "sigmoid", "beta": 0.1, "cpo_alpha": 1.0},
        "even",
    ),
    Arm(
        "cpo",
        {"objective": "cpo", "beta": 0.1},
        "cpo",
        {"loss_type": "sigmoid", "beta": 0.1, "cpo_alpha": 1.0},
    ),
    Arm("orpo, even rows", {"objective": "orpo", "beta": 0.1}, "orpo", {"beta": 0.1}, "even"),
    Arm("orpo", {"objective": "orpo", "beta": 0.1}, "orpo", {"beta": 0.1}),
    Arm("kto, TRL's partners", {"objective": "kto", **KTO}, "kto", KTO, "judged as TRL"),
    Arm("kto", {"objective": "kto", **KTO}, "kto", KTO, "judged"),
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
elif kind == "kto":
    from trl import KTOConfig as Config, KTOTrainer as Trainer
elif kind == "orpo":
    from trl.experimental.orpo import ORPOConfig as Config, ORPOTrainer as Trainer
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
    for side in sorted({"chosen", "rejected", "completion"} & row.keys()):
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
from trainer.data import batches, judged
def before(rows, prompts, part, everything, seed, partner):
    # TRL's rule: each row of a step before the answer to the one before it, the first to the last.
    order = batches.epoch_order(len(part), 0, 1)
    for start in range(0, len(order), batch):
        step = order[start : start + batch]
        partner[step] = [step[-1], *step[:-1]]
if how["partners"]:
    judged._pair_off = before
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


Pair = tuple[list[int], list[int], list[int]]


def make(home: Path, steps: int) -> None:
    """A model, and rows of random ids for `steps` steps: pairs, even ones, and judged answers.

    Prompts of even rows are the start token alone, and their chosen answers are of one length.
    """
    write_model(home / "model")
    chance = np.random.default_rng(0)

    def words(low: int, high: int) -> list[int]:
        return [int(word) for word in chance.integers(4, VOCABULARY, chance.integers(low, high))]

    def pair() -> Pair:
        return ([START, *words(2, 12)], [*words(2, 24), STOP], [*words(2, 24), STOP])

    count = steps * BATCH
    write_rows(home / "pairs", [pair() for _ in range(count)])
    even = [([START], [*words(12, 13), STOP], [*words(2, 24), STOP]) for _ in range(count)]
    write_rows(home / "even", even)
    # A pair is two judged answers.
    judged = [pair() for _ in range(count // 2)]
    for name in ("judged", "judged as TRL"):
        write_rows(home / name, judged, single=True)


def write_rows(folder: Path, pairs: list[Pair], single: bool = False) -> None:
    """Rows as TOKENS and, in the order of our steps, as TRL's texts."""
    import json

    from tests.preference_toys import write_made
    from trainer.data.batches import epoch_order

    write_made(folder / "tokens", pairs)
    rows: list[dict[str, Any]] = []
    for prompt, *answers in pairs:
        texts = [f" {_text(answer)}" for answer in answers]
        chosen, rejected = ([*prompt, *answer] for answer in answers)
        about = {"prompt": _text(prompt), "chosen": texts[0], "rejected": texts[1]}
        rows.append({"texts": about, "chosen": chosen, "rejected": rejected})
    if single:
        rows = [
            {
                "texts": {
                    "prompt": row["texts"]["prompt"],
                    "completion": row["texts"][side],
                    "label": side == "chosen",
                },
                "completion": row[side],
            }
            for side in ("chosen", "rejected")
            for row in rows
        ]
    ordered = [rows[place] for place in epoch_order(len(rows), 0, 1)]
    (folder / "pairs.json").write_text(json.dumps(ordered), encoding="utf-8")
    (folder / "model").symlink_to(folder.parent / "model")


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
        for name, ours, trainer, theirs, rows in ARMS:
            partners = rows == "judged as TRL"
            told = {**ours, "batch": BATCH}
            own = arm(sys.executable, OURS, home / rows, told, rate=RATE, partners=partners)
            try:
                found = arm(
                    python, TRL, home / rows, {**theirs, "batch": BATCH}, rate=RATE, trainer=trainer
                )
            except Failed as failed:
                print(f"  {name:30s} TRL does not run: {str(failed).splitlines()[-1]}", flush=True)
                continue
            mine, their = own["losses"], found["losses"]
            apart = np.abs(np.array(mine) - np.array(their))
            print(
                f"  {name:30s} loss {mine[0]:.6f} to {mine[-1]:.6f}; TRL {their[0]:.6f} "
                f"to {their[-1]:.6f}; greatest difference {apart.max():.1e}",
                flush=True,
            )
    print(", ".join(f"{library} {version}" for library, version in found["versions"].items()))


if __name__ == "__main__":
    main()
