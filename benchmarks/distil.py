"""Whether a small model learns more from a large one's distributions than from the answers alone.

The teacher is SmolLM2-135M-Instruct (see small_model.py); the student is a random model of its
tokenizer, two layers of 96. Both ways take the same steps over the same rows of a public dump
(Alpaca), from the same weights in the same order, for three seeds; what is compared is the loss of
the held-out answers. The teacher's distributions are written once. What their number format changes
is measured as well. About ten minutes of one core; with `--docs` the tables go into the page.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rows import DATA, need
from small_model import small_model

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "training.md"
MARK, END = "<!-- benchmarks/distil.py --docs -->", "<!-- end of distillation -->"
DUMP = DATA / "raw" / "alpaca_random_9k.json"
WIDTH, LAYERS = 96, 2


def chosen_rows(count: int) -> list[dict[str, str]]:
    """The first rows whose answers have 80 to 260 letters."""
    rows = json.loads(DUMP.read_text("utf-8"))
    short = [row for row in rows if 80 <= len(row["output"]) <= 260]
    return [row for row in short if len(row["instruction"]) + len(row["input"]) <= 160][:count]


def write_student(teacher: Path, folder: Path, seed: int) -> str:
    """A random model with the teacher's tokenizer and vocabulary."""
    import torch
    from transformers import AutoConfig, LlamaConfig, LlamaForCausalLM

    known = AutoConfig.from_pretrained(teacher)
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH}
    sizes |= {"num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 4}
    ends = {name: getattr(known, name) for name in ("bos_token_id", "eos_token_id")}
    student = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=known.vocab_size,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            **sizes,
            **ends,
        )
    )
    student.save_pretrained(folder)
    for file in (*teacher.glob("tokenizer*"), *teacher.glob("*.jinja")):
        shutil.copyfile(file, folder / file.name)
    return str(folder)


def losses(
    tokens: str, student: str, out: Path, seed: int, epochs: int, teacher: str | None, **more: Any
) -> tuple[float, float]:
    """Held-out loss before and after, of the last epoch."""
    import curate

    settings: dict[str, Any] = {
        "preset": "alpaca",
        "num_train_epochs": epochs,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "held_out": 0.2,
        "prompts": 0,
        "choose": "last",
        "save_total_limit": 1,
        "seed": seed,
        "proof": False,
    }
    given = {} if teacher is None else {"teacher": teacher}
    result = curate.train(tokens, model=student, out=out, **settings, **given, **more)
    assert result.before is not None and result.after is not None
    return result.before.loss, result.after.loss


def interval(values: list[float]) -> str:
    """The mean, and half the width of its 95 % interval (Student's t)."""
    from scipy.special import stdtrit

    wide = stdtrit(len(values) - 1, 0.975) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{np.mean(values):+.4f} ± {wide:.4f}"


def logits_of(net: Any, batch: Any) -> Any:
    """The logits of a pass's targets, fp32."""
    import torch

    from trainer.loss import read_logits

    parts: list[Any] = []
    read_logits(net, batch, lambda _, each: parts.append(each), whole=False)
    return torch.cat(parts)


def formats(teacher: Path, student: str, tokens: str, top: int) -> list[str]:
    """What storing log probabilities in 16 bits changes, as lines of a table."""
    import torch

    from trainer.data.batches import pad
    from trainer.data.tokens import load_tokens
    from trainer.models import teachers
    from trainer.objectives.divergence import in_buckets, kl

    rows = load_tokens(tokens).rows
    nets = [
        teachers.load(str(folder), torch.device("cpu"), "float32") for folder in (teacher, student)
    ]
    found: list[list[Any]] = [[], []]
    for row in range(8):
        for net, logits in zip(nets, found, strict=True):
            logits.append(logits_of(net, pad(rows, np.array([row]))))
    large, small = (torch.cat(each) for each in found)
    ids = large.topk(top, dim=-1).indices
    exact, own = in_buckets(large, ids), in_buckets(small, ids)
    whole = kl(large.log_softmax(-1), small.log_softmax(-1), False).double()
    lines = [
        "| stored as | mean KL(teacher \\|\\| student) | mean change | largest |",
        "|---|---|---|---|",
    ]
    lines.append(f"| all {large.shape[1]:,} words, float32 | {float(whole.mean()):.4f} | - | - |")
    reference = kl(exact, own, False).double()
    for name in ("float32", "float16", "bfloat16"):
        held = exact.to(getattr(torch, name)).float()
        apart = kl(held - held.logsumexp(-1, keepdim=True), own, False).double()
        change = (apart - reference).abs()
        lines.append(
            f"| {top} words and the rest, {name} | {float(apart.mean()):.4f} | "
            f"{float(change.mean()):.1e} | {float(change.max()):.1e} |"
        )
    return lines


def main() -> None:
    """Teach, compare, print; write the page if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="where the model is kept between runs")
    parser.add_argument("--rows", type=int, default=80)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--top", type=int, default=50)
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/")
    given = parser.parse_args()
    need(DUMP)
    import curate

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        teacher = small_model(given.work or home)
        tokens = str(home / "tokens")
        curate.render(chosen_rows(given.rows), tokenizer=str(teacher), out=tokens)
        started = time.perf_counter()
        logits = str(home / "logits")
        curate.teacher(tokens, model=teacher, out=logits, top=given.top, log=print)
        print(f"teacher: {time.perf_counter() - started:.0f} s", flush=True)
        table = ["| seed | before | answers alone | with the teacher | difference |"]
        table.append("|---|---|---|---|---|")
        apart = []
        for seed in range(given.seeds):
            student = write_student(teacher, home / f"student-{seed}", seed)
            both = []
            for name, source in (("plain", None), ("taught", logits)):
                started = time.perf_counter()
                out = home / f"{name}-{seed}"
                before, after = losses(tokens, student, out, seed, given.epochs, source)
                both.append(after)
                taken = time.perf_counter() - started
                print(
                    f"seed {seed}, {name}: {before:.4f} to {after:.4f}, {taken:.0f} s", flush=True
                )
            apart.append(both[1] - both[0])
            table.append(
                f"| {seed} | {before:.4f} | {both[0]:.4f} | {both[1]:.4f} | {apart[-1]:+.4f} |"
            )
        table.append(f"| mean, 95 % | | | | {interval(apart)} |")
        lines = [*table, "", *formats(teacher, str(home / "taught-0"), tokens, given.top)]
    print("\n".join(lines))
    if given.docs:
        before_, mark, rest = PAGE.read_text("utf-8").partition(MARK)
        after_ = rest[rest.index(END) :]
        text = "\n".join(lines)
        PAGE.write_text(f"{before_}{mark}\n{text}\n\n{after_}", "utf-8")


if __name__ == "__main__":
    main()
