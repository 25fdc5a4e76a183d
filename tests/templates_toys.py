"""Small tokenizers trained on the spot, and records and renderings to try templates with."""

from __future__ import annotations

import functools
import json
from typing import Any

import polars as pl
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from curate.base.schema import RECORDS, content_id
from templates.options import DEFAULTS, RenderOptions
from templates.provers import provers
from templates.render import RowRenderer, render
from templates.template import ChatTemplate
from templates.tokenizer.tokenizer import Tokenizer, make_tokenizer
from templates.tokens.rendered import Rendered

CORPUS = [
    "Hello there, how are you? I am fine, thank you very much.",
    "user system assistant: the answer is yes. The answer is no!\n\nHuman: hi\n\nAssistant: ok",
    "### Instruction:\nSay hi.\n\n### Response: hi hi ok okay",
    "a cat and a dog sat on the mat;\nthe mat was red\n\n",
] * 5
WORDS = ("USER", "BOT", "hi", "ok", "yes", "no", "cat", ":", ".", "!", "so")
# Words that break things: control tokens, byte tokens, spaces of all kinds, joining characters.
AWKWARD = (
    *["hi", "ok", "the", "answer", "is", "yes", "no", " answer", "assistant", "user"],
    *[" ", "\n", "\t", "  ", "\n\n", "\r\n", "\u200b", "\u0000"],
    *["\u00e9", "e\u0301", "😀", "👩‍👧", "你好", "▁", "<0x41>", "<s>", "</s>", "<unk>"],
    *["[INST]", "[/INST]", "<|im_start|>", "<|im_end|>", "<|im", "_end|>", "<|eot_id|>", "<|eos|>"],
    *["Human:", "Assistant:", "ASSISTANT:", "### Response:", "{{ 7 * 7 }}", "|", ">", "!", ":"],
    *["<think>", "<tool_call>"],
)
THINKING = (*AWKWARD, "</think>")  # with it, a part of an answer may be moved as its thoughts
CONTROL = ["<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>"]

CHATML = (
    r"{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    r"{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@functools.cache
def byte_level(**options: Any) -> Tokenizer:
    """A byte-level BPE with ChatML's tokens, `<think>` as a plain added token, trimmed offsets."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC() if options.get("nfc") else None
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    backend.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=420,
            special_tokens=CONTROL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    backend.add_tokens(["<think>"])
    special = {"bos_token": "<|bos|>", "eos_token": "<|eos|>"}
    return make_tokenizer(backend, special, name="byte-level")


@functools.cache
def metaspace() -> Tokenizer:
    """SentencePiece style: `▁` before the text, byte fallback, and a `<s>` of its own accord."""
    special = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
    backend = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    )
    whole = json.loads(backend.to_str())
    vocabulary = whole["model"]["vocab"]
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    whole["model"]["byte_fallback"] = True
    backend = tokenizers.Tokenizer.from_str(json.dumps(whole))
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    backend.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return make_tokenizer(backend, {"bos_token": "<s>", "eos_token": "</s>"}, name="metaspace")


@functools.cache
def prepending() -> Tokenizer:
    """The older SentencePiece style: a normaliser puts `▁` before every stretch of text."""
    whole = json.loads(metaspace().backend.to_str())
    whole["pre_tokenizer"] = None
    backend = tokenizers.Tokenizer.from_str(json.dumps(whole))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    return make_tokenizer(backend, {"bos_token": "<s>", "eos_token": "</s>"}, name="prepending")


@functools.cache
def words() -> Tokenizer:
    """Whole words; the pre-tokenizer throws white space away."""
    vocabulary = ["<unk>", "<eos>", *WORDS]
    backend = tokenizers.Tokenizer(
        models.WordLevel({word: n for n, word in enumerate(vocabulary)}, unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.add_special_tokens(["<unk>", "<eos>"])
    return make_tokenizer(backend, {"eos_token": "<eos>"}, name="words")


@functools.cache
def merging() -> Tokenizer:
    """A byte-level BPE that merges over anything: `|>` and a line break are one token."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        ["|>\n", "x|>\n", "ok|>", ": o", ": y"] * 9,
        trainers.BpeTrainer(
            vocab_size=265,
            special_tokens=["<|eos|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return make_tokenizer(backend, {"eos_token": "<|eos|>"}, name="merging")


def template(source: str, name: str = "toy") -> ChatTemplate:
    return ChatTemplate(name, source, "test")


def talk(*contents: str | None) -> list[dict[str, Any]]:
    """User and assistant in turn."""
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": text} for n, text in enumerate(contents)]


def records(*conversations: list[dict[str, Any]], tools: Any = None) -> pl.DataFrame:
    """RECORDS of conversations; tool calls may be given as objects."""
    given = [[_message(message) for message in messages] for messages in conversations]
    rows = {
        "row": range(len(given)),
        "id": [content_id(messages) for messages in given],
        "source": ["toy.jsonl"] * len(given),
        "line": range(1, len(given) + 1),
        "messages": given,
        "tools": [json.dumps(tools) if tools else None] * len(given),
        "meta": ["{}"] * len(given),
    }
    empty = {name: [None] * len(given) for name in RECORDS if name not in rows}
    return pl.DataFrame(rows | empty, schema_overrides=dict(RECORDS)).select(RECORDS.names())


def _message(message: dict[str, Any]) -> dict[str, Any]:
    calls = message.get("tool_calls")
    written = json.dumps(calls) if isinstance(calls, list) else calls
    return {**message, "tool_calls": written}


def rendered(
    source: str | ChatTemplate, tokenizer: Tokenizer, *conversations: Any, **options: Any
) -> Rendered:
    tools = options.pop("tools", None)
    chosen = template(source) if isinstance(source, str) else source
    return render(records(*conversations, tools=tools), chosen, tokenizer, RenderOptions(**options))


def row_renderer(
    source: str | ChatTemplate,
    tokenizer: Tokenizer,
    options: RenderOptions = DEFAULTS,
    fast: bool = True,
) -> RowRenderer:
    """A template ready for rows of any kind; it is the only one."""
    chosen = template(source) if isinstance(source, str) else source
    return RowRenderer(provers(records(), chosen, tokenizer, options, fast), options, fast)


def refusal(done: Rendered, number: int = 0) -> tuple[str, str]:
    """Check and message of a refused row."""
    row = done.refused.row(number, named=True)
    return row["check"], row["message"]


def trained(done: Rendered, number: int = 0) -> list[str]:
    """What the trained tokens of an example say, run by run."""
    row = done.examples.row(number, named=True)
    runs: list[list[int]] = [[]]
    for token, label in zip(row["input_ids"], row["labels"], strict=True):
        if label == -100:
            runs.append([])
        else:
            assert label == token
            runs[-1].append(token)
    return [done.tokenizer.segments.decode(run).decode() for run in runs if run]


def ids(done: Rendered, number: int = 0) -> list[int]:
    found: list[int] = done.examples["input_ids"][number].to_list()
    return found
