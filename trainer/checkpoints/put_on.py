"""An adapter put on its base: every weight of it has found its place, or it is refused."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from curate.base.errors import CurateError, some_of
from curate.base.progress import quiet_transformers
from trainer.checkpoints import adapters
from trainer.checkpoints.adapters import Adapter
from trainer.config.adapter_files import BOTTLENECKS, CONFIG, LORA_XS, METHOD
from trainer.config.config import TrainConfig
from trainer.models import adapt, bottleneck, lora_xs, vocabulary

Begun = Callable[[Mapping[str, Any]], None]
# Fields of peft by which an adapter begins as nothing where they are true.
_STARTS = ("init_weights", "init_lora_weights", "init_ia3_weights")


def with_method(net: Any, config: TrainConfig, new_rows: Sequence[int]) -> Any:
    """The model with what a run trains on it: made anew, or the adapter that it goes on from."""
    if config.from_adapter is None:
        return adapt.attach(net, config, new_rows)
    return put_on(net, adapters.find(config.from_adapter), config)


def put_on(
    net: Any,
    adapter: Adapter,
    training: TrainConfig | None = None,
    begun: Begun | None = None,
) -> Any:
    """The model with the adapter on it, every weight of which has found its place.

    It can be trained by the settings in `training`. The gradients of what is the adapter's are
    asked for either way; a learnt prompt's only for training. `begun` is given the adapter's
    weights by the names in its file as they are where it does nothing, before what was learnt is
    put in.

    Raises `CurateError` for an adapter of another base, with the first weight that does not fit.
    """
    from safetensors import SafetensorError

    # What files of others that are odd make peft and safetensors raise.
    odd = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, ImportError)
    try:
        return _put_on(net, adapter, training, begun)
    except (SafetensorError, *odd) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CurateError(f"{adapter.folder}: cannot be put on this base: {first}") from error


def _put_on(net: Any, adapter: Adapter, training: TrainConfig | None, begun: Begun | None) -> Any:
    import peft
    from safetensors.torch import load_file

    learnt = load_file(adapter.weights)
    _check_finite(adapter, learnt)
    if adapter.kind == LORA_XS:
        return _with_squares(net, adapter, learnt)
    if adapter.is_between:
        return _with_layers(net, adapter, learnt)
    if adapter.is_prompt:
        return adapt.load_prompted(net, adapter.folder, training is not None)
    _grow(net, adapter, learnt)
    # Only what the file says is known of it; peft warns of fields of other versions.
    config = peft.PeftConfig.from_pretrained(str(adapter.folder))
    config.inference_mode = False  # so that what is the adapter's is told by what can be trained
    if training is not None and hasattr(config, "lora_dropout"):
        config.lora_dropout = training.lora_dropout
    if begun is not None:
        for name in _STARTS:
            if hasattr(config, name):
                setattr(config, name, True)
    adapt.without_kernels()
    with quiet_transformers(), quiet():
        adapted = peft.get_peft_model(net, config)
        if begun is not None:
            begun(peft.get_peft_model_state_dict(adapted, save_embedding_layers=False))
        _load(adapted, adapter, learnt)
    return adapted


def _check_finite(adapter: Adapter, learnt: Mapping[str, Any]) -> None:
    for name, weight in learnt.items():
        if not bool(weight.isfinite().all()):
            raise CurateError(f"{adapter.weights}: {name} holds numbers that are not finite")


def _with_squares(net: Any, adapter: Adapter, learnt: Mapping[str, Any]) -> Any:
    import torch

    ending = ".lora_xs_square"
    layers = [name.removesuffix(ending) for name in learnt]
    known = {name for name, _ in net.named_modules()}
    if strange := [layer for layer in layers if layer not in known]:
        raise CurateError(_strangers(adapter, strange))
    rank, alpha = int(adapter.settings["rank"]), float(adapter.settings["alpha"])
    wrapped = lora_xs.wrap(net, layers, rank, alpha)
    own = lora_xs.state(wrapped)
    _check_shapes(adapter, learnt, own)
    with torch.no_grad():
        for name, weight in own.items():
            weight.copy_(learnt[name])
    return wrapped


def _with_layers(net: Any, adapter: Adapter, learnt: Mapping[str, Any]) -> Any:
    wrapped = bottleneck.wrap(net, BOTTLENECKS[adapter.kind], int(adapter.settings["width"]))
    own = bottleneck.state(wrapped)
    if strange := sorted(learnt.keys() - own.keys()):
        raise CurateError(_strangers(adapter, strange))
    _check_names(adapter, learnt, own)
    _check_shapes(adapter, learnt, own)
    bottleneck.put_into(wrapped, learnt)
    return wrapped


def _grow(net: Any, adapter: Adapter, learnt: Mapping[str, Any]) -> None:
    """Give the base rows for tokens that were added to it; the adapter holds what is in them."""
    trained = adapter.rows
    rows = net.get_input_embeddings().weight.shape[0]
    names = {id(module): name for name, module in net.named_modules()}
    embedding = f"base_model.model.{names[id(net.get_input_embeddings())]}.weight"
    saved = learnt[embedding].shape[0] if embedding in learnt else rows
    size = max([rows, saved, *(number + 1 for number in trained)])
    beyond = range(rows, size)
    if saved < size and (lacking := sorted(set(beyond) - set(trained))):
        raise CurateError(
            f"{adapter.folder}: has a row for token {size - 1} and none for {lacking[0]}, which "
            f"this base lacks too (it has {rows} rows); name the base that it was trained on"
        )
    if beyond:
        added = {str(number): number for number in beyond}
        vocabulary.grow(net, vocabulary.Vocabulary(size, added, added))


def _load(adapted: Any, adapter: Adapter, learnt: Mapping[str, Any]) -> None:
    """Put what was learnt into its places; none may be left over or empty."""
    import peft

    own = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    expected = peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)
    try:
        result = peft.set_peft_model_state_dict(adapted, dict(learnt))
    except (RuntimeError, LookupError) as error:
        _check_shapes(adapter, learnt, expected)
        _check_names(adapter, learnt, expected)
        first = str(error).strip().splitlines()[0]
        raise CurateError(f"{adapter.folder}: does not fit this base: {first}") from error
    if result.unexpected_keys:
        raise CurateError(_strangers(adapter, result.unexpected_keys))
    if empty := sorted(own & set(result.missing_keys)):
        raise CurateError(
            f"{adapter.weights}: lacks {len(empty):,} of the weights that {CONFIG} speaks of "
            f"({some_of(empty)}); is it whole, and for this base?"
        )


def _strangers(adapter: Adapter, names: Iterable[str]) -> str:
    shown = list(names)
    return (
        f"{adapter.weights}: has weights for {some_of(shown)}, and this base has no such layers; "
        "it was trained on another base, so name that one with --model"
    )


def _check_names(adapter: Adapter, learnt: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    if lacking := sorted(expected.keys() - learnt.keys()):
        raise CurateError(
            f"{adapter.weights}: lacks {some_of(lacking)}, of which "
            f"{METHOD if adapter.is_between else CONFIG} speaks; is it whole, and for this base?"
        )


def _check_shapes(adapter: Adapter, learnt: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse a weight of another shape: of another rank than the settings, or of another base."""
    for name, weight in learnt.items():
        if name not in expected or weight.shape == expected[name].shape:
            continue
        got, wanted = tuple(weight.shape), tuple(expected[name].shape)
        axis = 0 if ".lora_A." in name else 1
        if ".lora_" in name and len(got) == len(wanted) == 2 and got[axis] != wanted[axis]:
            raise CurateError(
                f"{adapter.weights}: {name} is of rank {got[axis]}, and by {CONFIG} it would be of "
                f"rank {wanted[axis]}; the two files are not of the same adapter"
            )
        raise CurateError(
            f"{adapter.weights}: {name} is {_shown(got)}, and on this base it would be "
            f"{_shown(wanted)}; it was trained on another base, so name that one with --model"
        )


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or str(math.prod(shape))


