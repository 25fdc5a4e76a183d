"""A model with a learnt prompt, which is called like a plain one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError
from trainer.models.modes import evaluating

if TYPE_CHECKING:
    import torch


def prompted(tuned: Any) -> Any:
    """A peft model with a learnt prompt, called like a plain one."""
    import torch

    class PromptedModel(torch.nn.Module):
        """A model with learnt vectors before its first token, called like a plain one.

        Logits of the learnt vectors' own positions are cut off, so positions mean the same as
        without them.
        """

        def __init__(self, tuned: Any) -> None:
            super().__init__()
            self.tuned = tuned

        @property
        def config(self) -> Any:
            return self.tuned.config

        @property
        def base_model(self) -> Any:
            return self

        def get_output_embeddings(self) -> None:
            """None: hidden states alone do not give the logits here."""

        def get_input_embeddings(self) -> Any:
            return self.tuned.get_base_model().get_input_embeddings()

        def forward(self, input_ids: torch.Tensor, **options: Any) -> Any:
            if options.get("position_ids") is not None or options.get("past_key_values"):
                raise CurateError(
                    "method: prefix and prompt put vectors before each row, so rows cannot be "
                    "packed; train them padded"
                )
            options = {name: value for name, value in options.items() if value is not None}
            output = self.tuned(input_ids=input_ids, **{**options, "use_cache": False})
            output.logits = output.logits[:, -input_ids.shape[1] :]
            return output

    return PromptedModel(tuned)


def tried(model: Any, method: str) -> Any:
    """The model, once it has read two tokens: peft puts a learnt prompt on models it cannot run."""
    import torch

    ids = torch.zeros((1, 2), dtype=torch.int64, device=next(model.parameters()).device)
    try:
        with evaluating(model):
            model(input_ids=ids)
    except (RuntimeError, ValueError, TypeError, AttributeError, LookupError) as error:
        raise CurateError(
            f"method: {method} does not go with {model.config.model_type} models of this shape: "
            f"{(str(error).strip() or type(error).__name__).splitlines()[0]}; take method lora"
        ) from error
    return model


def is_prompted(model: Any) -> bool:
    """Whether this is a model with a learnt prompt."""
    return type(model).__name__ == "PromptedModel"
