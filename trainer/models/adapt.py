"""The model made ready for its method: adapters put on, saved, loaded back and merged."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError
from trainer.config.config import TrainConfig
from trainer.config.methods import METHODS
from trainer.models import bottleneck, lora_xs
from trainer.models import weights as whole
from trainer.models.modes import evaluating
from trainer.models.prompted import is_prompted, prompted, tried
from trainer.models.targets import Targets, targets

if TYPE_CHECKING:
    import torch

_TRAINED = "trained.safetensors"
# Layers whose input IA3 scales instead of their output: the last of a feed-forward block.
_FEED_FORWARD = ("down_proj", "fc2", "wo", "w2", "c_proj", "dense_4h_to_h", "fc_out")
_ADAPTER_WEIGHTS = "adapter_model.safetensors"


def attach(model: Any, config: TrainConfig, new_rows: Sequence[int] = ()) -> Any:
    """The model with what `config.method` trains, and nothing else, set to be trained.

    `new_rows` are the ids of added tokens. Raises `CurateError` for layers the model does not
    have, and for a method that this architecture or these rows do not go with.
    """
    name = config.method
    if new_rows and not METHODS[name].new_rows:
        able = ", ".join(method for method, one in METHODS.items() if one.new_rows)
        raise CurateError(
            f"method: {name} cannot train the embedding rows of added tokens, and these rows "
            f"have {len(new_rows)}; methods that can are {able}"
        )
    if name == "full":
        return model
    if name == "bitfit":
        return _biases(model)
    if name in bottleneck.METHODS:
        return bottleneck.wrap(model, name, config.bottleneck_width)
    chosen = targets(model, config)
    if name == "lora-xs":
        return lora_xs.wrap(model, list(chosen.layers), config.lora_r, config.lora_alpha)
    with _explained(name):
        import peft

        adapted = peft.get_peft_model(model, _peft_config(model, config, chosen, new_rows))
    return tried(prompted(adapted), name) if METHODS[name].learns == "prompt" else adapted


def _biases(model: Any) -> Any:
    """BitFit: train every bias, and refuse a model that has none."""
    model.requires_grad_(False)
    biases = [weight for name, weight in model.named_parameters() if name.endswith("bias")]
    if not biases:
        raise CurateError(
            f"method: bitfit trains biases, and {model.config.model_type} models of this shape "
            "have none; nearest are norms and lora"
        )
    for bias in biases:
        bias.requires_grad_(True)
    return model


def _peft_config(model: Any, config: TrainConfig, chosen: Targets, new_rows: Sequence[int]) -> Any:
    import peft

    layers = list(chosen.layers)

    task = "SEQ_CLS" if config.objective == "reward" else "CAUSAL_LM"
    on_layers: dict[str, Any] = {"task_type": task, "target_modules": layers}
    name = config.method
    if name in ("lora", "rslora", "dora"):
        return peft.LoraConfig(
            **on_layers,
            target_parameters=list(chosen.parameters) or None,
            r=config.lora_r,
            lora_alpha=config.lora_alpha,
            lora_dropout=config.lora_dropout,
            use_rslora=name == "rslora",
            use_dora=name == "dora",
            trainable_token_indices=_row_indices(model, new_rows),
        )
    if name == "oft":
        # The series that peft takes by default leaves R^T R off the identity by 2 |Q|^4, and
        # turns the other way round than the exact formula.
        return peft.OFTConfig(
            **on_layers, oft_block_size=config.rotation_block, use_cayley_neumann=False
        )
    if name == "boft":
        without_kernels()
        _check_blocks(model, layers, config.rotation_block)
        return peft.BOFTConfig(**on_layers, boft_block_size=config.rotation_block)
    if name == "ia3":
        scaled = layers if config.target_modules else _ia3_layers(layers)
        last = [layer for layer in scaled if layer.rpartition(".")[2] in _FEED_FORWARD]
        return peft.IA3Config(task_type=task, target_modules=scaled, feedforward_modules=last)
    if name == "norms":
        return peft.LNTuningConfig(task_type=task, target_modules=_norms(model))
    if name == "tokens":
        if not new_rows:
            raise CurateError(
                "method: tokens trains the rows of added tokens, and these rows have none; "
                "render them with --add-token, or name tokens in train_tokens"
            )
        return peft.TrainableTokensConfig(
            task_type=task,
            token_indices=list(new_rows),
            target_modules=list(_row_indices(model, new_rows) or {}),
        )
    kind = peft.PrefixTuningConfig if name == "prefix" else peft.PromptTuningConfig
    return kind(task_type=task, num_virtual_tokens=config.num_virtual_tokens)


def without_kernels() -> None:
    """Peft would compile a kernel for BOFT that one butterfly factor does not use."""
    import peft.tuners.boft.layer as boft

    boft._FBD_CUDA = False


def _check_blocks(model: Any, layers: Sequence[str], block: int) -> None:
    """Butterfly blocks must divide the width of every layer."""
    widths = [model.get_submodule(layer).weight.shape[1] for layer in layers]
    odd = [width for width in widths if width % block]
    if odd:
        fitting = [size for size in range(2, block) if math.gcd(*widths) % size == 0]
        advice = f"set rotation_block to {fitting[-1]}" if fitting else "take another method"
        raise CurateError(
            f"method: boft rotates blocks of {block}, which do not divide a layer's width of "
            f"{odd[0]}; {advice}"
        )


def _row_indices(model: Any, new_rows: Sequence[int]) -> dict[str, list[int]] | None:
    """Embedding layers whose rows are trained; an output layer of its own is one of them."""
    if not new_rows:
        return None
    layers = [model.get_input_embeddings()]
    head = model.get_output_embeddings()
    if head is not None and head.weight is not layers[0].weight:
        layers.append(head)
    names = {id(module): name for name, module in model.named_modules()}
    return {names[id(layer)]: list(new_rows) for layer in layers}


def _ia3_layers(layers: list[str]) -> list[str]:
    """Keys, values and the last feed-forward layer, by the names that architectures give them."""
    wanted = ("k_proj", "v_proj", "query_key_value", "c_attn", "Wqkv", *_FEED_FORWARD)
    chosen = [
        layer
        for layer in layers
        if layer.rpartition(".")[2] in wanted and not layer.endswith("attn.c_proj")
    ]
    if not chosen:
        known = sorted({layer.rpartition(".")[2] for layer in layers})
        raise CurateError(
            f"method: ia3 finds no keys, values or feed-forward layers by name among "
            f"{', '.join(known)}; name them in target_modules"
        )
    return chosen


def _norms(model: Any) -> list[str]:
    found = [name for name, module in model.named_modules() if "Norm" in type(module).__name__]
    if not found:
        raise CurateError(f"method: {model.config.model_type} models have no norm layers to train")
    return found


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Refusals of peft as one line; its warnings about itself kept off the terminal."""
    with warnings.catch_warnings():
        # PEFT asks transformers 5 for a property under its old name.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        # PEFT knows layer norms by class; every norm here is copied and trained like one of them.
        warnings.filterwarnings("ignore", "Unsupported layer type .*Norm", UserWarning)
        # True of adapters on both layers; trained rows are one tensor for both, as a test shows.
        warnings.filterwarnings("ignore", ".*a tied layer is part of the adapter", UserWarning)
        # True of GPT-2's layers, and what peft then sets is right.
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to False", UserWarning)
        # Ranks of experts that are one tensor: they are looked for among layers, and hold.
        warnings.filterwarnings(
            "ignore", ".*(rank|alpha)_pattern keys did not match", RuntimeWarning
        )
        # A block that does not divide a layer's width is replaced by one that does.
        warnings.filterwarnings("ignore", ".*oft_block_size.*", UserWarning)
        try:
            yield
        except (ValueError, TypeError, NotImplementedError) as error:
            first = str(error).strip().splitlines()[0]
            raise CurateError(f"method: {name} does not go with this model: {first}") from error


