"""A model that no single device holds: each process keeps a share of every weight.

PyTorch's fully sharded data parallelism (Zhao et al. 2023, arXiv 2304.11277; `fully_shard`): a
block's weights are gathered when it is computed and let go right after, and its gradients are added
up into shares. A gathering needs all processes, so all of them make the same passes, of evaluation
and of answers too. Every function here takes a plain model or tensor as well and leaves it alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar

from curate.base.errors import CurateError
from trainer.models.sublayers import decoder_blocks

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


def shard(net: Any, device: torch.device) -> Any:
    """Give this process its share of a model that lies whole on the CPU, on `device`; the model.

    Blocks move to the device one by one, and so do embeddings and output layer, which share the
    root. Gradients are summed over processes in fp32. Must be called in every process.
    """
    import torch
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import (
        FSDPModule,
        MixedPrecisionPolicy,
        fully_shard,
        register_fsdp_forward_method,
    )

    blocks = decoder_blocks(net)
    if not blocks:
        raise CurateError(
            f"sharding: the blocks of {net.config.model_type} models are not one list of modules, "
            "so the model would be gathered whole; set sharding to none"
        )
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    # PyTorch's caches keep the mesh for good, and so the group; it finds the group by name too.
    vars(mesh).get("_pg_registry", {}).clear()
    policy = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    net.inside = MethodType(_call, net)
    for part in [*blocks, net]:
        # The root too: what is left gathered after an evaluation would not be a share.
        fully_shard(part, mesh=mesh, reshard_after_forward=True, mp_policy=policy)
    register_fsdp_forward_method(net, "inside")
    for part in net.modules():
        if isinstance(part, FSDPModule):
            # The sum, not the mean, by a plain sum: gloo has no other.
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)
    return net


def _call(net: Any, work: Callable[[], T]) -> T:
    return work()


def inside(net: Any, work: Callable[[], T]) -> T:
    """The tensors that `work` makes of parts of the model, such as its output layer.

    Those of its weights that no block has are gathered for that, as in a call of the model.
    """
    found: T = net.inside(work) if is_sharded(net) else work()
    return found


def is_sharded(net: Any) -> bool:
    """Whether processes share the weights of this model."""
    return hasattr(net, "inside")


def is_share(tensor: Any) -> bool:
    """Whether this process holds a part of this tensor."""
    return hasattr(tensor, "full_tensor")


def own(tensor: Any) -> Any:
    """This process's part of a tensor, in the same memory."""
    return tensor.to_local() if is_share(tensor) else tensor


def whole(tensor: Any) -> Any:
    """All of a tensor; of a share every process must ask."""
    return tensor.detach().full_tensor() if is_share(tensor) else tensor.detach()


def gathered(tensors: Mapping[str, Any], first: bool) -> dict[str, torch.Tensor]:
    """Whole tensors by name on the CPU of the first process, one after the other; {} in others.

    A tensor under two names stays one.
    """
    known: dict[int, Any] = {}
    for tensor in tensors.values():
        if id(tensor) not in known:
            full = whole(tensor)
            known[id(tensor)] = full.cpu().contiguous() if first else None
    return {name: known[id(tensor)] for name, tensor in tensors.items()} if first else {}


def state(net: Any, everything: bool, first: bool) -> dict[str, torch.Tensor] | None:
    """What a checkpoint holds of a model whose weights are shared, whole; None of any other.

    Without `everything` it is the trained weights alone.
    """
    if not is_sharded(net):
        return None
    if everything:
        return gathered(net.state_dict(keep_vars=True), first)
    names = net.named_parameters(remove_duplicate=False)
    return gathered({name: weight for name, weight in names if weight.requires_grad}, first)


def share_like(full: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The share of a whole tensor that belongs to `like`, without a word to other processes."""
    full = full.to(like.device)
    if not is_share(like) or full.shape != like.shape:
        return full
    from torch.distributed.tensor import distribute_tensor

    held: Any = like
    part = distribute_tensor(full, held.device_mesh, held.placements, src_data_rank=None)
    return part.clone()  # not a view that keeps the whole alive


def clip(weights: Sequence[torch.Tensor], most: float) -> float:
    """Scale gradients to a norm of `most` if it is more; their norm. 0 only measures it."""
    import torch
    import torch.distributed as dist

    most = most or math.inf
    if not any(is_share(weight) for weight in weights):
        return float(torch.nn.utils.clip_grad_norm_(weights, most))
    shares = [own(weight.grad) for weight in weights if weight.grad is not None]
    norms = [torch.linalg.vector_norm(share, dtype=torch.float32) for share in shares]
    squared = torch.linalg.vector_norm(torch.stack(norms)).double().square()
    dist.all_reduce(squared)
    norm = squared.sqrt().float()
    scale = torch.clamp(most / (norm + 1e-6), max=1.0)  # as clip_grad_norm_ does
    for share in shares:
        share.mul_(scale)
    return float(norm)


def norm(tensors: Sequence[torch.Tensor]) -> float:
    """The norm of all of them together."""
    import torch

    found: Any = torch.nn.utils.get_total_norm(tensors)
    return float(whole(found))


def agreed(net: Any, tokens: torch.Tensor) -> torch.Tensor:
    """The first process's tokens: were one to differ, its answer could end alone and all wait."""
    if is_sharded(net):
        import torch.distributed as dist

        dist.broadcast(tokens, 0)
    return tokens
