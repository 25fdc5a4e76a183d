"""Which fields are about a row, by their names and values: never a part of what is said in it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from curate.sources.shared.tasks import SOURCE_FROM

# Names of fields that are about a row, never a part of what is said in it.
_ABOUT = frozenset((
    "__index_level_0__", "annotator", "annotator_id", "annotators", "answer_idx", "answer_index",
    "answer_key", "answerkey", "author", "cache_control", "channel", "checkpoint", "checksum",
    "cmp_key", "content_type", "create_time", "created", "created_at", "stop", "stop_sequences",
    "creation_date", "date", "date_created", "datetime", "digest", "encoding", "end_turn",
    "engine", "file", "file_name", "filename", "filepath", "fingerprint", "finish_reason",
    "format", "from", "generator", "guid", "hash", "href", "id", "ids", "idx", "image",
    "image_url", "index", "judge", "key", "kind", "lang", "language", "last_edit_date",
    "licence", "license", "line", "link", "links", "llm", "locale", "md5", "memory_scope",
    "mime_type", "model", "model_id", "model_name", "model_slug", "models", "modified", "n",
    "no", "num", "number", "object", "order", "path", "pos", "position", "rank", "ranks",
    "rating", "ratings", "recipient", "revision", "reward", "rewards", "role", "row", "score",
    "scores", "seed", "sender", "sha", "sha1", "sha256", "signature",
    "speaker", "split", "state", "status", "stop_reason", "temperature", "time", "timestamp",
    "timestamps", "tokenizer", "top_p", "ts", "turn", "turn_index", "type", "uid", "update_time",
    "updated", "updated_at", "uri", "url", "urls", "user_id", "user_names", "userid", "username",
    "uuid", "version", "votes", "winner", "worker",
))  # fmt: skip
_ABOUT_ENDS = (
    *("_id", "_ids", "_uuid", "_hash", "_url", "_uri", "_date", "_time", "_timestamp", "_at"),
    *("_score", "_rating", "_model", "_slug", "_idx", "_index", "_sha256", "_md5", "_type"),
)

# Names of labels: words, but about the row, as long as they are few.
_LABELS = frozenset((
    "activity_label", "annotation_type", "capability", "categories", "category", "cluster",
    "config", "conversation_style", "country", "dataset", "dataset_name", "dialect",
    "difficulty", "domain", "domains", "entry_point", "field", "gender", "group",
    "input_quality", "intent", "intent_type", "label", "labels", "level", "levels",
    "origin", "prompt_type", "quality", "reference_type", "region", "skill", "skills",
    "source", "sources", "style", "sub_task", "subject", "subjects", "subset", "tag", "tags",
    "task", "task_name", "task_type", "tasks", "template", "topic", "topics",
))  # fmt: skip
# A label has at most this many words; a `source` of more is a text.
LABEL_WORDS = SOURCE_FROM - 1

_ABOUT_VALUE = re.compile(
    r"""
    (?:https?|ftp|s3|gs|file)://\S+                        # urls
    | [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}
    | (?:sha256:)?(?=[a-f]*\d)[0-9a-f]{16,}                # hashes
    | \d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\ ?[-+]\d\d:?\d\d|\ UTC)?)?
    | [^\W_]+@[\w.-]+
    | client-created-root                                  # ChatGPT's first node
    """,
    re.VERBOSE | re.IGNORECASE,
)


@lru_cache(maxsize=10_000)
def is_label_name(name: str) -> bool:
    """Whether a field of this name holds a label of the row, as long as it has few words.

    >>> is_label_name("topic"), is_label_name("extra.topic")
    (True, True)
    """
    return name.rpartition(".")[2].lower() in _LABELS


@lru_cache(maxsize=10_000)
def is_about(name: Any) -> bool:
    """Whether a field of this name is about the row."""
    known = str(name).lower().rstrip("0123456789").rstrip("_")
    return known in _ABOUT or known.endswith(_ABOUT_ENDS)


def says_about(name: Any, value: Any) -> bool:
    """Whether a field is about the row by its name; objects may hold words under any name."""
    if not is_about(name):
        return False
    return not isinstance(value, dict) and not (
        isinstance(value, list) and any(isinstance(item, list | dict) for item in value)
    )


def is_about_value(text: str) -> bool:
    """Whether a text is about a row whatever its field: a url, a hash, a date, an address."""
    return _ABOUT_VALUE.fullmatch(text) is not None