def merged(adapted: Any, adapter: Adapter) -> Any:
    """The plain model with the adapter in its weights; the adapted one is used up.

    Raises `CurateError` for a kind that cannot be merged.
    """
    if adapter.is_between:
        raise CurateError(
            f"{adapter.folder}: is {adapter.kind.capitalize()} adapters: layers between those of "
            "the base, which no weight of the base can hold; curate chat and curate eval put them "
            "on their base"
        )
    if adapter.is_prompt:
        raise CurateError(
            f"{adapter.folder}: is a learnt prompt ({adapter.kind}): vectors before the first "
            "token, which no weight of the base can hold; load it on its base with "
            "peft.AutoPeftModelForCausalLM"
        )
    if adapter.kind == LORA_XS:
        return lora_xs.merge(adapted)
    if not hasattr(adapted, "merge_and_unload"):
        raise CurateError(f"{adapter.folder}: peft cannot merge adapters of kind {adapter.kind}")
    if adapter.settings.get("layer_replication"):
        raise CurateError(
            f"{adapter.folder}: repeats layers of its base (layer_replication) and changes each in "
            "its own way, which the layers of the base cannot hold; load it on its base with peft"
        )
    import torch

    try:
        with quiet():
            return adapted.merge_and_unload()
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CurateError(
            f"{adapter.folder}: peft cannot merge it: {reason}; load it on its base with peft"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without peft's warnings: places are checked here, and what a merge gives by who merges."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
