"""A tuned model beside its base on a text: what changed in each layer, and what came of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.base.errors import CurateError, some_of
from curate.base.folder import sha256
from trainer.after.geometry import spectrum
from trainer.after.geometry.blocks import Movement, Products
from trainer.after.geometry.layers import EPSILON, Second, linear_layers, reading, shift, upright
from trainer.checkpoints import adapters, put_on
from trainer.config.adapter_files import is_adapter
from trainer.data.general import read_general
from trainer.data.rows import Rows
from trainer.data.tokens import Limits
from trainer.models import model
from trainer.models.device import pick_device
from trainer.models.modes import evaluating
from trainer.models.sublayers import decoder_blocks

if TYPE_CHECKING:
    import torch

Log = Callable[[str], None]
_LONGEST = 1024  # tokens of a row: a longer document becomes several


@dataclasses.dataclass(frozen=True)
class LayerChange:
    """A linear layer of block `block` (from 1): how its weight changed.

    `size` is |D| / |W0|, for the change D of the weight W0. `relative` and `aligned` are those of
    `layers.Shift`, over what the base's layer reads. `lost` and `moved` are means over singular
    directions of what `spectrum.Profile` has of each, None where no spectrum was asked for or W0 is
    0, `effective_rank` where none was asked for or nothing changed, `spikiness` where none was.
    """

    block: int
    name: str
    size: float
    relative: float
    aligned: float
    lost: float | None = None
    moved: float | None = None
    effective_rank: float | None = None
    spikiness: float | None = None


@dataclasses.dataclass(frozen=True)
class BlockMovement:
    """What block number `block` (from 1) gives, beside what it gave in the base."""

    block: int
    movement: Movement


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """All tables: `layers` of weights, `blocks` of outputs, over `tokens` tokens of `texts`.

    `texts` are names and hashes of files. `notices` say what of it is to be taken with care.
    """

    source: str
    base: str
    texts: tuple[tuple[str, str], ...]
    tokens: int
    layers: tuple[LayerChange, ...]
    blocks: tuple[BlockMovement, ...]
    notices: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they are written to `diagnosis.json`."""
        return {
            "source": self.source,
            "base": self.base,
            "texts": [{"source": name, "sha256": digest} for name, digest in self.texts],
            "tokens": self.tokens,
            "blocks": [
                {"block": each.block, **dataclasses.asdict(each.movement)} for each in self.blocks
            ],
            "layers": [dataclasses.asdict(each) for each in self.layers],
            "notices": list(self.notices),
        }


