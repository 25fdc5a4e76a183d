"""Train `tiny-base/`, a small Llama-style language model, from scratch on generated prose.

    python sample_data/make_tiny_base.py [--out DIR] [--steps 1500]

Reads nothing but `plain_text.py`; needs the `train` extra.
The same machine, versions and step count give the same weights.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from itertools import islice
from pathlib import Path
from typing import Any

from plain_text import documents

SEED = 7
VOCABULARY = 1536
CONTEXT = 512
END, TURN, CLOSE = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

CHATML = """\
{%- for message in messages -%}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


def make_tokenizer(texts: list[str]) -> Any:
    """Byte-level BPE with the chat tokens as special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, TURN, CLOSE],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        additional_special_tokens=[TURN, CLOSE],
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        chat_template=CHATML,
    )


def make_model(tokenizer: Any) -> Any:
    """Four layers, about 0.9 million parameters, embeddings shared with the output."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(SEED)
    end = tokenizer.eos_token_id
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=336,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        dtype="float32",
    )
    return LlamaForCausalLM(config)


def blocks(tokenizer: Any, texts: list[str], length: int) -> Any:
    """All texts in one stream, each opened by the end token, cut into `[rows, length]` ids."""
    import torch

    stream: list[int] = []
    for ids in tokenizer(texts)["input_ids"]:
        stream += [tokenizer.eos_token_id, *ids]
    rows = len(stream) // length
    return torch.tensor(stream[: rows * length]).view(rows, length)


def train(model: Any, tokenizer: Any, steps: int, tokens_per_step: int = 2048) -> None:
    """AdamW with warm-up and cosine decay; the last eighth reads full-length contexts."""
    import torch

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1.0, betas=(0.9, 0.95), weight_decay=0.1, foreach=True
    )
    stream = documents(SEED)
    started = time.monotonic()
    for step in range(steps):
        length = CONTEXT if step >= steps * 7 // 8 else 128
        texts = list(islice(stream, tokens_per_step // 25))
        batch = blocks(tokenizer, texts, length)[: tokens_per_step // length]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step == steps - 1:
            took = time.monotonic() - started
            print(f"step {step + 1}/{steps}  loss {loss.item():.3f}  {took:.0f} s", flush=True)


def learning_rate(step: int, steps: int, peak: float = 3e-3, warmup: int = 80) -> float:
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)


def say(model: Any, tokenizer: Any, opening: str, tokens: int = 60) -> str:
    import torch

    ids = torch.tensor([[tokenizer.eos_token_id, *tokenizer(opening)["input_ids"]]])
    said = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False
    )
    return str(tokenizer.decode(said[0], skip_special_tokens=True))


def save(model: Any, tokenizer: Any, out: Path) -> None:
    """A folder that `AutoModelForCausalLM` and `AutoTokenizer` load, without local traces."""
    from transformers import GenerationConfig

    end, close = tokenizer.convert_tokens_to_ids([END, CLOSE])
    model.generation_config = GenerationConfig(
        bos_token_id=end, eos_token_id=[end, close], pad_token_id=end
    )
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    path = out / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "tiny-base")
    parser.add_argument("--steps", type=int, default=1500, help="optimizer steps of 2048 tokens")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    import torch

    torch.set_num_threads(options.threads)
    tokenizer = make_tokenizer(list(islice(documents(SEED + 1), 5000)))
    model = make_model(tokenizer)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens")
    train(model, tokenizer, options.steps)
    model.eval()
    for opening in ("The bakery", "A hedgehog", "On a windy Monday Rosa"):
        print("-", say(model, tokenizer, opening))
    save(model, tokenizer, options.out)
    size = sum(file.stat().st_size for file in options.out.iterdir())
    print(f"{options.out}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
