"""A tuned model asked: its own template makes the prompt, its own stops end the answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError
from curate.base.thoughts import split_thoughts
from trainer.checkpoints import adapters, companions, put_on
from trainer.config.adapter_files import is_adapter, read_json
from trainer.data.tokens import Decode
from trainer.evaluation.samples import AT_ONCE, Writing, likeliest, takes_batches, together, write
from trainer.models import model, weights
from trainer.models.device import pick_device
from trainer.models.generation import generation_of, stop_texts_of, stops_of
from trainer.result import Answer

if TYPE_CHECKING:
    import torch

Message = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How an answer is written: the likeliest token at `temperature` 0, else one that is drawn.

    Logits are divided by the temperature. What is drawn depends on `seed`, the number of the prompt
    and the model alone. `max_tokens` is the longest answer.
    """

    temperature: float = 0.0
    max_tokens: int = 512
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Talker:
    """A model that is ready to be asked, and where its answers end.

    `positions` is how many tokens prompt and answer may have together, None for no limit;
    `folder` is where the tokenizer and its template lie.
    """

    net: Any
    tokenizer: Any
    decode: Decode
    stop_ids: frozenset[int]
    stop_strings: tuple[str, ...]
    positions: int | None
    folder: Path

    def room(self, prompt: Sequence[int], longest: int) -> int:
        """How many tokens an answer to the prompt can have; 0 where the prompt is too long."""
        return (
            longest
            if self.positions is None
            else max(0, min(longest, self.positions - len(prompt)))
        )


def load(
    source: str, base: str | None = None, device: str = "auto", with_template: bool = True
) -> Talker:
    """A model of a CKPT, one of its epochs, an adapter on its base, or any model's folder.

    On a CPU it computes in fp32; on a GPU in bfloat16 where that is its format. Raises
    `CurateError` for what cannot be asked: no model, no tokenizer, a reward model, and, unless
    its prompts come from elsewhere, no template.
    """
    adapter, name, places, prompt = _resolved(source, base)
    tokenizer, home = _tokenizer(source, places, with_template)
    where = pick_device(device)
    net = _net(name, adapter, where)
    ids, strings = _stops(places, tokenizer, net)
    positions = model.read_limits(name).positions
    decode = model.decoder(tokenizer)
    assert decode is not None
    room = None if positions is None else positions - prompt
    return Talker(net.eval(), tokenizer, decode, frozenset(ids), strings, room, home)


def tokenizer_of(source: str, base: str | None = None) -> Any:
    """The tokenizer that `load` gives a model, read without its weights.

    Raises `CurateError` for what cannot be asked, as `load` does; a template is not asked for.
    """
    return _tokenizer(source, _resolved(source, base)[2], False)[0]


def _resolved(
    source: str, base: str | None
) -> tuple[adapters.Adapter | None, str, list[Path], int]:
    """An adapter if it is one, the model's name, where its files lie, and its learnt positions."""
    folder = Path(source)
    if not folder.is_dir():
        raise CurateError(f"{source}: there is no such folder; name a CKPT or a model's folder")
    if is_adapter(folder) and not (folder / "config.json").is_file():
        adapter = adapters.read(folder)
        name = adapters.base_of(adapter, base)
        check_answers(name, adapter.objective)
        return adapter, name, adapter.folders(name), _learnt_tokens(adapter)
    if base is not None:
        raise CurateError(f"{source}: is no adapter, so it has no base; leave out --model")
    model.check_source(source)
    check_answers(source, "sft")
    return None, source, [folder], 0


def _learnt_tokens(adapter: adapters.Adapter) -> int:
    """Positions that a learnt prompt takes."""
    return int(adapter.settings.get("num_virtual_tokens") or 0) if adapter.is_prompt else 0


def check_answers(name: str, objective: str) -> None:
    """Raise `CurateError` for a reward model, by its objective or its configuration."""
    path = Path(name) / "config.json"
    named = read_json(path).get("architectures") if path.is_file() else None
    if objective == "reward" or "SequenceClassification" in str(named):
        raise CurateError(f"{name}: is a reward model, which gives a row a score and no answer")


