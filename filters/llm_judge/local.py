"""A judge in this process: a causal language model's folder, one forward pass a question."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from curate.base.errors import CurateError
from filters.common.models import (
    Rows,
    batches,
    chat_text,
    check_folder,
    context,
    has_chat_template,
    load,
    model_state,
)
from filters.llm_judge.prompts import Prompts, Unreadable, WrittenAs
from filters.llm_judge.question import Answer, Question

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

GPU_WINDOW = 1024  # questions among which those of one length are read together
INSTEAD = "name a server with url"

NOT_FINITE = "the model's numbers are not finite"


class LocalModel:
    """A `Judge` that is a folder with a causal language model, read as it is and run here.

    `written_as` says how a question becomes the model's prompt: by the `chat` template of its
    tokenizer (the default where there is one), or `plain`: system text, blank line, user text, and
    the answer on a line of its own unless the text ends in white space.

    A question with labels is one forward pass: the probabilities of its labels as the next token.
    One without is answered greedily, up to its `max_tokens`. On a CPU questions are read one by
    one, so an answer depends on its question alone, to the last bit; on a GPU those of one token
    count together, so nothing is padded. Nothing is cut: a prompt that the model cannot read
    whole is a problem.

    The model is loaded at the first question. Raises `CurateError` for a folder that is no model,
    and for `chat` without a template.
    """

    def __init__(self, folder: str, written_as: WrittenAs | None = None) -> None:
        check_folder("judge", folder, instead=INSTEAD)
        chat = has_chat_template("judge", folder)
        if written_as == "chat" and not chat:
            raise CurateError(
                f"judge: the tokenizer in {folder} has no chat template; written_as: plain writes"
                " questions without one"
            )
        self.written_as: WrittenAs = written_as or ("chat" if chat else "plain")
        self.identity = _identity(folder, self.written_as)
        self.kept_in = None
        self.why_no_probabilities = ""
        self._folder = folder
        self._loaded: _Reader | None = None

    def gives_probabilities(self) -> bool:
        """Always."""
        return True

    def ask(self, questions: Iterable[tuple[int, Question]]) -> Iterator[tuple[int, Answer]]:
        """The answers, as `Judge.ask` says. Raises `CurateError` for labels that are not single,
        distinct tokens after the prompt."""
        asked = iter(questions)
        while window := list(islice(asked, 1)):
            reader = self._reader()  # not before there is something to read
            window += islice(asked, reader.window - 1)
            yield from reader.answers(window)

    def notices(self) -> list[str]:
        """What a reader of the scores should know of how the questions asked so far were written.

        A sentence each, with the number of questions.
        """
        if self._loaded is None:
            return []
        counts = self._loaded.prompts.counts
        return [
            f"{count:,} question{'s' if count > 1 else ''} {what}"
            for what, count in sorted(counts.items())
        ]

    def spent(self) -> Mapping[str, Any]:
        """Nothing that anybody counts."""
        return {}

    def close(self) -> None:
        """Forget the model."""
        self._loaded = None

    def _reader(self) -> _Reader:
        if self._loaded is None:
            self._loaded = _Reader.of(self._folder, self.written_as)
        return self._loaded


def _identity(folder: str, written_as: WrittenAs) -> str:
    """The state of the files, how questions are written, and what they are computed on."""
    import torch

    device = "cuda bfloat16" if torch.cuda.is_available() else "cpu float32"  # as `load` does
    state = hashlib.blake2b(orjson.dumps(model_state(folder)), digest_size=16).hexdigest()
    return f"local {state} {written_as} {device}"


@dataclass(frozen=True)
class _Reader:
    """A model that is loaded, how its prompts are written, and what it can read."""

    model: PreTrainedModel
    prompts: Prompts
    tokenizer: Any
    name: str
    limit: int
    stops: frozenset[int]
    last_only: dict[str, int]  # what the model takes to compute the logits of the end alone

    @classmethod
    def of(cls, folder: str, written_as: WrittenAs) -> _Reader:
        model, tokenizer = load("judge", folder, "causal")
        chat = written_as == "chat"
        takes = inspect.signature(model.forward).parameters
        return cls(
            model,
            Prompts(tokenizer, chat_text("judge", folder, tokenizer) if chat else None),
            tokenizer,
            Path(folder).name,
            context(model, tokenizer),
            _stops(model, tokenizer),
            {"logits_to_keep": 1} if "logits_to_keep" in takes else {},
        )

    @property
    def window(self) -> int:
        """How many questions are looked at together."""
        return GPU_WINDOW if self.model.device.type == "cuda" else 1

    def answers(self, window: Sequence[tuple[int, Question]]) -> Iterator[tuple[int, Answer]]:
        """The answers to some questions: first what cannot be read, then by length."""
        rows: Rows = []
        labels: list[tuple[int, ...]] = []
        for number, question in window:
            ids, label_ids, problem = self._encode(question)
            rows.append([] if problem else ids)
            labels.append(label_ids)
            if problem:
                yield number, Answer(model=self.name, problem=problem)
        for batch in batches(self.model, rows):
            chosen = [at for at in batch if labels[at]]
            if chosen:
                read = self._probabilities(
                    [rows[at] for at in chosen], [labels[at] for at in chosen]
                )
                for at, answer in zip(chosen, read, strict=True):
                    yield window[at][0], answer
            for at in batch:
                if not labels[at]:
                    yield window[at][0], self._written(rows[at], window[at][1])

    def _encode(self, question: Question) -> tuple[list[int], tuple[int, ...], str]:
        """The ids of the prompt and of each label, and why they cannot be read."""
        try:
            ids, labels = self.prompts.encode(question)
        except Unreadable as error:
            return [], (), str(error)
        if not ids:
            return [], (), "the question is empty"
        room = 0 if question.labels else 1
        if len(ids) + room > self.limit:
            return [], (), f"{len(ids):,} tokens, and the model reads {self.limit:,}"
        return ids, labels, ""

    def _probabilities(self, rows: Rows, labels: Sequence[tuple[int, ...]]) -> Iterator[Answer]:
        """An answer for each of some prompts of one length."""
        logits, _ = self._next(rows)
        found = logits.double().softmax(dim=-1).cpu().numpy()
        for row, probabilities, ids in zip(rows, found, labels, strict=True):
            numbers = probabilities[list(ids)]
            if np.isfinite(numbers).all():
                given = tuple(numbers.tolist())
                yield Answer(
                    probabilities=given, model=self.name, finish="stop", tokens_in=len(row)
                )
            else:
                yield Answer(model=self.name, problem=NOT_FINITE)

    def _written(self, row: list[int], question: Question) -> Answer:
        """The likeliest token after each other, until the model stops or `max_tokens`.

        By hand, because `generate` adds what a folder's generation_config.json asks for, such as a
        penalty on what was said before.
        """
        import torch

        written: list[int] = []
        step, cache = row, None
        for _ in range(min(question.max_tokens, self.limit - len(row))):
            logits, cache = self._next([step], cache, use_cache=True)
            if not bool(torch.isfinite(logits.max())):  # which is NaN if any is
                return Answer(model=self.name, problem=NOT_FINITE)
            token = int(logits[0].argmax())
            if token in self.stops:
                return self._text(row, question, written, "stop")
            written.append(token)
            step = [token]
        return self._text(row, question, written, "length")

    def _text(self, row: list[int], question: Question, written: list[int], finish: str) -> Answer:
        text = self.tokenizer.decode(written, skip_special_tokens=True)
        return Answer(
            text=question.lead + text,
            model=self.name,
            finish=finish,
            tokens_in=len(row),
            tokens_out=len(written),
        )

    def _next(
        self, rows: Rows, cache: Any = None, use_cache: bool = False
    ) -> tuple[torch.Tensor, Any]:
        """Logits (rows, vocabulary) of the token after rows of one length, and what was computed
        on the way, for the next one."""
        import torch

        ids = torch.tensor(rows, device=self.model.device)
        with torch.inference_mode():
            out = self.model(
                input_ids=ids, past_key_values=cache, use_cache=use_cache, **self.last_only
            )
        return out.logits[:, -1].float(), out.past_key_values if use_cache else None


def _stops(model: PreTrainedModel, tokenizer: Any) -> frozenset[int]:
    """The tokens that end an answer, by the model's settings and by its tokenizer."""
    config = model.generation_config.eos_token_id if model.generation_config else None
    several = config if isinstance(config, list) else [config]
    return frozenset(
        int(token) for token in [*several, tokenizer.eos_token_id] if token is not None
    )
