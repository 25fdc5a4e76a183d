"""The model on its device with all that training adds to it, and how its loss is computed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.base.errors import CurateError, some_of
from trainer import packing
from trainer.checkpoints import companions, put_on
from trainer.checks import anchoring, reference
from trainer.checks.causal import check_causal
from trainer.checks.finite import check_base
from trainer.checks.proof import prove
from trainer.config.config import TrainConfig
from trainer.config.methods import METHODS
from trainer.data.batches import pad
from trainer.distributed import ALONE, Group
from trainer.loss import LossMode, head_is_plain
from trainer.models import model, precision, routers, sharding, targets, vocabulary, weights
from trainer.models.device import device_name, pick_device, put
from trainer.models.dropout import add_residual_dropout
from trainer.models.modes import plain
from trainer.models.neftune import add_noise
from trainer.models.prompted import is_prompted
from trainer.objectives import teachers
from trainer.plan import Log, Plan

if TYPE_CHECKING:
    import torch


def ready(plan: Plan, device: torch.device, log: Log, group: Group = ALONE) -> Any:
    """Load, give rows to added tokens, put adapters and noise on; in training mode.

    Where processes share the weights each loads all of them on the CPU and keeps its share.
    """
    import torch

    place = torch.device("cpu") if group.sharded else device
    config, words = plan.config, plan.words
    log(f"loading model {config.model}")
    torch.manual_seed(config.seed)  # a reward model's head is drawn when it is loaded
    net = model.load(config.model, place, config.dtype, config.load_in_4bit, config.objective)
    if group.first or not group.sharded:  # of shared weights one reading of all is enough
        check_base(net, config.model)
        check_causal(net, config.model)
    _check_base(plan, net, log)
    if plan.rejected is not None:
        vocabulary.pad_with(net, plan.words)
    model.use_threads(net, place)
    vocabulary.learn_every_row(net)
    for line in _about_rows(plan, net):
        log(line)
    if words.added:
        vocabulary.grow(net, words)
        log(vocabulary.describe(words, config.from_adapter is not None))
    if config.residual_dropout > 0:
        add_residual_dropout(net, config.residual_dropout)
    for line in targets.about(net, config) if config.from_adapter is None else ():
        log(line)
    torch.manual_seed(config.seed)
    net = put_on.with_method(net, config, words.rows)
    if config.neftune_noise_alpha > 0:
        add_noise(net.tuned if is_prompted(net) else net, config.neftune_noise_alpha)
    if config.gradient_checkpointing:
        checkpoint_activations(net)
    net.train()
    for line in about_blocks(net, config):
        log(line)
    for line in model.table(net, config):
        log(f"{config.method} on {device}: {line}" if line.endswith("optimizer") else line)
    rounding = precision.rounding_of(config)
    if rounding:
        log(f"bfloat16 weights, updates rounded: {rounding}")
    if group.sharded:
        held = model.measure(net, rounding == "masters").bytes / group.count / 1e6
        log(f"shared by {group.count} processes, about {held:,.1f} MB of that in each")
        sharding.shard(net, device)
    return net


def _check_base(plan: Plan, net: Any, log: Log) -> None:
    """Say what of the base is not trained, and how its numbers are saved; refuse what is lost."""
    config = plan.config
    model.fetch(config.model)
    base = weights.read(config.model, net, config.objective)
    weights.check_carried(base, config.model)
    rows = net.get_input_embeddings().weight.shape[0]
    if plan.words.size > rows:
        weights.check_growth(base, rows, config.model)
    if config.learns in ("prompt", "layers"):  # no weight of the base is saved
        return
    for line in base.lines(config.model):
        log(line)
    if (saved := weights.saved_dtype(base, config)) != config.dtype:
        log(f"checkpoints are saved in {saved}, the base's format; save_dtype sets another")


def _about_rows(plan: Plan, net: Any) -> list[str]:
    """A warning of tokens whose embedding rows say nothing yet, and what lets them learn."""
    rows, config = plan.mixture.rows, plan.config
    control: list[int] = []
    if plan.tokenizer is not None:
        control = [*plan.tokenizer.get_added_vocab().values()]
    size = net.get_input_embeddings().weight.shape[0]
    anew = {*plan.words.added.values()}
    known = {*range(size)} - anew
    used = [one for one in np.unique(rows.input_ids).tolist() if one in known]
    control = [one for one in control if one in known]
    found = [one for one in vocabulary.unlearnt(net, used, control) if one not in plan.words.rows]
    if not found:
        return []
    names = [str(one) for one in found]
    if plan.tokenizer is not None:
        names = plan.tokenizer.convert_ids_to_tokens(found)
    shown = some_of([f"{text} ({one})" for text, one in zip(names, found, strict=True)], 5)
    line = f"tokens whose embedding rows the base never learnt: {shown}"
    if config.method == "full":
        return [f"{line}; full fine-tuning trains them"]
    if config.from_adapter is not None:
        advice = "it is the adapter that says which rows learn"
    elif METHODS[config.method].new_rows:
        advice = f"set train_tokens={','.join(names)} to train them beside the adapters"
    else:
        advice = "method full trains them, and lora with train_tokens"
    return [f"{line}; method {config.method} leaves them as they are; {advice}"]


def about_blocks(net: Any, config: TrainConfig) -> list[str]:
    """A line for each width of layers that blocks of the width asked for do not divide.

    Their rotations then have another width, the nearest that does, which changes how much of a
    layer can turn and how many parameters learn.
    """
    if config.method != "oft" or config.from_adapter is not None:
        return []
    widths: dict[tuple[int, int], int] = {}
    for layer in net.modules():
        blocks = getattr(layer, "oft_block_size", None)
        for block in blocks.values() if isinstance(blocks, dict) else ():
            if block != config.rotation_block:
                key = int(layer.in_features), int(block)
                widths[key] = widths.get(key, 0) + 1
    return [
        f"oft: {count} layers of width {width:,}, which blocks of {config.rotation_block} do not "
        f"divide, are rotated in blocks of {block} (rotation_block)"
        for (width, block), count in sorted(widths.items())
    ]


def checkpoint_activations(net: Any) -> None:
    """Activations of a block are computed again for its gradients, dropout masks included."""
    network = plain(net.tuned if is_prompted(net) else net)
    if not network.supports_gradient_checkpointing:
        raise CurateError(
            f"gradient_checkpointing: {network.config.model_type} models do not offer it; leave it "
            "out"
        )
    # transformers has the method under two names, the older one with a warning.
    enable = getattr(network, "activation_checkpointing_enable", None)
    if enable is None:
        network.gradient_checkpointing_enable(
            gradient_checkpointing_kwargs={"use_reentrant": False}
        )
    else:
        enable({"use_reentrant": False})


def load_model(plan: Plan, log: Log, group: Group = ALONE) -> tuple[Any, LossMode, dict[str, Any]]:
    """The model on its device, how its loss is computed, and what was found out about both."""
    config, rows = plan.config, plan.mixture.rows
    device = pick_device(config.device)
    net = ready(plan, device, log, group)
    companions.check(plan)
    about: dict[str, Any] = {
        "device": device_name(device),
        "processes": group.count,
        # By which the base is known again, wherever it lies then.
        "base_sha256": weights.weights_hash(weights.local_folder(config.model))
        if group.first
        else None,
    }
    about["parameters"] = model.measure(net).described()
    if plan.rejected is not None:
        return net, LossMode(True, False, group, plan.rejected), about
    packed = packing.decide(net, rows, plan.train, config, log)
    teacher, packed = teachers.load(plan, device, packed, log)
    first = pad(rows, plan.train[:1])
    pairs = plan.pairs
    found = None  # the loss that keeps experts in use is one of single answers
    if pairs is None:
        found = routers.of_model(net, put(first.input_ids, device), config, log)
    mode = LossMode(not head_is_plain(net, first), packed, group, routers=found, teacher=teacher)
    balance = None if found is None else dataclasses.asdict(found)
    about |= {"packed": packed, "routers": balance, "proof": None}
    if config.proof:
        chosen = plan.mixture.epoch(1)[0]
        rows, chosen = (rows, chosen) if pairs is None else (pairs.both, pairs.sides(chosen))
        proof = prove(net, rows, chosen, config, mode, log)
        log(str(proof))
        about["proof"] = dataclasses.asdict(proof)
    mode = anchoring.settled(plan, net, mode, log)
    about["regulariser"] = None if mode.anchor is None else mode.anchor.described()
    if pairs is not None:
        mode = dataclasses.replace(mode, pairs=pairs, settings=config)
        mode = reference.settled(plan, net, mode, log)
    return net, mode, {**about, "mixing": plan.mixture.counts(config.num_train_epochs)}
