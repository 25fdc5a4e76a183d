"""A network without what training adds: its adapters, its dropout, its gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def plain(model: Any) -> Any:
    """The Hugging Face model under the adapters, if there are any."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextmanager
def without_dropout(model: Any) -> Iterator[None]:
    """No dropout inside, but gradients; the model's mode is given back after."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """No dropout and no gradients inside; the model's mode is given back after."""
    import torch

    with without_dropout(model), torch.no_grad():
        yield
