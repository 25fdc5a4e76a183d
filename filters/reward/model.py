"""Scores from a local reward model: a sequence-classification folder with one output."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.base.errors import CurateError
from curate.base.sandbox.chat_text import ChatText
from filters.common.models import (
    Rows,
    batches,
    chat_text,
    check_folder,
    context,
    has_chat_template,
    load,
)
from filters.common.problems import TOKENS

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def check_model(path: str) -> None:
    """`CurateError` unless `path` looks like a reward model that can be used here."""
    check_folder("reward", path, instead="give scores from a file")
    if not has_chat_template("reward", path):
        raise _no_template(path)


def score_with_model(records: pl.DataFrame, path: str) -> pl.DataFrame:
    """`score` (f64, null when there is none), `problem` (why there is none) and `tokens` (u32).

    Conversations are written with the chat template of the model's own tokenizer. On a CPU rows
    are scored one by one, so that a score depends on its row alone, to the last bit; on a GPU
    in batches of one token count, so nothing is padded, and neighbours move a bfloat16 score in
    its last digits only. Rows over the model's context are not cut: they are a problem, which
    names their `tokens` (null for all others).
    """
    return model_scores(path)(records)


def model_scores(path: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """The scoring of `score_with_model` by a model that is loaded once."""
    loaded = _load(path)
    return lambda records: _scored(records, *loaded)


def _scored(
    records: pl.DataFrame,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    chat: ChatText,
) -> pl.DataFrame:
    limit = context(model, tokenizer)
    rows: Rows = []
    problems: list[str | None] = []
    tokens: list[int | None] = []
    # Templates are programs run per conversation: a loop over rows it is.
    for messages, tools in zip(records["messages"], records["tools"], strict=True):
        ids, problem = _encode(tokenizer, chat, messages.to_list(), tools, limit)
        too_long = len(ids) > limit
        rows.append([] if too_long else ids)
        tokens.append(len(ids) if too_long else None)
        problems.append(problem)
    scores = np.full(len(rows), np.nan)
    for batch in batches(model, rows):
        scores[batch] = _scores(model, [rows[at] for at in batch])
    fine = np.array([problem is None for problem in problems], dtype=np.bool_)
    for at in np.flatnonzero(np.isinf(scores) | (np.isnan(scores) & fine)).tolist():
        scores[at], problems[at] = np.nan, "the model's score is not a finite number"
    score = pl.Series("score", scores).fill_nan(None)
    why = pl.Series("problem", problems, dtype=pl.Categorical)
    return pl.DataFrame([score, why, pl.Series("tokens", tokens, dtype=pl.UInt32)])


def _load(path: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, ChatText]:
    model, tokenizer = load("reward", path, "score")
    if model.config.num_labels != 1:
        raise CurateError(
            f"reward: {path} has {model.config.num_labels} outputs; expected a reward model with 1"
        )
    if not tokenizer.chat_template:
        raise _no_template(path)
    text = model.config.get_text_config()
    if text.pad_token_id is None:
        # Nothing is ever padded; some models take no batches without a padding id.
        text.pad_token_id = -1
    return model, tokenizer, chat_text("reward", path, tokenizer)


def _encode(
    tokenizer: PreTrainedTokenizerBase,
    chat: ChatText,
    messages: Sequence[Mapping[str, Any]],
    tools: str | None,
    limit: int,
) -> tuple[list[int], str | None]:
    if not any(message["role"] == "assistant" for message in messages):
        return [], "no assistant message"
    try:
        text = chat.write([_plain(message) for message in messages], json.loads(tools or "null"))
    except CurateError as error:
        # A template may not take a conversation (roles, order, tools): a fact about the row.
        return [], f"the chat template raises an error: {str(error)[:160]}"
    ids = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    if not ids:
        return [], "the chat template wrote nothing"
    if len(ids) > limit:
        return ids, f"{TOKENS} tokens, and the model reads {limit:,}"
    return ids, None


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as chat templates expect it, tool calls as objects."""
    plain = {"role": message["role"], "content": message["content"] or ""}
    for name in ("name", "tool_call_id"):
        if message.get(name):
            plain[name] = message[name]
    if message.get("reasoning"):
        plain["reasoning_content"] = message["reasoning"]
    if message.get("tool_calls"):
        calls = json.loads(message["tool_calls"])
        plain["tool_calls"] = [{"type": "function", "function": call} for call in calls]
    return plain


def _scores(model: PreTrainedModel, rows: Rows) -> list[float]:
    import torch

    ids = torch.tensor(rows, device=model.device)
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return [float(score) for score in logits[:, 0].float().cpu()]


def _no_template(path: str) -> CurateError:
    return CurateError(
        f"reward: the tokenizer in {path} has no chat template, so how its conversations look is"
        " unknown; save it with the template that the reward model was trained with"
    )
