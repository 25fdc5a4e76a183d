"""How rows are rendered: every choice in one place, written into the manifest."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from curate.base.errors import CurateError
from curate.base.sandbox.day import DAY
from curate.base.settings import check_settings, setting

Boundary = Literal["split", "train", "mask", "error"]
History = Literal["split", "last", "error"]
Mask = Literal["auto", "tag", "operational"]
Completion = Literal["template", "raw"]
Turns = Literal["all", "last"]
Control = Literal["text", "allow", "reject"]
Overlong = Literal["refuse", "right", "left"]
InlineThink = Literal["move", "keep"]
Role = Literal["system", "user", "assistant", "tool"]

DATE = DAY  # the day that templates see by default
RESERVED = ("messages", "tools", "add_generation_prompt")
# Former names of options, for the error that names the present one.
RENAMED = {"open_field": "continue_final_field"}


@dataclass(frozen=True)
class RenderOptions:
    """How rows are rendered; every field is in the manifest.

    Tokens: `max_length` is the longest row in tokens; `overlong` refuses longer ones, or cuts
    them on a side, after masking: a turn that is cut is not trained. `boundary` says what happens
    where a token would lie across the start of a trained text: `split` encodes the prompt alone,
    as inference does; `train` and `mask` leave the token whole; `error` refuses. `control` says
    what control tokens spelt in content become: plain text, the token (`allow`), a refusal.

    Turns: `history` says what to do where later messages change the text that an earlier turn
    was generated in: `split` makes several examples of the conversation, each as at inference;
    `last` keeps the one with the last turn; `error` refuses. `turns` trains all answers or the
    last one. `roles` are trained; other roles than assistant have no stop, only their words.
    `mask_reasoning` gives reasoning as context instead of training it. `inline_think` says what
    becomes of thoughts in an answer's own text (`<think>...</think>` at its start): `move` makes
    them its reasoning where the template writes that, `keep` leaves them as words. `pairs`
    renders the rejected answer beside the chosen one and trains what follows the prompt of both.
    Rows whose extra field `continue_final_field` is true have a last answer that goes on: it is
    trained without a stop.

    Text: `date` is the day that templates see, `stops` are further texts at which generation will
    stop, `arguments` go to the template as they are. `mask` says what `{% generation %}` tags in
    a template mean: `auto` refuses rows where they disagree with what is generated, `tag` trains
    what they enclose, `operational` ignores them. `completion` "raw" trains the prompt and the
    answer's own words and a stop where the template would change the prompt. `append_eos` ends an
    answer in the tokenizer's eos where the template writes no stop.
    """

    max_length: int | None = setting(None, "longest row, in tokens", low=1)
    date: str = setting(DATE, "the day that templates see, as YYYY-MM-DD")
    stops: tuple[str, ...] = setting((), "further texts at which generation will stop")
    boundary: Boundary = setting("split", "what becomes of a token across an answer's start")
    history: History = setting("split", "what becomes of turns whose history is rewritten")
    turns: Turns = setting("all", "which answers are trained")
    roles: tuple[Role, ...] = setting(("assistant",), "whose messages are trained")
    mask: Mask = setting("auto", "what generation tags in a template mean")
    mask_reasoning: bool = setting(False, "reasoning is context, not trained")
    inline_think: InlineThink = setting("move", "what becomes of thoughts in an answer's text")
    pairs: bool = setting(False, "render the rejected answers too")
    continue_final_field: str | None = setting(None, "field that is true if the answer goes on")
    completion: Completion = setting("template", "what ends a prompt that the template changes")
    append_eos: bool = setting(False, "end answers in eos where the template writes no stop")
    control: Control = setting("text", "what control tokens spelt in content become")
    overlong: Overlong = setting("refuse", "what becomes of rows beyond max_length")
    arguments: Mapping[str, Any] = field(
        default_factory=dict, metadata={"help": "arguments of the template"}
    )

    def __post_init__(self) -> None:
        check_settings(self, "render")
        clock(self.date)
        if not all(stop.strip() for stop in self.stops):
            raise CurateError("render: stops: a stop cannot be empty or white space alone")
        if not self.roles:
            raise CurateError("render: roles is empty; name at least one role to train")
        if taken := sorted(set(self.arguments) & set(RESERVED)):
            raise CurateError(f"render: argument {taken[0]}: the conversation itself gives it")


def clock(date: str) -> Callable[[str], str]:
    """`strftime_now` on a frozen day (ISO date, midnight): the same text on any day.

    Raises `CurateError` for a text that is no day.
    """
    try:
        moment = datetime.datetime.combine(datetime.date.fromisoformat(date), datetime.time())
    except ValueError as error:
        raise CurateError(f"date {date!r}: expected a day such as {DATE}") from error
    return moment.strftime


DEFAULTS = RenderOptions()