def save(
    model: Any, folder: Path, config: TrainConfig, weights: dict[str, torch.Tensor] | None = None
) -> None:
    """What the method trains, as files in `folder`: a whole model, or adapters alone.

    Of a model whose weights are shared, `weights` are those that were gathered.
    """
    learns = METHODS[config.method].learns
    if learns == "weights":
        save_weights(model, folder, config, weights)
    elif config.method == "lora-xs":
        about = {"method": "lora-xs", "rank": config.lora_r, "alpha": config.lora_alpha}
        _save_ours(folder, weights or lora_xs.state(model), about)
    elif learns == "layers":
        about = {
            "method": config.method,
            "width": config.bottleneck_width,
            "activation": bottleneck.ACTIVATION,
            "base_model_name_or_path": _base_name(config.model),
        }
        _save_ours(folder, weights or bottleneck.state(model), about)
    else:
        tuned = model.tuned if is_prompted(model) else model
        _save_peft(tuned, folder, config.model, weights)


def _save_ours(folder: Path, learnt: dict[str, torch.Tensor], about: dict[str, Any]) -> None:
    """An adapter that peft does not know: what was learnt, and how it is put on a model."""
    from safetensors.torch import save_file

    save_file(learnt, folder / _TRAINED)
    (folder / "method.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _base_name(base: str) -> str:
    """The base as it is found from any working folder."""
    return str(Path(base).resolve()) if Path(base).is_dir() else base


def save_weights(
    model: Any, folder: Path, config: TrainConfig, weights: dict[str, Any] | None = None
) -> None:
    """A whole model in `folder`, or `weights` under its names."""
    whole.save(model, folder, config, weights)


def _save_peft(
    model: Any, folder: Path, base: str, weights: dict[str, torch.Tensor] | None
) -> None:
    # Embeddings are never trained whole here, and finding out would ask the hub.
    model.save_pretrained(folder, save_embedding_layers=False, state_dict=weights)
    (folder / "README.md").unlink(missing_ok=True)  # an empty form, not documentation
    path = folder / "adapter_config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    # Found from any working folder, and by no name that a file of the base gives.
    content["base_model_name_or_path"] = _base_name(base)
    # PEFT keeps the layers as a set, whose order changes from run to run.
    for key in ("target_modules", "feedforward_modules", "target_parameters"):
        if isinstance(content.get(key), list):
            content[key].sort()
    path.write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")


def load_into(model: Any, folder: Path, config: TrainConfig) -> None:
    """Put what `save` wrote into a model that `attach` made."""
    import torch
    from safetensors.torch import load_file

    if config.method == "lora-xs":
        saved = load_file(folder / _TRAINED)
        with torch.no_grad():
            for name, weight in lora_xs.state(model).items():
                weight.copy_(saved[name])
        return
    if METHODS[config.method].learns == "layers":
        bottleneck.put_into(model, load_file(folder / _TRAINED))
        return
    import peft

    tuned = model.tuned if is_prompted(model) else model
    peft.set_peft_model_state_dict(tuned, load_file(folder / _ADAPTER_WEIGHTS))


def merged(model: Any, config: TrainConfig) -> Any:
    """The plain model with its adapters in its weights; the adapted one is used up."""
    with evaluating(model), _explained(config.method):
        return lora_xs.merge(model) if config.method == "lora-xs" else model.merge_and_unload()


def load_prompted(base: Any, folder: Path, training: bool = False) -> Any:
    """A base model with the learnt prompt that lies in `folder`; it can go on in `training`."""
    import peft
    from safetensors.torch import load_file

    with _explained("prompt"):
        if not training:
            return prompted(peft.PeftModel.from_pretrained(base, folder))
        config = peft.PeftConfig.from_pretrained(str(folder))
        config.inference_mode = False
        if hasattr(config, "prompt_tuning_init"):
            # Its vectors are in the folder; a text to begin with would be read by a tokenizer.
            config.prompt_tuning_init = peft.PromptTuningInit.RANDOM
        tuned = peft.get_peft_model(base, config)
        peft.set_peft_model_state_dict(tuned, load_file(folder / _ADAPTER_WEIGHTS))
        return prompted(tuned)
