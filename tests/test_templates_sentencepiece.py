"""SentencePiece models read as they are: pieces by score, spaces, bytes, special tokens."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from templates import load_template, load_tokenizer
from templates.tokenizer.tokenizer import Tokenizer
from tests.templates_toys import ids, refusal, rendered, talk, trained

INST = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
BYTES = [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
LETTERS = [(char, -50.0 - n, 1) for n, char in enumerate("▁abcx[]/INST:")]


def field(number: int, value: Any) -> bytes:
    """A field of a protocol buffer; whole numbers here are smaller than 128, or -1."""
    if isinstance(value, float):
        return bytes([number << 3 | 5]) + struct.pack("<f", value)
    key = number << 3 | (0 if isinstance(value, int) else 2)
    written = bytes([key & 127 | 128, key >> 7]) if key > 127 else bytes([key])
    if isinstance(value, int):
        return written + (b"\xff" * 9 + b"\x01" if value < 0 else bytes([value]))
    raw = value if isinstance(value, bytes) else value.encode()
    size = len(raw)
    return written + bytes([size & 127 | 128, size >> 7] if size > 127 else [size]) + raw


def model(*segments: tuple[str, float, int], kind: int = 2, **other: int) -> bytes:
    """A model file: unknown, begin and end, then the pieces."""
    control = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    written = [
        field(1, text) + field(2, score) + field(3, k) for text, score, k in [*control, *segments]
    ]
    trainer = field(3, kind) + field(35, other.get("fallback", 0)) + field(41, other.get("bos", 1))
    normalizer = field(3, other.get("prefix", 1)) + field(4, other.get("squeezes", 0))
    return (
        b"".join(field(1, segment) for segment in written)
        + field(2, trainer)
        + field(3, normalizer)
    )


def read(path: Path, raw: bytes, **config: Any) -> Tokenizer:
    (path / "tokenizer.model").write_bytes(raw)
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    return load_tokenizer(str(path))


def segments(tokenizer: Tokenizer, text: str) -> list[str]:
    found: list[str] = tokenizer.backend.encode(text, add_special_tokens=False).tokens
    return found


def test_neighbours_with_the_best_score_are_joined_first_wherever_they_stand(
    tmp_path: Path,
) -> None:
    raw = model(*LETTERS, ("ab", -9.0, 1), ("bc", -2.0, 1), prefix=0)
    assert segments(read(tmp_path, raw), "abcab") == ["a", "bc", "ab"]


def test_runs_of_spaces_with_the_worst_score_are_joined_last(tmp_path: Path) -> None:
    raw = model(("▁▁", -1e9, 1), ("▁▁▁", -1e9, 1), *LETTERS, ("▁x", -3.0, 1))
    assert segments(read(tmp_path, raw), "a   x") == ["▁", "a", "▁▁", "▁x"]


def test_nothing_is_joined_into_a_control_token_or_a_byte(tmp_path: Path) -> None:
    letters = [(char, -60.0 - n, 1) for n, char in enumerate("<s>0x1/")]
    tokenizer = read(tmp_path, model(*LETTERS, *letters, ("s>", -1.0, 1), *BYTES, fallback=1))
    front = tokenizer.segments.front("cut")
    assert front.encode("<s>").tokens == ["<", "s>"]
    assert "<0x11>" not in front.encode("<0x11>").tokens


@pytest.mark.parametrize("kind", [1, 2], ids=["unigram", "bpe"])
def test_an_emoji_is_its_bytes_with_byte_fallback_and_refused_without(
    tmp_path: Path, kind: int
) -> None:
    talks = [talk("a", "b 😀"), talk("a", "b")]
    done = rendered(INST, read(tmp_path, model(*LETTERS, *BYTES, kind=kind, fallback=1)), *talks)
    assert trained(done) == [" b 😀</s>"]
    assert trained(done, 1) == [" b</s>"]
    lossy = rendered(INST, read(tmp_path, model(*LETTERS, kind=kind)), *talks)
    check, message = refusal(lossy)
    assert check == "decode_mismatch" and "<unk>" in message
    assert trained(lossy) == [" b</s>"]


def test_a_unigram_model_takes_the_likeliest_pieces(tmp_path: Path) -> None:
    raw = model(*LETTERS, ("ab", -3.0, 1), ("bc", -9.0, 1), ("abc", -60.0, 1), kind=1, prefix=0)
    assert segments(read(tmp_path, raw), "abcab") == ["ab", "c", "ab"]


def test_one_space_stands_before_a_text_and_none_where_the_model_wants_none(tmp_path: Path) -> None:
    assert segments(read(tmp_path, model(*LETTERS)), "a<s>b") == ["▁", "a", "<s>", "b"]
    legacy = read(tmp_path, model(*LETTERS), legacy=True)
    assert segments(legacy, "a<s>b") == ["▁", "a", "<s>", "▁", "b"]
    assert segments(read(tmp_path, model(*LETTERS, prefix=0)), "a<s>b") == ["a", "<s>", "b"]


def test_spaces_are_squeezed_where_the_model_says_so(tmp_path: Path) -> None:
    squeezing = read(tmp_path, model(*LETTERS, squeezes=1))
    assert segments(squeezing, "  a   b  ") == ["▁", "a", "▁", "b"]


def test_special_tokens_come_from_the_model_unless_the_configuration_names_others(
    tmp_path: Path,
) -> None:
    raw = model(*LETTERS, ("<turn>", 0.0, 4))
    tokenizer = read(tmp_path, raw, eos_token="<turn>")
    assert tokenizer.special == {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "<turn>"}
    assert (tokenizer.adds_bos, list(tokenizer.controls)) == (
        True,
        ["<unk>", "<s>", "</s>", "<turn>"],
    )
    assert not read(tmp_path, raw, add_bos_token=False).adds_bos
    assert "bos_token" not in read(tmp_path, model(*LETTERS, bos=-1)).special


def test_other_files_of_that_name_are_refused(tmp_path: Path) -> None:
    for raw in (b"IQ== 0\nIg== 1\n", b"", b"\x0a\xff"):
        with pytest.raises(CurateError, match="not a SentencePiece model"):
            read(tmp_path, raw)
    with pytest.raises(CurateError, match="expected BPE or Unigram"):
        read(tmp_path, model(*LETTERS, kind=3))
    (tmp_path / "tokenizer.model").unlink()
    with pytest.raises(CurateError, match=r"no tokenizer.json and no tokenizer.model"):
        load_tokenizer(str(tmp_path))


def test_a_real_model_cuts_an_indented_line_as_sentencepiece_does(
    test_data: Path, tmp_path: Path
) -> None:
    shutil.copy(test_data / "tokenizers" / "llama2" / "tokenizer.model", tmp_path)
    tokenizer = load_tokenizer(str(tmp_path))
    assert segments(tokenizer, "if a:\n    for é in 你:😀")[:8] == (
        ["▁if", "▁a", ":", "<0x0A>", "▁▁▁", "▁for", "▁é", "▁in"]
    )
    whole = load_tokenizer(str(test_data / "tokenizers" / "llama2"))
    assert whole.controls == tokenizer.controls
    rows = json.loads((test_data / "raw" / "alpaca_zh_demo.json").read_text("utf-8"))[:100]
    texts = [row["output"] for row in rows if "  " not in row["output"]]
    assert [segments(tokenizer, text) for text in texts] == [
        segments(whole, text) for text in texts
    ]


def test_mistrals_golden_ids_come_from_its_model_file_too(test_data: Path, tmp_path: Path) -> None:
    shutil.copy(test_data / "tokenizers" / "mistral-v3" / "tokenizer.model", tmp_path)
    folder = test_data / "rendering" / "mistral" / "no_tools"
    messages = json.loads((folder / "sample.json").read_text())["messages"]
    golden = json.loads((folder / "tokens_v3.json").read_text())["tokens"]
    tokenizer = load_tokenizer(str(tmp_path))
    done = rendered(load_template("mistral", tokenizer), tokenizer, messages)
    assert ids(done) == golden
