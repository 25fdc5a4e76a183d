"""The model to train: loaded from safetensors, with or without adapters, and what it costs."""

from __future__ import annotations

import dataclasses
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.schema import CurateError
from trainer.config import TrainConfig
from trainer.gate import Decode, Limits, TokenId

if TYPE_CHECKING:
    import torch

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Without progress bars: a training log holds the trainer's own lines."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def check_source(name: str) -> None:
    """Refuse a model that is clearly not there before anything is loaded."""
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise CurateError(f"{name}: not a model folder, it has no config.json")
        if not list(path.glob("*.safetensors")):
            raise CurateError(
                f"{name}: has no .safetensors weights; other formats can run code when they are "
                "read and are not loaded; convert the model first"
            )
    elif path.exists():
        raise CurateError(f"{name}: is a file; name the folder that holds config.json")
    elif path.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise CurateError(
            f"{name}: there is no such model folder (a name on the hub looks like owner/name)"
        )


def read_limits(name: str) -> Limits:
    """Vocabulary and positions from the model's configuration, without its weights."""
    from transformers import AutoConfig

    with _explained(name, "configuration"):
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    text = config.get_text_config()
    return Limits(int(text.vocab_size), getattr(text, "max_position_embeddings", None))


def read_tokenizer(name: str) -> Any | None:
    """The tokenizer beside the model, or None where a local folder has none."""
    from transformers import AutoTokenizer

    path = Path(name)
    if path.is_dir() and not any((path / file).is_file() for file in TOKENIZER_FILES):
        return None
    with _explained(name, "tokenizer"):
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)


def decoder(tokenizer: Any | None) -> Decode | None:
    """Ids to text exactly as stored: special tokens shown, spaces untouched."""
    if tokenizer is None:
        return None
    return lambda ids: str(
        tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    )


def token_ids(tokenizer: Any | None) -> TokenId | None:
    """The id of a token by its text, added tokens included."""
    return None if tokenizer is None else tokenizer.get_vocab().get


def load(name: str, device: torch.device) -> Any:
    """A causal language model in fp32, from safetensors alone, running no code of its folder."""
    import torch
    from transformers import AutoModelForCausalLM

    with quiet(), _explained(name, "model"):
        model: Any = AutoModelForCausalLM.from_pretrained(
            name, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        )
    return model.to(device)


# Parameters below which a second thread waits more than it works: a tiny model's matrix products
# take microseconds, and on a busy machine two threads were ten times slower than one.
ONE_THREAD_BELOW = 20_000_000


def use_threads(model: Any, device: torch.device) -> None:
    """One thread for a small model on the CPU, unless OMP_NUM_THREADS says otherwise."""
    import torch

    small = sum(weight.numel() for weight in model.parameters()) < ONE_THREAD_BELOW
    if device.type == "cpu" and small and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


@contextmanager
def _explained(name: str, what: str) -> Iterator[None]:
    """Turn a loading error into one line that names the model."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise CurateError(
            f"{name}: its {what} cannot be loaded: {type(error).__name__}: {first}"
        ) from error


def add_adapters(model: Any, config: TrainConfig) -> Any:
    """The model with LoRA on every linear layer but the output layer; only they are trained."""
    import peft

    adapters = peft.LoraConfig(
        task_type="CAUSAL_LM",
        target_modules="all-linear",
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
    )
    with warnings.catch_warnings():
        # PEFT asks transformers 5 for a property under its old name.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        return peft.get_peft_model(model, adapters)


@dataclasses.dataclass(frozen=True)
class Size:
    """Parameters of a model and the memory that training them takes, activations aside."""

    total: int
    trained: int
    bytes: int

    def __str__(self) -> str:
        share = 100 * self.trained / self.total
        return (
            f"{self.total:,} parameters, {self.trained:,} trained ({share:.2f} %), "
            f"{self.bytes / 1e6:,.1f} MB with gradients and optimizer"
        )


def measure(model: Any) -> Size:
    """Count parameters; fp32 weights take 4 bytes, a trained one 12 more (gradient, AdamW)."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    total = sum(count for count, _ in sizes)
    trained = sum(count for count, grows in sizes if grows)
    return Size(total, trained, 4 * total + 12 * trained)


def make_optimizer(model: Any, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW whose decay leaves norms and biases alone: everything with fewer than two axes."""
    import torch

    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    betas = (config.beta1, config.beta2)
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=config.lr, betas=betas, fused=True
    )


def copy_tokenizer(name: str, tokenizer: Any | None, folder: Path) -> None:
    """Put the tokenizer beside the weights: byte for byte from a folder, else as downloaded."""
    source = Path(name)
    if source.is_dir():
        for file in TOKENIZER_FILES:
            if (source / file).is_file():
                shutil.copyfile(source / file, folder / file)
    elif tokenizer is not None:
        tokenizer.save_pretrained(folder)
