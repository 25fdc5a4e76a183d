"""An adapter merged into its base: a whole model that plain transformers loads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError
from curate.base.extras import require
from curate.base.folder import atomic_folder, sha256, write_manifest, writing
from curate.base.replacing import Kind, check_replaced
from curate.base.terminal import show
from curate.base.version import __version__
from trainer.checkpoints import adapters, companions, put_on
from trainer.config.config import TrainConfig
from trainer.models import model, weights
from trainer.models.modes import evaluating

if TYPE_CHECKING:
    import torch

MAKER = "curate merge"
# The merged model must give the logits of base and adapter, to this part of the largest of them:
# in fp32 rounding is a thousandth of that.
_TOLERANCE = 1e-3
_PROBE = 16  # tokens


@dataclasses.dataclass(frozen=True)
class Merged:
    """A merge that was written to `out`.

    `change` is the largest change of a logit by the adapter, over a few tokens, and `error` the
    largest difference between the merged model and the base with the adapter on it.
    """

    out: Path
    adapter: str
    base: str
    change: float
    error: float


def merge(
    source: str,
    out: str,
    *,
    epoch: int | None = None,
    adapter: str | None = None,
    model: str | None = None,
    force: bool = False,
    log: Callable[[str], None] = show,
) -> Merged:
    """Merge an adapter into its base and write a whole model with its tokenizer and stops.

    `source` is a CKPT (its chosen epoch, or `epoch`), or an adapter's folder of peft; `adapter`
    names a folder to be put on the model in `source` instead. `model` is the base where it is not
    the one that the adapter names. Numbers are added in fp32 and saved in the base's format.
    Raises `CurateError` for what cannot be merged, and for an `out` that holds something else.
    """
    require("merging", "train", "torch", "transformers", "peft")
    if epoch is not None and adapter is not None:
        raise CurateError("give an epoch of CKPT or the folder of an adapter, not both")
    found = adapters.find(source, epoch, adapter)
    if found.is_prompt or found.is_between:
        put_on.merged(None, found)  # says why it cannot be merged, before anything is loaded
    base = adapters.base_of(found, model or _model_in(source, found, adapter))
    about = _about(found, base)
    inputs = [str(found.folder), *([base] if Path(base).is_dir() else [])]
    kind = Kind(MAKER, "merge", lambda manifest: {"": _settings(manifest)})
    with atomic_folder(out, MAKER, force, inputs) as folder:
        if replaced := check_replaced(out, kind, about, force):
            log(replaced)
        log(f"merging {found} into {base}")
        if found.base is not None and not adapters.is_same(found.base, base):
            log(f"the adapter names {found.base} as its base, and not this one")
        net, change, error = _merged(found, base)
        with writing(out), weights.failures_as_os_errors():
            config = TrainConfig(
                tokens=str(found.folder), model=base, out=str(out), objective=found.objective
            )
            weights.save(net, folder, config)
            companions.complete_from(folder, found.folders(base), found.objective != "reward")
            write_manifest(folder, MAKER, about)
    done = Merged(Path(out), str(found.folder), base, change, error)
    log(_outcome(done))
    return done


def _model_in(source: str, found: adapters.Adapter, adapter: str | None) -> str | None:
    """The model in `source`, where an adapter from elsewhere is to be put on it.

    Raises `CurateError` where that is not what the adapter was trained on: it would be added to
    weights that may hold it already.
    """
    if adapter is None or found.folder.resolve().is_relative_to(Path(source).resolve()):
        return None
    named = found.base
    tuned_from = adapters.base_of_run(Path(source))
    is_elsewhere = (
        named is not None and Path(named).is_dir() and not adapters.is_same(named, source)
    )
    if is_elsewhere or (named is not None and named == tuned_from):
        raise CurateError(
            f"{adapter}: was trained on {named}, not on {source}; name the base that is meant "
            "with --model"
        )
    return source


def _about(found: adapters.Adapter, base: str) -> dict[str, Any]:
    """What the manifest says of the merge."""
    return {
        "version": __version__,
        "sources": [{"source": str(found.folder), "sha256": sha256(found.weights)}],
        "base": str(Path(base).resolve()) if Path(base).is_dir() else base,
        "kind": found.kind,
    }


def _settings(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    return {name: str(manifest.get(name)) for name in ("base", "kind")}


def _merged(found: adapters.Adapter, base: str) -> tuple[Any, float, float]:
    """The merged model, how far the adapter moves a logit, and how far merging does."""
    import torch

    net = model.load(base, torch.device("cpu"), "float32", objective=found.objective).eval()
    ids = _ids(net)
    before = _logits(net, ids)
    adapted = put_on.put_on(net, found)
    after = _logits(adapted, ids)
    shared = min(before.shape[-1], after.shape[-1])
    change = float((after[..., :shared] - before[..., :shared]).abs().max())
    if after.shape[-1] > before.shape[-1]:  # tokens were added: the last of them is asked too
        ids = torch.cat([ids, torch.tensor([[after.shape[-1] - 1]])], dim=1)
    wanted = _logits(adapted, ids)
    net = put_on.merged(adapted, found)
    got = _logits(net, ids)
    error, size = float((got - wanted).abs().max()), float(wanted.abs().max())
    if not error <= _TOLERANCE * max(size, 1e-6):
        raise CurateError(
            f"{found.folder}: merged, a logit is off by {error:.2g} of {size:.2g}, so the weights "
            "do not hold what the adapter does (it may change layers that are tied to others); "
            "load it on its base with peft instead"
        )
    return net, change, error


def _ids(net: Any) -> torch.Tensor:
    """A few tokens that every model here has, spread over its vocabulary."""
    import torch

    rows = int(net.get_input_embeddings().weight.shape[0])
    return (torch.arange(_PROBE) * max(1, rows // _PROBE) % rows).unsqueeze(0)


def _logits(net: Any, ids: torch.Tensor) -> torch.Tensor:
    with evaluating(net):
        logits: torch.Tensor = net(input_ids=ids).logits.float()
    return logits


def _outcome(done: Merged) -> str:
    if done.change == 0:
        return "the adapter changes nothing: the merged model is its base"
    return (
        f"merged: the adapter moves a logit by up to {done.change:.3g}, and the merged model gives "
        f"its logits to {done.error:.1g}"
    )
