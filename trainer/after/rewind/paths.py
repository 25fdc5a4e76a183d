"""The two kinds of paths: an adapter's own numbers, and the straight line between whole weights.

Each sets its model to any place between the base (0) and the checkpoint (1), exact at both ends.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from curate.base.errors import CurateError, brief
from trainer.after.rewind.scales import Scale
from trainer.after.rewind.source import Source
from trainer.checkpoints import adapters, companions, put_on
from trainer.config.adapter_files import CONFIG, LORA_XS
from trainer.config.config import TrainConfig
from trainer.models import lora_xs, model, vocabulary, weights

if TYPE_CHECKING:
    import torch

Weights = Mapping[str, Any]
Shapes = Mapping[str, tuple[int, ...]]

# Weights of adapters by what they do, as parts of their names. A rotation is the Cayley transform
# of what is stored, and sqrt(alpha) times that is the path of PEFT-Arena (arXiv 2605.28819). What
# is added is linear in the first of two factors; the second stays.
_ROTATIONS = (".oft_R", ".boft_R")
_ADDED = (".lora_B", ".lora_embedding_B", ".vera_lambda_b", ".lora_xs_square")
_FIXED = (".lora_A", ".lora_embedding_A", ".vera_lambda_d", ".vera_A", ".vera_B", ".base_layer.")
# Of all others the line between what they are in the base and what was learnt is taken. These act
# through a layer's weight, so how far they move it is seen there.
_IN_LAYERS = (".lora_magnitude_vector", ".ia3_l", ".boft_s")
_DAMAGED = "cannot be read as safetensors; copy it anew or, of an epoch, move its folder away"


class WeightPath(Protocol):
    """A model that can stand anywhere between base and checkpoint.

    `form` is what `write` leaves: an adapter again, or whole weights.
    """

    net: Any
    form: Literal["adapter", "weights"]

    def to(self, scale: Scale) -> None:
        """Set the model to a part of the way."""

    def check_epoch(self, folder: Path) -> None:
        """Raise `CurateError` for a kept checkpoint that is damaged, or of another model."""

    def to_epoch(self, folder: Path) -> None:
        """Set the model to a checkpoint that was kept while training."""

    def moved(self) -> tuple[float, float]:
        """The norm of the weights' difference from the base, and that of those weights there."""

    def write(self, folder: Path) -> None:
        """Save the model as it stands, with its tokenizer, template and stops."""


def path_of(source: Source, device: torch.device) -> WeightPath:
    """The path of a checkpoint, its model loaded in fp32. Raises `CurateError`."""
    return WholePath(source, device) if source.adapter is None else AdapterPath(source, device)


class AdapterPath:
    """An adapter on its base; its numbers are scaled."""

    form: Literal["adapter", "weights"]

    def __init__(self, source: Source, device: torch.device) -> None:
        assert source.adapter is not None
        self.source, self.adapter = source, source.adapter
        # The file of LoRA-XS names no base, so alone it is of no use.
        self.form = "weights" if self.adapter.kind == LORA_XS else "adapter"
        self.start: dict[str, Any] = {}
        self.learnt: Weights = _learnt(self.adapter.weights)
        self.now: Weights = self.learnt

        def keep(start: Weights) -> None:
            self.start = {name: weight.detach().clone() for name, weight in start.items()}

        net = model.load(source.base, device)
        model.use_threads(net, device)
        self.net = put_on.put_on(net, self.adapter, begun=keep).to(device).eval()
        for name in self.learnt:
            _check_known(self.adapter, name, self.start)

    def to(self, scale: Scale) -> None:
        """Set the model to a part of the way."""
        self._put({name: self._scaled(name, scale.of(name)) for name in self.learnt})

    def to_epoch(self, folder: Path) -> None:
        """Set the model to an earlier state of the same adapter."""
        self._put(self._epoch(folder))

    def check_epoch(self, folder: Path) -> None:
        """Raise `CurateError` for what is no earlier state of the same adapter."""
        self._epoch(folder)

    def _epoch(self, folder: Path) -> Weights:
        kept = _learnt(folder / self.adapter.weights.name)
        for name in sorted({*kept} | {*self.learnt}):
            own, there = (_shape(each.get(name)) for each in (self.learnt, kept))
            if own != there:
                raise CurateError(
                    f"{folder}: holds another adapter than {self.adapter.folder}: {name} is "
                    f"{there} in the one and {own} in the other; move that epoch away"
                )
        return kept

    def _scaled(self, name: str, part: float) -> torch.Tensor:
        import torch

        learnt: torch.Tensor = self.learnt[name]
        if _is(name, _FIXED):
            return learnt.clone()
        if _is(name, _ROTATIONS):
            return learnt * math.sqrt(part)
        if _is(name, _ADDED):
            return learnt * part
        return torch.lerp(self.start[name].to(learnt), learnt, part)

    def _put(self, wanted: Weights) -> None:
        import peft
        import torch

        self.now = wanted
        if self.adapter.kind == LORA_XS:
            with torch.no_grad():
                for name, weight in lora_xs.state(self.net).items():
                    weight.copy_(wanted[name])
            return
        with put_on.quiet():
            peft.set_peft_model_state_dict(self.net, dict(wanted))

    def moved(self) -> tuple[float, float]:
        """The norm of the weights' difference from the base, and that of those weights there."""
        import torch

        with torch.no_grad():
            parts = [*_moved_layers(self.net), *self._moved_weights()]
        moved, there = (math.sqrt(sum(each)) for each in zip(*parts, strict=True))
        return moved, there

    def _moved_weights(self) -> Iterator[tuple[float, float]]:
        """Squares of weights that stand in place of the base's own: norms, rows, whole layers."""
        through_layers = (*_ROTATIONS, *_ADDED, *_FIXED, *_IN_LAYERS)
        for name, weight in self.now.items():
            if not _is(name, through_layers):
                start = self.start[name].to(weight)
                yield _square(weight - start), _square(start)

    def write(self, folder: Path) -> None:
        """Save the adapter as it stands, or the base with it in its weights."""
        own = self.adapter
        generates = True
        if self.form == "weights":
            net = put_on.merged(self.net, own)
            config = _config(own.folder, self.source, folder)
            weights.save(net, folder, config)
        else:
            from safetensors.torch import save_file

            held = {name: weight.contiguous() for name, weight in self.now.items()}
            save_file(held, folder / adapters.WEIGHTS, metadata={"format": "pt"})
            base = self.source.base
            place = str(Path(base).resolve()) if Path(base).is_dir() else base
            about = {**own.settings, "base_model_name_or_path": place}
            text = json.dumps(about, indent=2, sort_keys=True)
            (folder / CONFIG).write_text(text, encoding="utf-8")
        companions.complete_from(folder, own.folders(self.source.base), generates)


