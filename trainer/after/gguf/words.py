"""A tokenizer in a GGUF file: byte-level BPE that cuts text in a way llama.cpp has a name for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError, some_of
from trainer.after.gguf.architectures import refused
from trainer.config.adapter_files import read_json
from trainer.models import model
from trainer.models.generation import generation_of, stop_texts_of, stops_of

if TYPE_CHECKING:
    import gguf

_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA = _QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
# Ways of cutting text before BPE, as tokenizer.json has them, and what llama.cpp calls them.
_CUTS: Mapping[str, Sequence[str]] = {
    "gpt-2": ("ByteLevel regex",),
    "smollm": ("Digits each", "ByteLevel regex"),
    "qwen2": (f"Split {_QWEN}", "ByteLevel"),
    "llama-bpe": (f"Split {_LLAMA}", "ByteLevel"),
}
# Texts that are control tokens for llama.cpp, whether they are said to be special or not.
_CONTROL = re.compile(r"<\|.*\|>|<｜.*｜>|<unused\d+>|<pad>|<mask>", re.DOTALL)


def check(folder: Path, rows: int) -> None:
    """Refuse a tokenizer that is none of those that are known, or has more tokens than `rows`."""
    content = _content(folder)
    _cut(folder, content)
    if beyond := sorted(number for number in _texts(content) if number >= rows):
        raise CurateError(
            f"{folder}: its tokenizer has a token {beyond[0]}, and the model has {rows} rows; they "
            "are not of the same checkpoint"
        )


def _content(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise refused(folder, "it has no tokenizer.json")
    content = read_json(path)
    about = content["model"]
    if about.get("type") != "BPE" or about.get("byte_fallback"):
        raise refused(folder, f"its tokenizer is no byte-level BPE but {about.get('type')}")
    return content


def _cut(folder: Path, content: Mapping[str, Any]) -> str:
    """The name of how text is cut. Raises `CurateError` for another way."""
    pieces = [_piece(each) for each in _flat(content.get("pre_tokenizer"))]
    for name, known in _CUTS.items():
        if pieces == list(known):
            return name
    raise refused(folder, f"its tokenizer cuts text in a way that is not known ({some_of(pieces)})")


def _flat(cutter: Any) -> list[dict[str, Any]]:
    if not isinstance(cutter, dict):
        return []
    if cutter.get("type") == "Sequence":
        return [piece for each in cutter["pretokenizers"] for piece in _flat(each)]
    return [cutter]


def _piece(cutter: Mapping[str, Any]) -> str:
    """One step of cutting in a few words, with all that decides what it does."""
    kind = str(cutter.get("type"))
    if kind == "ByteLevel" and not cutter.get("add_prefix_space"):
        return "ByteLevel regex" if cutter.get("use_regex", True) else "ByteLevel"
    if kind == "Digits":
        return "Digits each" if cutter.get("individual_digits") else "Digits"
    is_plain = cutter.get("behavior") == "Isolated" and not cutter.get("invert")
    if kind == "Split" and is_plain and "Regex" in cutter["pattern"]:
        return f"Split {cutter['pattern']['Regex']}"
    return f"{kind} with other settings"


def _texts(content: Mapping[str, Any]) -> dict[int, str]:
    """Every token by its id; the added ones as they are spelt."""
    words = {number: text for text, number in content["model"]["vocab"].items()}
    return words | {each["id"]: each["content"] for each in content.get("added_tokens") or ()}


def describe(writer: gguf.GGUFWriter, folder: Path, rows: int) -> list[str]:
    """Write tokens, merges, ends of text and templates; lines on what has no place there."""
    from gguf import SpecialVocab

    content = _content(folder)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_cut(folder, content))
    texts, kinds = _tokens(content, rows)
    writer.add_token_list(texts)
    writer.add_token_types(kinds)
    special = SpecialVocab(folder, load_merges=True, n_vocab=rows)
    tokenizer = model.read_tokenizer(str(folder))
    asked = [] if tokenizer is None else tokenizer("a")["input_ids"]
    bos, eos = (special.special_token_ids.get(name) for name in ("bos", "eos"))
    # Whether a text begins and ends with them is what the tokenizer does, whatever its files say.
    special.add_special_token = {"bos": asked[:1] == [bos]}
    if asked[-1:] == [eos]:
        special.add_special_token["eos"] = True
    special.add_to_gguf(writer, quiet=True)
    writer.add_add_space_prefix(False)
    return _add_stops(writer, folder, eos)


def _tokens(content: Mapping[str, Any], rows: int) -> tuple[list[str], list[int]]:
    """Text and kind of every row; rows without a token are unused."""
    from gguf import TokenType

    known, special = _texts(content), {}
    for each in content.get("added_tokens") or ():
        special[each["id"]] = bool(each.get("special")) or bool(_CONTROL.fullmatch(each["content"]))
    texts, kinds = [], []
    for number in range(rows):
        texts.append(known.get(number, f"[PAD{number}]"))
        if number not in known:
            kind = TokenType.UNUSED
        elif number in special:
            kind = TokenType.CONTROL if special[number] else TokenType.USER_DEFINED
        else:
            kind = TokenType.NORMAL
        kinds.append(int(kind))
    return texts, kinds


def _add_stops(writer: gguf.GGUFWriter, folder: Path, eos: int | None) -> list[str]:
    """Write the stop beside `eos`, of which there is room for one; lines on all others."""
    named = generation_of(folder)
    others = [number for number in stops_of(named) if number != eos]
    if others:
        writer.add_eot_token_id(others[0])
    lines = []
    if others[1:]:
        lines.append(
            f"a GGUF names two ends of an answer; the stops {some_of(list(map(str, others[1:])))} "
            "of generation_config.json are not in it"
        )
    if texts := stop_texts_of(named):
        shown = some_of([repr(one) for one in texts])
        lines.append(f"a GGUF names no texts that end an answer; give {shown} to whatever runs it")
    return lines