def diagnose(
    source: str,
    texts: Sequence[str],
    *,
    base: str | None = None,
    tokens: int = 4096,
    spectra: bool = True,
    device: str = "auto",
    log: Log,
) -> Diagnosis:
    """The tables of the model in `source` beside its base, on up to `tokens` tokens of the texts.

    `source` is a CKPT, one of its epochs, or an adapter; `base` where it is not the one that these
    name. `texts` are general texts as those of `replay`, or TOKENS; each gives an equal share. Both
    models are read in fp32 and lie in memory together. Raises `CurateError` for a learnt prompt,
    for models whose layers do not match, and for texts that cannot be read.
    """
    if not texts:
        raise CurateError("name a text to read, in --text: a .txt or .jsonl file, or TOKENS")
    if tokens // len(texts) < 2:
        raise CurateError(
            f"--tokens is {tokens}, and {len(texts)} texts share them; expected 2 or more for each"
        )
    where = pick_device(device)
    name, tuned = _tuned(source, base, where)
    plain = model.load(name, where, "float32").eval()
    limits = _limits(name, source)
    rows = [_rows(name, text, limits, tokens // len(texts)) for text in texts]
    log(f"{source} beside {name}, {sum(len(one.input_ids) for one in rows):,} tokens")
    found = compare(plain, tuned, rows, spectra=spectra, log=log)
    names = tuple((text, _hash(text)) for text in texts)
    return dataclasses.replace(found, source=source, base=name, texts=names)


def compare(
    base: Any, tuned: Any, texts: Sequence[Rows], *, spectra: bool = True, log: Log
) -> Diagnosis:
    """The tables of a `tuned` model beside its `base`, both loaded, on rows of `texts`.

    Raises `CurateError` for models that are not built alike, and for less than four tokens.
    """
    blocks = decoder_blocks(base), decoder_blocks(tuned)
    if not blocks[0] or len(blocks[0]) != len(blocks[1]):
        raise CurateError(
            f"the blocks of {base.config.model_type} models are not one list of modules, or not as "
            "many in both, so nothing can be compared block by block"
        )
    kept, changes = _changes(*blocks)
    device = next(base.parameters()).device
    seconds = [Second(upright(layer).shape[1], device) for _, _, layer in kept]
    products = [Products(_width(base), device) for _ in blocks[0]]
    _memory(seconds, products, log)
    with evaluating(base), evaluating(tuned), reading([one[2] for one in kept], seconds):
        for ids in _passes(texts):
            pair = _outputs(base, blocks[0], ids), _outputs(tuned, blocks[1], ids)
            for number, (product, first, second) in enumerate(
                zip(products, *pair, strict=True), start=1
            ):
                _check_finite(f"what block {number} gives", first, second)
                product.add(first, second)
    if products[0].count < 4:
        raise CurateError("the texts have fewer than 4 tokens, which tell nothing")
    movements = tuple(
        BlockMovement(number, product.measured()) for number, product in enumerate(products, 1)
    )
    layers = tuple(
        _layer(block, name, change, layer, second, spectra)
        for (block, name, layer), change, second in zip(kept, changes, seconds, strict=True)
    )
    empty = [
        f"{name} of block {number + 1}" for number, name, layer in kept if not layer.weight.any()
    ]
    notices = _notices(layers, movements, products[0].count, empty)
    return Diagnosis("", "", (), products[0].count, layers, movements, tuple(notices))


def _tuned(source: str, base: str | None, device: torch.device) -> tuple[str, Any]:
    """The base's name, and the tuned model; of an adapter merged into it where that can be."""
    import torch

    folder = Path(source)
    if not folder.is_dir():
        raise CurateError(f"{source}: there is no such folder; name a CKPT or an adapter")
    if is_adapter(folder) and not (folder / "config.json").is_file():
        adapter = adapters.read(folder)
        if adapter.is_prompt:
            raise CurateError(
                f"{source}: is a learnt prompt, which changes no layer; there is nothing to compare"
            )
        name = adapters.base_of(adapter, base)
        net = put_on.put_on(model.load(name, torch.device("cpu"), "float32"), adapter)
        return name, (net if adapter.is_between else put_on.merged(net, adapter)).to(device).eval()
    run = adapters.run_of(folder)
    named = base or (None if run is None else adapters.base_of_run(run))
    if named is None:
        raise CurateError(f"{source}: does not say what it was trained from; name it with --model")
    for each in (source, named):
        model.check_source(each)
        model.read_limits(each)
    return named, model.load(source, device, "float32").eval()


def _limits(base: str, source: str) -> Limits:
    """What both models can read: a whole model may have fewer ids or positions than its base."""
    both = [model.read_limits(base)]
    if (Path(source) / "config.json").is_file():
        both.append(model.read_limits(source))
    positions = [each.positions for each in both if each.positions is not None]
    return dataclasses.replace(
        both[0],
        vocabulary=min(each.vocabulary for each in both),
        positions=min(positions, default=None),
    )


def _rows(base: str, text: str, limits: Limits, tokens: int) -> Rows:
    """The first rows of a text with about so many tokens."""
    if not Path(text).exists():
        raise CurateError(f"{text}: no such file or folder")
    rows = read_general(Path(text), model.read_tokenizer(base), limits, min(_LONGEST, tokens))
    count = max(1, int((np.cumsum(rows.lengths) <= tokens).sum()))
    end = int(rows.offsets[count])
    return dataclasses.replace(
        rows,
        ids=rows.ids[:count],
        input_ids=rows.input_ids[:end],
        labels=rows.labels[:end],
        targets=rows.targets[:end],
        offsets=rows.offsets[: count + 1],
        weights=None,
    )


def _hash(text: str) -> str:
    """The hash of a file; of TOKENS that of their manifest."""
    path = Path(text)
    return sha256(path / "manifest.json" if path.is_dir() else path)


def _changes(
    before: Sequence[Any], after: Sequence[Any]
) -> tuple[list[tuple[int, str, Any]], list[torch.Tensor]]:
    """The base's linear layers, and how the weight of each changed, fp32 [out, in]."""
    layers = linear_layers(before)
    others = {(number, name): layer for number, name, layer in linear_layers(after)}
    strange = [
        f"{name} of block {number + 1}"
        for number, name, layer in layers
        if (number, name) not in others or others[number, name].weight.shape != layer.weight.shape
    ]
    if strange:
        raise CurateError(
            f"the two models are not built alike: {some_of(strange)} is not in both, or not of one "
            "size; name the base that the other was trained from with --model"
        )
    changes = [
        (upright(others[number, name]) - upright(layer)).float() for number, name, layer in layers
    ]
    for (number, name, _), change in zip(layers, changes, strict=True):
        _check_finite(f"the change of {name} of block {number + 1}", change)
    return layers, changes


def _check_finite(what: str, *tensors: torch.Tensor) -> None:
    """Refuse numbers of which nothing can be measured."""
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        raise CurateError(
            f"{what} holds NaN or infinite values, in the tuned model or in its base, so nothing "
            "can be compared; take another epoch, or make the model again"
        )


def _width(net: Any) -> int:
    return int(net.config.get_text_config().hidden_size)


def _memory(seconds: Sequence[Second], products: Sequence[Products], log: Log) -> None:
    """Say what the sums take: they are all that is kept of the text."""
    held = sum(8 * second.sum.numel() for second in seconds)
    held += sum(6 * 8 * product.size**2 for product in products)
    log(f"{len(seconds)} linear layers, {len(products)} blocks: sums of {held / 1e6:,.1f} MB")


def _passes(texts: Sequence[Rows]) -> Iterator[Any]:
    for rows in texts:
        for number in range(len(rows)):
            yield rows.input_ids[rows.row(number)]


def _outputs(net: Any, blocks: Sequence[Any], ids: Any) -> list[torch.Tensor]:
    """What each block gives for a row of ids: [tokens, d] each."""
    import torch

    found: list[torch.Tensor] = []

    def keep(module: Any, inputs: Any, output: Any) -> None:
        states = output[0] if isinstance(output, tuple) else output
        found.append(states.detach().flatten(0, -2))

    handles = [block.register_forward_hook(keep) for block in blocks]
    try:
        device = next(net.parameters()).device
        net(input_ids=torch.from_numpy(ids)[None].to(device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _layer(
    block: int, name: str, change: torch.Tensor, layer: Any, second: Second, spectra: bool
) -> LayerChange:
    weight = upright(layer)
    moved = shift(change, weight, second.mean())
    # Squares of fp32 numbers need not be fp32 numbers.
    size = float(change.double().norm() / weight.double().norm().clamp_min(EPSILON))
    found = LayerChange(block + 1, name, size, moved.relative, moved.aligned)
    if not spectra:
        return found
    profile = spectrum.profile(change, weight)
    return dataclasses.replace(
        found,
        lost=float(np.mean(profile.lost)) if profile.lost else None,
        moved=float(np.mean(profile.moved)) if profile.moved else None,
        effective_rank=profile.effective_rank,
        spikiness=profile.spikiness,
    )


def _notices(
    layers: Sequence[LayerChange],
    blocks: Sequence[BlockMovement],
    tokens: int,
    empty: Sequence[str],
) -> list[str]:
    """What is to be taken with care."""
    lines = []
    if any(each.movement.is_doubtful for each in blocks):
        chance = blocks[0].movement.chance
        lines.append(
            f"plain CKA of {tokens:,} rows is about {chance:.2f} even of activations that have "
            "nothing to do with each other: read the debiased one, or more tokens"
        )
    if not any(each.size for each in layers):
        lines.append("no weight of a linear layer changed")
    if empty:
        lines.append(
            f"weights of the base that are all 0 ({some_of(empty)}) have no size that a change "
            "could be a share of: leave their rows aside"
        )
    return lines
