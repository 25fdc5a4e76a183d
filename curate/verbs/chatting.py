"""The verb that asks a model: chat."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from curate.base import terminal
from curate.base.errors import CurateError
from curate.base.extras import require
from curate.base.packages import check_ours
from curate.verbs.common import speaker

if TYPE_CHECKING:
    from trainer.after.chat import Sampling, Talker


def chat(arguments: argparse.Namespace) -> None:
    """`curate chat`: see its help."""
    check_ours()
    if (arguments.prompts is None) != (arguments.out is None):
        raise CurateError("--prompts and --out go together: a file of prompts, and one of answers")
    require("chatting", "train", "torch", "transformers", "peft")
    from trainer.after.chat import Sampling

    sampling = Sampling(arguments.temperature, arguments.max_tokens, arguments.seed)
    if arguments.prompts is None:
        talker = _loaded(arguments)
        say = speaker(arguments.quiet)
        say("an empty line is not sent; Ctrl-D ends")
        converse(talker, sampling, arguments.system, input, _show)
    else:
        _batch(arguments, sampling)


def _loaded(arguments: argparse.Namespace) -> Talker:
    from trainer.after import chat

    say = speaker(arguments.quiet)
    say(f"loading {arguments.source}")
    talker = chat.load(arguments.source, arguments.model, arguments.device)
    if not talker.stop_ids and not talker.stop_strings:
        say("no folder names a stop, so every answer goes on to --max-tokens")
    return talker


def _batch(arguments: argparse.Namespace, sampling: Sampling) -> None:
    from curate import chats

    out = chats.check_answers(arguments.out, arguments.prompts, arguments.force)
    prompts = chats.read_prompts(arguments.prompts)
    say, talker = speaker(arguments.quiet), _loaded(arguments)
    unstopped = chats.write_answers(talker, prompts, arguments.system, sampling, out, say)
    more = f", of which {unstopped:,} did not stop by themselves" if unstopped else ""
    say(f"{len(prompts):,} answers{more}, written to {out}")


def _show(text: str) -> None:
    terminal.show(text, end="")


def converse(
    talker: Talker,
    sampling: Sampling,
    system: str | None,
    ask: Callable[[str], str],
    show: Callable[[str], None],
) -> None:
    """Ask line after line and show the answers, until the input ends or Ctrl-C."""
    from curate.chats import written
    from trainer.after import chat

    first = [] if system is None else [{"role": "system", "content": system}]
    messages: list[dict[str, Any]] = list(first)
    number = 0
    try:
        while True:
            line = ask("> " if sys.stdin.isatty() else "")
            line = line.encode("utf-8", "replace").decode("utf-8").strip()
            if not line:
                continue
            asked = [*messages, {"role": "user", "content": line}]
            prompt = chat.prompt_ids(talker, asked, None, written)
            if not talker.room(prompt, 1):
                show(f"(no room: {len(prompt):,} tokens; the conversation begins anew)\n")
                messages = list(first)
                continue
            done = chat.answer(talker, prompt, sampling, number, show)
            number += 1
            show("\n" if done.stopped else f"\n(ended after {len(done.ids):,} tokens, no stop)\n")
            messages = [*asked, chat.as_message(talker, done.text or "")]
    except EOFError:
        show("\n")
    except KeyboardInterrupt as stop:
        if type(stop) is not KeyboardInterrupt:  # somebody ended this process
            raise
        show("\n")
