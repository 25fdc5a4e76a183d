"""The model to train: loaded from safetensors, with or without adapters, and what it costs."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.base import hub, models
from curate.base.errors import CurateError
from curate.base.extras import missing
from trainer.config.config import TrainConfig
from trainer.data.tokens import Decode, Limits, TokenId
from trainer.models.precision import adamw, rounding_of

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
    "spiece.model",
    "sentencepiece.bpe.model",
)
# What turns pictures and sounds into what a model reads.
PROCESSOR_FILES = (
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
)
# A folder beside them, in which transformers looks for chat templates by name.
MORE_TEMPLATES = "additional_chat_templates"
_POINTER = b"version https://git-lfs"


def check_source(name: str) -> None:
    """Refuse a model that is clearly not there before anything is loaded."""
    if not name.strip():
        raise CurateError("the name of a model is empty; name a folder, or owner/name on the hub")
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            advice = ""
            if (path / "adapter_config.json").is_file():
                advice = (
                    " but an adapter; name its base as the model: curate train goes on "
                    "--from-adapter, curate merge puts it into the base"
                )
            raise CurateError(f"{name}: not a model folder, it has no config.json{advice}")
        if not list(path.glob("*.safetensors")):
            raise CurateError(
                f"{name}: has no .safetensors weights; other formats can run code when they are "
                "read and are not loaded; convert the model first"
            )
        _check_fetched(path)
        if (path / "adapter_config.json").is_file():
            raise CurateError(
                f"{name}: has an adapter_config.json, so transformers would load the model that "
                "this file names and put the adapter on it; merge the adapter first, or move the "
                "file away"
            )
    elif path.exists():
        raise CurateError(f"{name}: is a file; name the folder that holds config.json")
    elif path.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise CurateError(
            f"{name}: there is no such model folder (a name on the hub looks like owner/name)"
        )


def _check_fetched(folder: Path) -> None:
    """Refuse a clone whose large files were never fetched: each is a few words that name it."""
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("*.json")]):
        with file.open("rb") as opened:
            if opened.read(len(_POINTER)) == _POINTER:
                raise CurateError(
                    f"{file}: is a Git LFS pointer, not the file itself; run: git lfs pull"
                )


def read_limits(name: str, objective: str = "sft") -> Limits:
    """Vocabulary and positions from the model's configuration, without its weights.

    Raises `CurateError` for a configuration that cannot be read, for weights that are quantised
    already, and for an architecture that has no model for the objective.
    """
    from transformers import AutoConfig

    with models.explained(name, "configuration"):
        config = AutoConfig.from_pretrained(hub.place(name), trust_remote_code=False)
    text = config.get_text_config()
    _check_unquantised(name, config, text)
    _check_kind(name, config, objective)
    return Limits(int(text.vocab_size), getattr(text, "max_position_embeddings", None))


def read_padding(name: str) -> int | None:
    """What the model's configuration names as the id to pad with."""
    from transformers import AutoConfig

    with models.explained(name, "configuration"):
        config = AutoConfig.from_pretrained(hub.place(name), trust_remote_code=False)
    found: int | None = config.get_text_config().pad_token_id
    return found


def _check_unquantised(name: str, *configs: Any) -> None:
    """Refuse quantised weights: a saved model would mix them with trained ones, or lose them."""
    for config in configs:
        for key in ("quantization_config", "compression_config"):
            about = getattr(config, key, None)
            if not about:
                continue
            given = about if isinstance(about, dict) else about.to_dict()
            method = given.get("quant_method") or "a method that it does not name"
            raise CurateError(
                f"{name}: its weights are quantised already ({getattr(method, 'value', method)}), "
                "and such a base is not trained here; take the unquantised model that it was made "
                "from (load_in_4bit=true puts that into 4 bits while adapters are trained), or "
                "dequantise it and save it in bfloat16 first"
            )


def _check_kind(name: str, config: Any, objective: str) -> None:
    """Refuse an architecture that transformers has no model of the kind for."""
    from transformers.models.auto import modeling_auto as auto

    kinds = {
        "reward": (
            "AutoModelForSequenceClassification",
            "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING",
        ),
    }
    door, mapping = kinds.get(objective, ("AutoModelForCausalLM", "MODEL_FOR_CAUSAL_LM_MAPPING"))
    if type(config) not in getattr(auto, mapping):
        raise CurateError(
            f"{name}: transformers has no model of type {config.model_type} behind {door}, so it "
            "cannot be trained here; take a text model of its family"
        )


def read_tokenizer(name: str) -> Any | None:
    """The tokenizer beside the model, or None where a local folder has none."""
    path = Path(name)
    if path.is_dir() and not any((path / file).is_file() for file in TOKENIZER_FILES):
        return None
    return models.load_tokenizer(hub.place(name))


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