def _tokenizer(source: str, places: Sequence[Path], with_template: bool) -> tuple[Any, Path]:
    found = companions.tokenizer_folder(places)
    if found is None:
        raise CurateError(f"{source}: there is no tokenizer beside it, so no text can be read")
    tokenizer = model.read_tokenizer(str(found))
    if tokenizer is None or (with_template and not tokenizer.chat_template):
        raise CurateError(
            f"{found}: has no chat template (chat_template.jinja), so nobody knows how it is "
            "asked; put the one it was trained with there"
        )
    return tokenizer, found


def _net(name: str, adapter: adapters.Adapter | None, device: torch.device) -> Any:
    import torch

    cpu = torch.device("cpu")
    net = model.load(name, cpu, "float32")
    if adapter is not None:
        net = put_on.put_on(net, adapter)
        stays = adapter.is_prompt or adapter.is_between
        net = net if stays else put_on.merged(net, adapter)
    model.use_threads(net, device)
    is_short = "bfloat16" in (weights.local_folder(name) / "config.json").read_text("utf-8")
    return net.to(device, torch.bfloat16) if is_short and device != cpu else net.to(device)


def _stops(places: Sequence[Path], tokenizer: Any, net: Any) -> tuple[list[int], tuple[str, ...]]:
    """The stops of the first folder that names any, or else the tokenizer's end of text."""
    for folder in places:
        content = generation_of(folder)
        ids, strings = stops_of(content), tuple(stop_texts_of(content))
        if ids or strings:
            return ids, strings
    named = [*stops_of({"eos_token_id": net.config.eos_token_id})]
    if tokenizer.eos_token_id is not None:
        named.append(tokenizer.eos_token_id)
    return named, ()


# What a tokenizer's own template writes for messages and tools, where an answer begins.
Write = Callable[[Any, Sequence[Message], Any], str]


def by_transformers(tokenizer: Any, messages: Sequence[Message], tools: Any) -> str:
    """The prompt as transformers renders it, in this process, with no limit: not for strangers'.

    Raises `CurateError` for messages that the template does not take.
    """
    import jinja2

    try:
        return str(
            tokenizer.apply_chat_template(
                list(messages), tools=tools, add_generation_prompt=True, tokenize=False
            )
        )
    except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CurateError(f"the template does not take these messages: {first}") from error


def prompt_ids(
    talker: Talker, messages: Sequence[Message], tools: Any = None, write: Write = by_transformers
) -> tuple[int, ...]:
    """What the model is asked, by its template, up to where its answer begins.

    `write` renders the template. Raises `CurateError` for messages that it does not take.
    """
    text = write(talker.tokenizer, messages, tools)
    ids = tuple(talker.tokenizer(text, add_special_tokens=False)["input_ids"])
    if not ids:
        raise CurateError(
            f"{talker.folder}: its chat template writes nothing for these messages, and a model "
            "goes on from something"
        )
    return ids


def answers(
    talker: Talker,
    prompts: Sequence[tuple[int, ...]],
    sampling: Sampling,
    log: Callable[[str], None],
) -> list[Answer]:
    """An answer to each prompt; those of like length are written together.

    On a CPU an answer is the same beside others and alone. Raises `CurateError` for a prompt that
    leaves no room for an answer.
    """
    check_room(talker, prompts)
    found: dict[int, Answer] = {}
    for group in groups(talker, prompts, sampling):
        made = answer_group(talker, prompts, sampling, group)
        found |= zip(group, made, strict=True)
        log(f"{len(found):,} of {len(prompts):,} answered")
    return [found[number] for number in range(len(prompts))]


def check_room(talker: Talker, prompts: Sequence[tuple[int, ...]]) -> None:
    """Raise `CurateError` for a prompt that leaves no room for an answer."""
    if full := [number for number, prompt in enumerate(prompts) if not talker.room(prompt, 1)]:
        size = len(prompts[full[0]])
        raise CurateError(
            f"prompt {full[0] + 1} has {size:,} tokens, and the model {talker.positions:,} "
            f"positions, which leaves no room for an answer ({len(full)} such in all)"
        )