class WholePath:
    """A whole model, its weights on the straight line to those of its base (WiSE-FT).

    One copy is in memory: both ends are read from their files, weight by weight.
    """

    form: Literal["adapter", "weights"] = "weights"

    def __init__(self, source: Source, device: torch.device) -> None:
        import torch

        self.source = source
        cpu = torch.device("cpu")
        tuned = str(source.folder)
        self.net = model.load(tuned, cpu)
        rows = self.net.get_input_embeddings().weight.shape[0]
        self.tuned = _Stored(tuned, self.net)
        shapes = _shapes(self.net)
        del self.net
        base = model.load(source.base, cpu)
        known = base.get_input_embeddings().weight.shape[0]
        if rows > known:
            added = {str(number): number for number in range(known, rows)}
            vocabulary.grow(base, vocabulary.Vocabulary(rows, added, added))
        self.base = _Stored(source.base, base)
        _check_base(source, shapes, _shapes(base))
        # Of the two, the checkpoint's configuration is the one that the model goes by.
        del base
        self.net = model.load(tuned, cpu).to(device).eval()
        model.use_threads(self.net, device)
        self.distance = (0.0, 0.0)

    def to(self, scale: Scale) -> None:
        """Set the model to a part of the way."""
        self._set(self.tuned, scale.of)

    def to_epoch(self, folder: Path) -> None:
        """Set the model to another whole checkpoint of the run."""
        self._set(self._epoch(folder), lambda _: 1.0)

    def check_epoch(self, folder: Path) -> None:
        """Raise `CurateError` for a folder whose files hold another model, or none."""
        self._places(folder)

    def _epoch(self, folder: Path) -> _Stored:
        import torch

        if self.tuned.kept:
            # What files hold in parts or in another form is only known by loading it.
            other = model.load(str(folder), torch.device("cpu"))
            if difference := _difference(_shapes(other), _shapes(self.net)):
                raise CurateError(f"{folder}: is no epoch of {self.source.folder}: {difference}")
            return _Stored(str(folder), other)
        return _Stored.of_places(self._places(folder))

    def _places(self, folder: Path) -> Mapping[str, weights.Tensor]:
        from safetensors import SafetensorError

        try:
            places = weights.stored(str(folder), self.net) if folder.is_dir() else {}
        except (SafetensorError, OSError) as error:
            raise CurateError(f"{folder}: {_DAMAGED} ({brief(str(error))})") from error
        names = [name for name, _ in self.net.named_parameters() if name in self.tuned.places]
        if lacking := [name for name in names if name not in places]:
            raise CurateError(
                f"{folder}: lacks {lacking[0]} as {self.source.folder} has it; move that epoch away"
            )
        return places

    def _set(self, end: _Stored, part_of: Callable[[str], float]) -> None:
        import torch

        moved = norm = 0.0
        with torch.no_grad():
            for name, weight in self.net.named_parameters():
                start = self.base.read(name).float()
                value = torch.lerp(start, end.read(name).float(), part_of(name))
                moved += _square(value - start)
                norm += _square(start)
                weight.copy_(value)
        self.distance = math.sqrt(moved), math.sqrt(norm)

    def moved(self) -> tuple[float, float]:
        """The norm of the weights' difference from the base, and that of the base's weights."""
        return self.distance

    def write(self, folder: Path) -> None:
        """Save the whole model as it stands."""
        source = self.source
        weights.save(self.net, folder, _config(source.folder, source, folder))
        base = weights.local_folder(source.base)
        run = [] if source.run is None else [source.run]
        companions.complete_from(folder, [source.folder, *run, base], True)


