"""Where attention and feed-forward layers join the residual: found by name, and then proven."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError

if TYPE_CHECKING:
    import torch

_ATTENTION = ("self_attn", "attn", "attention", "self_attention")
_FEED_FORWARD = ("mlp", "feed_forward", "ffn", "block_sparse_moe")


def sublayers(model: Any, setting: str, advice: str) -> list[tuple[Any, Any]]:
    """Of each block the two modules whose outputs are added to the residual.

    Hugging Face decoders have no such list, so the sub-layers are found by name and then proven:
    with nothing coming from them, each block must hand on exactly what it got. Raises `CurateError`
    for an architecture that does not pass, with the `setting` that asked and what to do.
    """
    blocks = decoder_blocks(model)

    def unsupported(why: str) -> CurateError:
        kind = model.config.model_type
        return CurateError(f"{setting}: not possible for {kind} models: {why}; {advice}")

    if not blocks:
        raise unsupported("its blocks are not one list of modules")
    found = [_of_block(block, unsupported) for block in blocks]
    if not _blocks_are_identity(model, blocks, [layer for pair in found for layer in pair]):
        raise unsupported("its blocks add more to the residual than two sub-layers")
    return found


def decoder_blocks(model: Any) -> list[Any]:
    """The blocks that a token passes one after the other; none if they are not one list."""
    import torch

    count = model.config.get_text_config().num_hidden_layers
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return list(module)
    return []


def _of_block(block: Any, unsupported: Callable[[str], CurateError]) -> tuple[Any, Any]:
    """The two modules whose outputs are added to the residual.

    Where a norm follows a sub-layer (as in Gemma 2 and OLMo 2), the norm's output is added.
    """
    children = dict(block.named_children())
    if "post_feedforward_layernorm" in children:
        return children["post_attention_layernorm"], children["post_feedforward_layernorm"]
    attention, feed_forward = (
        next((children[name] for name in names if name in children), None)
        for names in (_ATTENTION, _FEED_FORWARD)
    )
    if attention is None or feed_forward is None:
        raise unsupported(f"a block has only {', '.join(children)}")
    return attention, feed_forward


def _nothing(module: Any, inputs: Any, output: Any) -> Any:
    """A hook that hands on zeros."""
    import torch

    if isinstance(output, tuple):
        return (torch.zeros_like(output[0]), *output[1:])
    return torch.zeros_like(output)


def _blocks_are_identity(model: Any, blocks: list[Any], layers: list[Any]) -> bool:
    """Whether each block returns its input while nothing comes from these layers."""
    import torch

    same: list[bool] = []

    def compare(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        given: torch.Tensor = args[0] if args else kwargs["hidden_states"]
        returned = output[0] if isinstance(output, tuple) else output
        same.append(bool(torch.equal(given, returned)))

    handles = [layer.register_forward_hook(_nothing) for layer in layers]
    handles += [block.register_forward_hook(compare, with_kwargs=True) for block in blocks]
    was_training = model.training
    model.train()
    with torch.no_grad():
        device = next(model.parameters()).device
        model(input_ids=torch.zeros((1, 4), dtype=torch.int64, device=device), use_cache=False)
    model.train(was_training)
    for handle in handles:
        handle.remove()
    return len(same) == len(blocks) and all(same)
