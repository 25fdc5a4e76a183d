"""What a long row takes: memory of a step by its length and vocabulary, and what the loss costs.

Each cell is a process of its own: a small random model (two layers of 32), one row, all of whose
tokens are targets, forward and backward; what is printed is how far the process's peak rises above
what it held before. Beside it stands the loss as transformers computes it from labels. Where that
would take more than `--most` GB it is not run, and its size is worked out: three copies of all
logits in float32, marked with ~. Then gradient checkpointing on and off, and five ways to the same
loss. The whole takes a quarter of an hour of one quiet core; with `--docs` it goes into the page.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "training.md"
MARK, END = "<!-- benchmarks/long_rows.py --docs -->", "<!-- end of long rows -->"
sys.path.insert(0, str(ROOT))
# Copies of the logits that a plain loss holds at its peak: logits, ln p, and their gradient.
COPIES = 3


def peak() -> float:
    """GB: the most that this process ever held."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def make_model(words: int, layers: int, width: int, positions: int) -> Any:
    """A random model, tied, so that its one matrix of words is all that is large."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": width, "intermediate_size": 2 * width}
    sizes |= {"num_hidden_layers": layers, "num_attention_heads": 2, "num_key_value_heads": 1}
    config = LlamaConfig(
        vocab_size=words, max_position_embeddings=positions, tie_word_embeddings=True, **sizes
    )
    return LlamaForCausalLM(config).train()


def of_a_step(
    way: str, tokens: int, words: int, layers: int, width: int, checkpointing: bool
) -> dict[str, float]:
    """Seconds of processor time and GB of one step, above what was held before it."""
    import time

    import numpy as np
    import torch

    from trainer.checks.loading import checkpoint_activations
    from trainer.data.batches import pad
    from trainer.data.rows import make_rows
    from trainer.loss import target_nats

    net = make_model(words, layers, width, tokens)
    if checkpointing:
        checkpoint_activations(net)
    ids = np.random.default_rng(0).integers(4, words, tokens).tolist()
    short = torch.tensor([ids[:8]])
    net(input_ids=short, labels=short).loss.backward()  # the first use sets things up
    before, started = peak(), time.process_time()
    if way == "transformers":
        both = torch.tensor([ids])
        loss = net(input_ids=both, labels=both, use_cache=False).loss
    else:
        batch = pad(make_rows(["a"], [ids], [ids]), np.array([0]))
        loss = target_nats(net, batch, whole=False).mean()
    loss.backward()
    return {"GB": peak() - before, "seconds": time.process_time() - started, "loss": loss.item()}


def of_a_loss(way: str, targets: int, words: int, width: int) -> dict[str, float]:
    """The same of an output layer alone."""
    import time

    import torch
    import torch.nn.functional as F

    from trainer.loss import CHUNK_VALUES
    from trainer.models.chunked import by_pieces, cross_entropy

    torch.manual_seed(0)
    head = torch.nn.Linear(width, words, bias=False)
    states = torch.randn(targets, width).requires_grad_()
    picked = torch.randint(words, (targets,))
    rows = CHUNK_VALUES // words

    def measure(logits: Any, places: slice) -> Any:
        return F.cross_entropy(logits, picked[places], reduction="none")

    def of_torch(**size: Any) -> Any:
        options = torch.nn.LinearCrossEntropyOptions(**size)
        return F.linear_cross_entropy(
            states, head.weight, picked, reduction="none", options=options
        )

    ways = {
        "whole logits": lambda: measure(head(states), slice(0, targets)),
        "pieces, by automatic differentiation": lambda: by_pieces(head, states, rows, measure),
        "torch's linear_cross_entropy, our pieces": lambda: of_torch(batch_chunk_size=rows),
        "torch's linear_cross_entropy, its pieces": lambda: of_torch(),
        "pieces, as they are here": lambda: cross_entropy(head, states, picked, rows),
    }
    before, started = peak(), time.process_time()
    nats = ways[way]()
    nats.sum().backward()
    return {
        "GB": peak() - before,
        "seconds": time.process_time() - started,
        "loss": nats.mean().item(),
    }


WAYS = (
    "whole logits",
    "pieces, by automatic differentiation",
    "torch's linear_cross_entropy, our pieces",
    "torch's linear_cross_entropy, its pieces",
    "pieces, as they are here",
)


def measured(kind: str, **given: Any) -> dict[str, float]:
    """What a process of its own measures."""
    command = [sys.executable, "-W", "ignore", __file__, "--measure", json.dumps([kind, given])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{kind} {given}: {found['GB']:.2f} GB, {found['seconds']:.1f} s", flush=True)
    return found


def main() -> None:
    """Measure, print, and write the page if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--lengths", default="1024,4096,8192,16384,32768")
    parser.add_argument("--words", default="32000,128000")
    parser.add_argument("--most", type=float, default=2.0, metavar="GB")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/")
    given = parser.parse_args()
    if given.measure:
        kind, how = json.loads(given.measure)
        print(json.dumps({"step": of_a_step, "loss": of_a_loss}[kind](**how)))
        return
    lengths, sizes = (
        [int(one) for one in each.split(",")] for each in (given.lengths, given.words)
    )
    lines = ["| tokens of the row | words | here, GB | transformers, GB |", "|---|---|---|---|"]
    small: dict[str, Any] = {"layers": 2, "width": 32, "checkpointing": False}
    for words in sizes:
        for tokens in lengths:
            ours = measured("step", way="here", tokens=tokens, words=words, **small)
            size = COPIES * 4 * tokens * words / 1e9
            theirs = f"~ {size:.1f}"
            if size <= given.most:
                found = measured("step", way="transformers", tokens=tokens, words=words, **small)
                assert abs(found["loss"] - ours["loss"]) < 1e-4, (found, ours)
                theirs = f"{found['GB']:.2f}"
            lines.append(f"| {tokens:,} | {words:,} | {ours['GB']:.2f} | {theirs} |")
    lines += ["", "| gradient_checkpointing | GB | seconds |", "|---|---|---|"]
    deep: dict[str, Any] = {"layers": 12, "width": 64, "tokens": 8192, "words": 1000}
    for on in (False, True):
        found = measured("step", way="here", checkpointing=on, **deep)
        name = "true" if on else "false"
        lines.append(f"| {name} | {found['GB']:.2f} | {found['seconds']:.0f} |")
    lines += ["", "| loss of 2,048 targets, 128,000 words | GB | seconds |", "|---|---|---|"]
    for way in WAYS:
        found = measured("loss", way=way, targets=2048, words=128_000, width=128)
        lines.append(f"| {way} | {found['GB']:.2f} | {found['seconds']:.1f} |")
    print("\n".join(lines))
    if given.docs:
        before, mark, rest = PAGE.read_text("utf-8").partition(MARK)
        text = "\n".join(lines)
        PAGE.write_text(f"{before}{mark}\n{text}\n\n{rest[rest.index(END) :]}", "utf-8")


if __name__ == "__main__":
    main()
