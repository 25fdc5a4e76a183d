"""LIMA's residual dropout: none in the first block, `p` in the last, a straight line between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError

if TYPE_CHECKING:
    import torch

_ATTENTION = ("self_attn", "attn", "attention", "self_attention")
_FEED_FORWARD = ("mlp", "feed_forward", "ffn", "block_sparse_moe")


class _Drop:
    """A forward hook that drops values of a sub-layer's output before it joins the residual."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, module: Any, inputs: Any, output: Any) -> Any:
        import torch.nn.functional as F

        if not module.training or self.share == 0.0:
            return None
        if isinstance(output, tuple):
            return (F.dropout(output[0], self.share), *output[1:])
        return F.dropout(output, self.share)


def add_residual_dropout(model: Any, share: float) -> None:
    """Hook the attention and feed-forward outputs of each block; active in training mode only.

    Block `l` of `n` drops `share * l / (n - 1)` (arXiv 2305.11206, section 3). Hugging Face
    decoders have no such setting, so the sub-layers are found by name and then proven: with
    everything dropped, each block must hand on exactly what it got. Raises `CurateError` for
    an architecture that does not pass.
    """
    blocks = decoder_blocks(model)
    if not blocks:
        raise _unsupported(model, "its blocks are not one list of modules")
    drops: list[tuple[_Drop, float]] = []
    for index, block in enumerate(blocks):
        # A single block is the last one.
        depth = index / (len(blocks) - 1) if len(blocks) > 1 else 1.0
        for layer in _sublayers(model, block):
            drop = _Drop(1.0)
            layer.register_forward_hook(drop)
            drops.append((drop, share * depth))
    if not _blocks_are_identity(model, blocks):
        raise _unsupported(model, "its blocks add more to the residual than two sub-layers")
    for drop, wanted in drops:
        drop.share = wanted


def decoder_blocks(model: Any) -> list[Any]:
    """The blocks that a token passes one after the other; none if they are not one list."""
    import torch

    count = model.config.get_text_config().num_hidden_layers
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return list(module)
    return []


def _sublayers(model: Any, block: Any) -> list[Any]:
    """The two modules whose outputs are added to the residual.

    Where a norm follows a sub-layer (as in Gemma 2 and OLMo 2), the norm's output is added.
    """
    children = dict(block.named_children())
    if "post_feedforward_layernorm" in children:
        return [children["post_attention_layernorm"], children["post_feedforward_layernorm"]]
    found = [
        next((children[name] for name in names if name in children), None)
        for names in (_ATTENTION, _FEED_FORWARD)
    ]
    if None in found:
        raise _unsupported(model, f"a block has only {', '.join(children)}")
    return found


def _blocks_are_identity(model: Any, blocks: list[Any]) -> bool:
    """Whether each block returns its input while every hook drops everything."""
    import torch

    same: list[bool] = []

    def compare(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        given: torch.Tensor = args[0] if args else kwargs["hidden_states"]
        returned = output[0] if isinstance(output, tuple) else output
        same.append(bool(torch.equal(given, returned)))

    handles = [block.register_forward_hook(compare, with_kwargs=True) for block in blocks]
    was_training = model.training
    model.train()
    with torch.no_grad():
        device = next(model.parameters()).device
        model(input_ids=torch.zeros((1, 4), dtype=torch.int64, device=device), use_cache=False)
    model.train(was_training)
    for handle in handles:
        handle.remove()
    return len(same) == len(blocks) and all(same)


def _unsupported(model: Any, why: str) -> CurateError:
    return CurateError(
        f"residual_dropout: not possible for {model.config.model_type} models: {why}; "
        "set residual_dropout to 0"
    )