def groups(
    talker: Talker, prompts: Sequence[tuple[int, ...]], sampling: Sampling
) -> Iterator[list[int]]:
    """The numbers of the prompts that are answered together, one group after the other."""
    rooms = [talker.room(prompt, sampling.max_tokens) for prompt in prompts]
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    return together(order, rooms, AT_ONCE if takes_batches(talker.net) else 1)


def answer_group(
    talker: Talker, prompts: Sequence[tuple[int, ...]], sampling: Sampling, group: Sequence[int]
) -> list[Answer]:
    """The answers to one of the `groups` of prompts."""
    limit = talker.room(prompts[group[0]], sampling.max_tokens)
    writing = [_writing(talker, limit) for _ in group]
    pick = picker(talker, sampling, group)
    write(talker.net, [prompts[number] for number in group], limit, writing, pick)
    return [one.answer() for one in writing]


def _writing(talker: Talker, limit: int) -> Writing:
    return Writing(talker.stop_ids, talker.stop_strings, talker.decode, limit)


def answer(
    talker: Talker,
    prompt: tuple[int, ...],
    sampling: Sampling,
    number: int,
    show: Callable[[str], None],
) -> Answer:
    """An answer to one prompt, shown piece by piece; `number` says which draw it is."""
    limit = talker.room(prompt, sampling.max_tokens)
    writing = _Shown(talker, limit, show)
    write(talker.net, [prompt], limit, [writing], picker(talker, sampling, [number]))
    done = writing.answer()
    writing.rest(done.text or "")
    return done


class _Shown(Writing):
    """An answer that is shown while it is written."""

    def __init__(self, talker: Talker, limit: int, show: Callable[[str], None]) -> None:
        super().__init__(talker.stop_ids, talker.stop_strings, talker.decode, limit)
        self.show, self.shown = show, ""

    def take(self, token: int) -> None:
        super().take(token)
        # What may turn out to be the beginning of a stop is shown at the end, and so is half a
        # character.
        if self.decode is not None and not self.stop_strings:
            text = self.decode(self.ids)
            if not text.endswith("\ufffd"):
                self.rest(text)

    def rest(self, text: str) -> None:
        """Show what is not shown yet."""
        if text.startswith(self.shown) and text != self.shown:
            self.show(text[len(self.shown) :])
            self.shown = text


def no_numbers(talker: Talker) -> CurateError:
    """The error for a model whose logits are none."""
    return CurateError(
        f"{talker.folder}: the model gives numbers that are none (NaN); its weights are broken"
    )


def picker(
    talker: Talker, sampling: Sampling, numbers: Sequence[int]
) -> Callable[[torch.Tensor], torch.Tensor]:
    """How the next tokens of the prompts with these numbers are chosen by their logits."""
    import torch

    draws = [torch.Generator().manual_seed(sampling.seed * 1_000_003 + each) for each in numbers]

    def pick(logits: torch.Tensor) -> torch.Tensor:
        if bool(logits.isnan().any()):
            raise no_numbers(talker)
        if sampling.temperature == 0:
            return likeliest(logits)
        # Each prompt draws for itself, on the CPU, so that it does not matter what is beside it.
        below = (logits - logits.max(dim=-1, keepdim=True).values).double().cpu()
        shares = (below / sampling.temperature).softmax(dim=-1)
        drawn = [
            torch.multinomial(row, 1, generator=draw)
            for row, draw in zip(shares, draws, strict=True)
        ]
        return torch.stack(drawn).to(logits.device)

    return pick


def as_message(talker: Talker, text: str) -> dict[str, str]:
    """An answer as a message, its thoughts where the template looks for them."""
    template = talker.tokenizer.chat_template
    thoughts = split_thoughts(text) if "reasoning_content" in str(template) else None
    if thoughts is None:
        return {"role": "assistant", "content": text}
    return {
        "role": "assistant",
        "reasoning_content": thoughts.reasoning,
        "content": thoughts.content,
    }