def load(
    name: str,
    device: torch.device,
    dtype: str = "float32",
    in_4bit: bool = False,
    objective: str = "sft",
) -> Any:
    """A causal language model, from safetensors alone, running no code of its folder.

    For the objective "reward" it has a score for the row instead of logits for words. Raises
    `CurateError` for what cannot be read, and for weights that are not all there.

    With `in_4bit` its linear layers are 4-bit NormalFloat (arXiv 2305.14314), which needs
    bitsandbytes and a GPU.
    """
    import torch

    number = {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
    more: dict[str, Any] = _four_bit(device, number) if in_4bit else {}
    kind: models.Kind = "causal"
    if objective == "reward":
        kind, more = "score", {"num_labels": 1}
    # The head of a reward model is new unless it was saved as one.
    model = models.load_model(hub.place(name), kind, number, may_lack=("score.weight",), **more)
    return model if in_4bit else model.to(device)


def _four_bit(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    from transformers import BitsAndBytesConfig

    lacking = [] if device.type == "cuda" else ["a CUDA GPU"]
    lacking += [f"the package {name}" for name in missing("bitsandbytes")]
    if lacking:
        raise CurateError(
            f"load_in_4bit: a 4-bit base needs {' and '.join(lacking)}; leave it out, and set "
            "dtype to bfloat16 to halve the memory"
        )
    settings = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": settings, "device_map": {"": device}}


# Parameters below which a second thread waits more than it works: a tiny model's matrix products
# take microseconds, and on a busy machine two threads were ten times slower than one.
ONE_THREAD_BELOW = 20_000_000


def use_threads(model: Any, device: torch.device) -> None:
    """One thread for a small model on the CPU, unless OMP_NUM_THREADS says otherwise."""
    import torch

    small = sum(weight.numel() for weight in model.parameters()) < ONE_THREAD_BELOW
    if device.type == "cpu" and small and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


@dataclasses.dataclass(frozen=True)
class Size:
    """Parameters of a model and the memory that training them takes, activations aside."""

    total: int
    trained: int
    bytes: int

    @property
    def share(self) -> float:
        """The share of the parameters that is trained, 0 to 1."""
        return self.trained / self.total

    def described(self) -> dict[str, float]:
        """What the manifest of a run says of it."""
        return {"total": self.total, "trained": self.trained, "share": self.share}

    def __str__(self) -> str:
        share = 100 * self.share
        shown = f"{share:.2f}" if share >= 0.1 else f"{share:.2g}"
        return (
            f"{self.total:,} parameters, {self.trained:,} trained ({shown} %), "
            f"{self.bytes / 1e6:,.1f} MB with gradients and optimizer"
        )


def measure(model: Any, masters: bool = False) -> Size:
    """Count parameters; a trained one has a gradient like itself and two fp32 moments.

    With `masters` it has an fp32 copy as well. A 4-bit weight counts as the bytes it lies in.
    """
    weights = list(model.parameters())
    trained = [weight for weight in weights if weight.requires_grad]
    held = sum(weight.numel() * weight.element_size() for weight in [*weights, *trained])
    optimizer = (12 if masters else 8) * sum(weight.numel() for weight in trained)
    return Size(sum(map(_count, weights)), sum(map(_count, trained)), held + optimizer)


def _count(weight: Any) -> int:
    # A 4-bit weight keeps two numbers in one byte.
    return int(weight.numel()) * (2 if type(weight).__name__ == "Params4bit" else 1)


def table(model: Any, config: TrainConfig) -> list[str]:
    """Parameters and trained parameters of each part of the model, and the sum with its memory."""
    parts: dict[str, list[int]] = {}
    for name, weight in model.named_parameters():
        counts = parts.setdefault(_part(name), [0, 0])
        counts[0] += _count(weight)
        counts[1] += _count(weight) if weight.requires_grad else 0
    lines = [f"  {'part':<12} {'parameters':>16} {'trained':>16}"]
    lines += [f"  {part:<12} {all_:>16,} {own:>16,}" for part, (all_, own) in parts.items()]
    return [*lines, str(measure(model, rounding_of(config) == "masters"))]


_PARTS = {
    "adapters": (
        *("lora_", "oft_", "boft_", "ia3_", "ln_tuning", "prompt_encoder", "tokens_delta"),
        "bottleneck.",
    ),
    "norms": ("norm", "ln_"),
    "embeddings": ("embed", "wte", "wpe"),
    "output": ("lm_head", "embed_out"),
    "attention": ("attn", "attention"),
    "feed-forward": ("mlp", "feed_forward", "ffn", "fc1", "fc2"),
}


def _part(name: str) -> str:
    found = (part for part, signs in _PARTS.items() if any(sign in name for sign in signs))
    return next(found, "other")


def make_optimizer(model: Any, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW whose decay leaves norms and biases alone: everything with fewer than two axes."""
    import torch

    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    betas = (config.adam_beta1, config.adam_beta2)
    if rounding := rounding_of(config):
        return adamw(groups, rounding, lr=config.learning_rate, betas=betas)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas, fused=True)


def fetch(name: str) -> None:
    """Bring here what lies beside a model's weights, so that no epoch waits for the hub."""
    if not Path(hub.place(name)).is_dir():
        hub.download(name, (*PROCESSOR_FILES, "generation_config.json"), name)


def copy_tokenizer(name: str, tokenizer: Any | None, folder: Path, changed: bool = False) -> None:
    """Put the tokenizer beside the weights: byte for byte from a folder, unless it was changed."""
    source = Path(name)
    if source.is_dir() and not changed:
        for file in TOKENIZER_FILES:
            if (source / file).is_file():
                shutil.copyfile(source / file, folder / file)
        if (source / MORE_TEMPLATES).is_dir():
            shutil.copytree(source / MORE_TEMPLATES, folder / MORE_TEMPLATES)
    elif tokenizer is not None:
        tokenizer.save_pretrained(folder)