class _Stored:
    """The weights of a model in its files; in memory only what they hold in another form."""

    def __init__(self, name: str, net: Any) -> None:
        import torch

        self.places = weights.stored(name, net)
        self.kept: dict[str, Any] = {}
        for key, weight in net.named_parameters():
            place = self.places.get(key)
            if place is None or not torch.equal(place.read().to(weight), weight.detach()):
                self.kept[key] = weight.detach().clone()

    @classmethod
    def of_places(cls, places: Mapping[str, weights.Tensor]) -> _Stored:
        """Weights that files hold as they are, whose model need not be loaded."""
        made = cls.__new__(cls)
        made.places, made.kept = dict(places), {}
        return made

    def read(self, name: str) -> torch.Tensor:
        """A weight."""
        found: torch.Tensor = self.kept[name] if name in self.kept else self.places[name].read()
        return found


def _learnt(file: Path) -> Weights:
    """What an adapter's file holds, by name."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise CurateError(f"{file}: {_DAMAGED} ({brief(str(error))})") from error


def _shape(weight: torch.Tensor | None) -> str:
    return _shown(None if weight is None else tuple(weight.shape))


def _is(name: str, parts: tuple[str, ...]) -> bool:
    dotted = f".{name}"
    return any(part in dotted for part in parts)


def _square(weight: torch.Tensor) -> float:
    return float(weight.detach().double().square().sum())


def _check_known(adapter: adapters.Adapter, name: str, start: Weights) -> None:
    if not _is(name, (*_ROTATIONS, *_ADDED, *_FIXED)) and name not in start:
        raise CurateError(
            f"{adapter.weights}: holds {name}, which is nothing in the base that a path could "
            "begin at; merge it with curate merge, and rewind the whole model with --model BASE"
        )


def _shapes(net: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in net.named_parameters()}


def _check_base(source: Source, shapes: Shapes, own: Shapes) -> None:
    """Raise `CurateError` for a base that is built otherwise than the checkpoint."""
    if difference := _difference(shapes, own):
        raise CurateError(
            f"{source.name}: was not trained from {source.base}: {difference}; name its base with "
            "--model"
        )


def _difference(one: Shapes, other: Shapes) -> str | None:
    """The first weight of which two models have not the same, in words."""
    names = sorted(name for name in {*one} | {*other} if one.get(name) != other.get(name))
    if not names:
        return None
    here, there = (_shown(each.get(names[0])) for each in (one, other))
    return f"{names[0]} is {here} in the one and {there} in the other"


def _shown(shape: tuple[int, ...] | None) -> str:
    return "not there" if shape is None else " x ".join(map(str, shape))


def _config(tokens: Path, source: Source, out: Path) -> TrainConfig:
    """What saving asks for: the base, and the number format that the run saved in."""
    dtype = source.settings.get("save_dtype", "base")
    return TrainConfig(tokens=str(tokens), model=source.base, out=str(out), save_dtype=dtype)


def _moved_layers(net: Any) -> Iterator[tuple[float, float]]:
    """Squares of what each adapted layer's weights differ from the base's, and of those.

    A layer is merged and given back its weights, one after the other.
    """
    from peft.tuners.ln_tuning.layer import LNTuningLayer
    from peft.tuners.trainable_tokens import TrainableTokensLayer
    from peft.tuners.tuners_utils import BaseTunerLayer

    for layer in net.modules():
        if hasattr(layer, "lora_xs_square"):
            yield _square(layer.change()), _square(layer.base.weight)
        is_layer = isinstance(layer, BaseTunerLayer) and hasattr(layer, "merge")
        if not is_layer or isinstance(layer, LNTuningLayer | TrainableTokensLayer):
            continue
        own = dict(layer.get_base_layer().named_parameters(recurse=False))
        before = {name: weight.data.clone() for name, weight in own.items()}
        layer.merge()
        layer.merged_adapters.clear()
        for name, weight in layer.get_base_layer().named_parameters(recurse=False):
            yield _square(weight.data - before[name]), _square(before[name])
            weight.data = before[name]
