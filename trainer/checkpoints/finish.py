"""The end of a run: the chosen epoch becomes the model, is loaded back, and is written up."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError
from curate.base.folder import write_atomic
from trainer.checkpoints import adapters, checkpoint, companions, place, put_on
from trainer.distributed import ALONE, Group
from trainer.evaluation import curves
from trainer.models import adapt, model, sharding, vocabulary
from trainer.plan import Plan
from trainer.result import Epoch, Evaluation, Sample, TrainResult

# The saved model, loaded anew, must have the held-out loss its epoch was chosen for, to within
# this many nats: merging adapters rounds, anything larger means that other weights were saved.
_SAVED_TOLERANCE = 1e-3
_COARSE_TOLERANCE = 0.1


def save_chosen(plan: Plan, net: Any, out: Path, epoch: int, group: Group = ALONE) -> Any:
    """Put the chosen epoch at the top of `out` and return it as loaded from there.

    The first process writes; where weights are shared all others come here too, and wait for it.
    """
    import torch

    config, device = plan.config, next(net.parameters()).device
    if group.first:
        _publish(plan, net, out, epoch)
    if group.sharded:
        group.shared(None)
    if config.learns == "prompt":
        return adapt.load_prompted(model.load(config.model, device, config.dtype), out)
    if config.learns == "layers":
        return _with_layers(plan, out, device, group)
    where = torch.device("cpu") if group.sharded else device
    tuned = model.load(str(out), where, config.dtype, objective=config.objective)
    return sharding.shard(tuned, device) if group.sharded else tuned


def _with_layers(plan: Plan, out: Path, device: Any, group: Group) -> Any:
    """The base with the layers that lie in `out`, as anyone would load it."""
    import torch

    config = plan.config
    where = torch.device("cpu") if group.sharded else device
    base = model.load(config.model, where, config.dtype, config.load_in_4bit)
    tuned = put_on.put_on(base, adapters.read(out))
    return sharding.shard(tuned, device) if group.sharded else tuned


def _publish(plan: Plan, net: Any, out: Path, epoch: int) -> None:
    """Put the chosen epoch at the top of `out`.

    Adapters are merged into the weights; they are also kept, in the folder `adapter`. A learnt
    prompt cannot be merged: it lies at the top itself, and `peft` puts it on its base. So do layers
    between those of the base, which `curate chat` and `curate eval` put there.
    """
    config = plan.config
    kept = checkpoint.epoch_folder(out, epoch)
    with checkpoint.whole_folder(out / "model") as folder:
        if config.learns == "adapter":
            adapt.save_weights(_merged(plan, net, kept), folder, config)
            companions.complete(folder, plan)
        else:
            shutil.copytree(kept, folder, dirs_exist_ok=True)
    if config.learns == "adapter":
        with checkpoint.whole_folder(out / "adapter") as folder:
            shutil.copytree(kept, folder, dirs_exist_ok=True)
    checkpoint.publish(out / "model", out)


def _merged(plan: Plan, net: Any, kept: Path) -> Any:
    """The plain model with an epoch's adapters in it.

    A 4-bit base is loaded whole for that, and one whose weights are shared, on the CPU.
    """
    import torch

    config, device = plan.config, next(net.parameters()).device
    if config.load_in_4bit or sharding.is_sharded(net):
        device = torch.device("cpu") if sharding.is_sharded(net) else device
        net = model.load(config.model, device, config.dtype, objective=config.objective)
        if plan.rejected is not None:
            vocabulary.pad_with(net, plan.words)
        vocabulary.grow(net, plan.words)
        net = put_on.with_method(net, config, plan.words.rows)
    adapt.load_into(net, kept, config)
    return adapt.merged(net, config)


def check_saved(plan: Plan, out: Path, chosen: Epoch, after: Evaluation | None) -> None:
    """Refuse to call a run done whose saved weights are not the ones that were chosen."""
    config = plan.config
    # Saving in a shorter format, or merging into bfloat16, rounds every weight; and a merged 4-bit
    # base is no longer 4-bit.
    is_merged = config.learns == "adapter"
    coarse = config.load_in_4bit or (is_merged and config.dtype != "float32")
    coarse = coarse or _is_shorter(out, config.dtype)
    tolerance = _COARSE_TOLERANCE if coarse else _SAVED_TOLERANCE
    if chosen.held_out is None or after is None:
        return
    if not abs(after.loss - chosen.held_out.loss) <= tolerance * max(1.0, abs(after.loss)):
        raise CurateError(
            f"{out}: the saved model has held-out loss {after.loss:.4f}, but epoch "
            f"{chosen.epoch} had {chosen.held_out.loss:.4f}; use epochs/epoch-{chosen.epoch}"
        )


def _is_shorter(out: Path, dtype: str) -> bool:
    """Whether a whole model was saved in fewer bits than those it was trained in."""
    path = out / "config.json"
    saved = json.loads(path.read_text(encoding="utf-8"))["dtype"] if path.is_file() else dtype
    return bool(saved != dtype and saved != "float32")


def describe(plan: Plan, out: Path, status: str, more: dict[str, Any] | None = None) -> None:
    """Write `train.json`: what was run on what, with which versions, and how it went."""
    manifest, template = plan.tokens.manifest, plan.tokens.manifest.get("template")
    checkpoint.write_json(
        out / place.MARKER,
        {
            "writer": place.WRITER,
            "status": status,
            "config": dataclasses.asdict(plan.config),
            "tokens": {
                "manifest_sha256": plan.tokens.manifest_hash,
                "tokenizer": manifest.get("tokenizer"),
                # Its name and hash, without its text.
                "template": template
                and {name: template.get(name) for name in ("name", "origin", "hash")},
                "counts": manifest.get("counts"),
                "stop": manifest.get("stop"),
            },
            "rows": {
                "train": len(plan.train),
                "held_out": [plan.tokens.rows.ids[row] for row in plan.held_out.tolist()],
            },
            "steps": plan.steps,
            "from_adapter_sha256": adapters.identity(plan.config.from_adapter),
            "length_target": dataclasses.asdict(plan.length) if plan.config.prompts else None,
            "versions": _versions(),
            **(more or {}),
        },
    )


@functools.cache
def _versions() -> dict[str, str]:
    libraries = ("torch", "transformers", "peft", "safetensors", "datasets", "numpy")
    return {name: version(name) for name in libraries}


def stopped(plan: Plan, out: Path, error: CurateError | OSError) -> CurateError:
    """The error to raise for a run that did not end, after a note of it in `train.json`."""
    shown = error if isinstance(error, CurateError) else CurateError(_unwritten(out, error))
    # On a full disk the note fails like everything else, and the first error is the one to show.
    with contextlib.suppress(OSError):
        describe(plan, out, f"stopped: {shown}")
    return shown


def _unwritten(out: Path, error: OSError) -> str:
    return (
        f"{out}: could not be written ({error}); {checkpoint.last_good(out)}; check the free "
        "space, the greatest size of a file (ulimit -f) and the folder's rights, then go on with "
        "--resume"
    )


def write_results(result: TrainResult) -> None:
    """Samples and the picture; `train.json` follows last, when everything else is there."""
    out = result.out
    checkpoint.write_json(out / "samples.json", [_readable(sample) for sample in result.samples])
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    points = [json.loads(line) for line in lines]
    steps = [(point["step"], point["loss"]) for point in points if not point.get("eval")]
    penalties = [(point["step"], point["penalty"]) for point in points if "penalty" in point]
    picture = curves.draw(steps, result.table, result.epoch, penalties)
    write_atomic(out / "curves.svg", picture)


def _readable(sample: Sample) -> dict[str, Any]:
    """A sample for people: ids only where there is no text."""
    both = {"before": sample.before, "after": sample.after}
    if sample.prompt is None:
        return dataclasses.asdict(sample)
    return {
        "id": sample.id,
        "prompt": sample.prompt,
        "expected": sample.expected,
        **{when: {"text": one.text, "stopped": one.stopped} for when, one in both.items()},
    }
