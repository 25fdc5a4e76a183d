"""Files that hold no rows, or none that are read: what they are, by their first bytes."""

from __future__ import annotations

import re

from curate.sources.files.charsets import encoding_of
from curate.sources.files.packed import is_packed

_CODE = "loading it could run a stranger's code"
_WEIGHTS = "give the data that it is to learn from"
_CONVERT = "convert it to parquet or JSON Lines"

# What a file begins with, what it then is, and what to do.
_BEGINS: list[tuple[bytes, str, str]] = [
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "run: git lfs pull"),
    (b"%PDF-", "a PDF document", "save its rows as JSON Lines or CSV"),
    (b"SQLite format 3\0", "an SQLite database", "export its table as CSV"),
    (b"\x93NUMPY", "a NumPy array, which has no named fields", _CONVERT),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", _CONVERT),
    (b"GGUF", "the weights of a model (GGUF)", _WEIGHTS),
    (b"Obj\x01", "an Apache Avro file", _CONVERT),
    (b"FEA1", "a Feather file of version 1", "write it again as Feather version 2 or parquet"),
    (b"ORC", "an Apache ORC file", _CONVERT),
    (b"PARE", "an encrypted parquet file", "decrypt it first"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Word or Excel document", "save it as CSV"),
    (b"{\\rtf", "a rich text document", "save its rows as JSON Lines or CSV"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it first"),
    (b"\x04\x22\x4d\x18", "a file packed with lz4", "unpack it first: unlz4"),
    (b"\xff\x06\x00\x00sNaPpY", "a file packed with snappy", "unpack it first"),
    (b"\x1f\x9d", "a file packed with compress", "unpack it first: uncompress"),
    (b"PK\x03\x04", "a zip archive inside of something else", "unpack it first"),
    (b"PK\x05\x06", "an empty zip archive", "zip it again"),
    (b"\x89PNG", "a picture", "give the file with the rows"),
    (b"\xff\xd8\xff", "a picture", "give the file with the rows"),
]
_TAR_AT = 257

_HTML = re.compile(rb"\s*(?:<(?:\?xml[^>]*|!--.*?--)>\s*)*<(?:!doctype\s+html|html|head|body)\b")
_XML = re.compile(rb"\s*<(?:\?xml|!doctype|!--|[a-z][\w:.-]*[\s>/](?![,;]))")

# Bytes that no text holds, and how many of the first ones may be such before it is none.
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_LOOKED_AT = 4096
_SHARE = 0.05


def what_it_is(data: bytes) -> str | None:
    """What a file is and what to do with it, if it holds no rows that can be read; else None.

    >>> what_it_is(b"version https://git-lfs.github.com/spec/v1")
    'this is a Git LFS pointer, not the file itself; run: git lfs pull'
    """
    for begins, kind, advice in _BEGINS:
        if data.startswith(begins) and (begins != b"ORC" or b"\0" in data[:_LOOKED_AT]):
            return f"this is {kind}; {advice}"
    if data[_TAR_AT : _TAR_AT + 5] == b"ustar":
        return "this is a tar archive; unpack it first: tar -xf"
    if is_packed(data):
        return "this is packed twice; unpack it once first"
    if _is_pickle(data):
        kind = "a pickle (or an old PyTorch file), which is never loaded"
        return f"this is {kind}: {_CODE}; {_CONVERT}"
    if _is_safetensors(data):
        return f"this is the weights of a model (safetensors); {_WEIGHTS}"
    return _markup(data[:_LOOKED_AT].removeprefix(b"\xef\xbb\xbf").lower()) or _binary(data)


def _markup(begin: bytes) -> str | None:
    if _HTML.match(begin):
        return "this is a web page (HTML), perhaps of an error or a login; download the data again"
    if _XML.match(begin):
        return "this is XML; convert it to JSON Lines or CSV"
    return None


def _is_pickle(data: bytes) -> bool:
    """Protocols 2 to 5 begin with their number, and every pickle ends with a full stop."""
    return data[:1] == b"\x80" and data[1:2] in (b"\2", b"\3", b"\4", b"\5")


def _is_safetensors(data: bytes) -> bool:
    """The length of a header of JSON, and the header."""
    length = int.from_bytes(data[:8], "little")
    return data[8:10] == b'{"' and 2 <= length <= len(data) - 8 and b"\0" in data[:8]


def _binary(data: bytes) -> str | None:
    """Something that is no text. UTF-16 and UTF-32 hold such bytes too, and are text."""
    begin = data[:_LOOKED_AT]
    if encoding_of(begin) is not None:
        return None
    if len(_CONTROLS.findall(begin)) > _SHARE * len(begin) + 1:
        return "this is binary data of no kind that is known; save the rows as JSON Lines or CSV"
    return None
