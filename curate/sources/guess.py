"""Rows that could not be read: what is wrong with most, and what their fields may mean.

A guess is only ever proposed, never used: whoever knows the data decides.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import product
from statistics import fmean
from typing import Any, NamedTuple

import polars as pl

from curate.base.errors import CurateError, nearest
from curate.base.spelling import mapped, option, verb
from curate.base.terminal import printable
from curate.sources.files.items import Item
from curate.sources.options import ReadOptions
from curate.sources.reader import Reader
from curate.sources.shape import MAPPABLE
from curate.sources.shared.convert import ANSWERS, QUESTIONS
from curate.sources.shared.tasks import is_material_name

SAMPLE = 300  # rows that a guess is made from
LONGEST = 1_000_000  # characters of a row that is looked at
SHOWN = 120  # characters of a row in a message
GUESSED = ("unknown_shape", "no_answer")  # rejects that other names of fields can explain

# Words in the names of columns: first those that name what is asked, or what is answered, for sure.
_ASKS_SURELY = """
    q question query prompt instruction problem ask request inquiry enquiry utterance user human
    customer riddle exercise command frage anfrage aufgabe pregunta consulta pergunta domanda vraag
    fråga spørgsmål spørsmål kysymys otázka pytanie soru câuhỏi pertanyaan întrebare kérdés ερώτηση
    вопрос запрос питання سؤال سوال שאלה प्रश्न คำถาม
    问题 問題 提问 提問 问 問 指令 提示 質問 질문 문제"""
_ASKS_LIKELY = """
    input source src text article document doc dialogue dialog context passage premise message
    sentence sentence1 title body content story paragraph eingabe entrada texto entrée texte
    ввод текст 输入 輸入 入力 입력 原文 文本"""
_ANSWERS_SURELY = """
    a answer ans response resp reply completion output solution assistant bot chatbot ai model gpt
    agent generation antwort lösung ausgabe respuesta solución resposta solução risposta réponse
    reponse antwoord svar vastaus odpověď odpowiedź cevap yanıt trảlời jawaban răspuns válasz
    απάντηση ответ відповідь إجابة جواب پاسخ תשובה उत्तर คำตอบ
    回答 答案 答 答复 回复 回覆 解答 応答 답변 대답 답"""
_ANSWERS_LIKELY = """
    target tgt label summary highlight abstract translation result sentence2 hypothesis headline
    prediction generated explanation salida saída sortie résumé zusammenfassung вывод
    输出 輸出 出力 출력 摘要 总结 译文"""
# A name that ends in one of these holds something about a text, not the text.
_ABOUT = """
    id uid uuid idx index url uri link href date time timestamp lang language type kind count len
    length score rank rating hash sha md5 number num version license author name tokens split"""


def _weights(surely: str, likely: str) -> dict[str, float]:
    return dict.fromkeys(likely.split(), 2.0) | dict.fromkeys(surely.split(), 3.0)


_ASKS = _weights(_ASKS_SURELY, _ASKS_LIKELY)
_ANSWERS = _weights(_ANSWERS_SURELY, _ANSWERS_LIKELY)


class Column(NamedTuple):
    """A column of texts: how much there is, and how much of it looks like a question."""

    name: str
    words: float  # a text, on the average
    asking: float  # share of the texts that end in a question mark
    distinct: float  # share of the texts that are not another one's copy

    @property
    def is_prose(self) -> bool:
        """Whether these are sentences, rather than labels."""
        return self.words >= 3 and self.distinct > 0.5


def check_mapped(columns: Mapping[str, str]) -> None:
    """Raise `CurateError` for a column that is mapped to a field that no format knows."""
    for name in columns:
        if name not in MAPPABLE:
            hint = nearest(name, MAPPABLE)
            raise CurateError(
                f"{mapped({name: columns[name]})}: no format has a field {name!r}{hint}"
                f"{' Fields' if hint else '; fields'} that can be mapped: {', '.join(MAPPABLE)}"
            )


def unreadable(
    rejects: Iterable[pl.DataFrame], read: int, options: ReadOptions, can_map: bool = True
) -> str:
    """One sentence on rows that could not be read: how many, why most, one of them, what to try.

    `rejects` are those of a `Dump` (`reject_parts`, at least one row), `read` counts all its rows.
    Text of the data in it is cut, and safe for a terminal. `can_map` says whether columns can be
    mapped where the sentence is read, or only in `curate run`.
    """
    faults = _faults(rejects)
    slug, most = min(faults.counts.items(), key=lambda each: (-each[1], each[0]))
    rejected = faults.counts.total()
    parts = [
        f"none of {read:,} rows could be read"
        if rejected == read
        else f"{rejected:,} of {read:,} rows could not be read",
        f"most: {slug} ({most:,}), such as {_shown(faults.first[slug])}",
        *_advice(faults, options, mapped if can_map else _mapped_in_run),
    ]
    return "; ".join(parts)


class _Faults(NamedTuple):
    """What is wrong with rows: how often, the first of each, and rows that a guess may explain."""

    counts: Counter[str]  # by slug
    first: dict[str, dict[str, Any]]
    guessed: list[str]

    @property
    def only_most(self) -> list[str]:
        """The slugs that no other outnumbers."""
        return [slug for slug, count in self.counts.items() if count == max(self.counts.values())]


def _faults(rejects: Iterable[pl.DataFrame]) -> _Faults:
    faults = _Faults(Counter(), {}, [])
    for frame in rejects:
        by_slug = frame.with_columns(slug=pl.col("reason").str.split(":").list.first())
        faults.counts.update(dict(by_slug["slug"].value_counts().iter_rows()))
        new = by_slug.filter(~pl.col("slug").is_in(list(faults.first)))
        for row in new.unique("slug", keep="first", maintain_order=True).iter_rows(named=True):
            faults.first[row["slug"]] = row
        raw = by_slug.filter(pl.col("slug").is_in(GUESSED))["raw"]
        faults.guessed.extend(raw.head(SAMPLE - len(faults.guessed)))
    return faults


def _shown(reject: Mapping[str, Any]) -> str:
    """Where an unreadable row is, why it is one, and how it begins."""
    where = f"{reject['source']}:{reject['line']}" if reject["line"] else reject["source"]
    why = " ".join(reject["reason"].partition(": ")[2].split())
    raw = " ".join(reject["raw"][: 4 * SHOWN].split())
    begins = f": {printable(raw[:SHOWN])}{' …' if len(raw) > SHOWN else ''}" if raw else ""
    return f"{printable(where)} ({printable(why, 2 * SHOWN)}){begins}"


def _mapped_in_run(columns: Mapping[str, str]) -> str:
    return f"{verb('run')} with {mapped(columns)}, and give the run"


def _advice(
    faults: _Faults, options: ReadOptions, mapped: Callable[[Mapping[str, str]], str]
) -> Iterator[str]:
    """What could be tried so that more rows are read; nothing where names are not the matter."""
    rows = faults.guessed
    if not rows:
        return
    if options.format is not None and _reads(rows, replace(options, format=None)):
        yield f"leave out {option('format', options.format)}: without it such rows can be read"
        return
    columns = mapping(rows)
    if columns and _reads(rows, replace(options, format=None, columns=columns)):
        if options.format is not None:
            yield f"leave out {option('format', options.format)}"
        if dict(columns) != dict(options.columns):
            yield f"try {mapped(columns)}"
    elif inner := nested(rows):
        yield (
            f"the texts seem to lie in inner fields ({' and '.join(inner.values())}), and only "
            f"fields at the top can be mapped; write them there first{_with_jq(inner)}"
        )
    elif faults.only_most == ["unknown_shape"]:
        example = mapped({"prompt": "FIELD", "response": "FIELD"})
        yield f"if a field holds what is asked, and another the answer, name them: {example}"


def _reads(rows: Sequence[str], options: ReadOptions) -> bool:
    """Whether most of the raw rows can be read so."""
    reader = Reader("", options)
    reader.take(Item(number, value) for number, value in enumerate(_objects(rows), 1))
    reader.finish()
    read = reader.into.place()
    return read.records > read.rejects


def _objects(rows: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for raw in rows[:SAMPLE]:
        try:
            row = json.loads(raw) if len(raw) < LONGEST else None
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            found.append(row)
    return found


def mapping(rows: Sequence[str]) -> dict[str, str] | None:
    """Which columns hold what is asked and what is answered, by the names that formats know.

    `rows` are raw rows as JSON text (`Dump.rejects["raw"]`). None where that is not plain: two
    columns of texts that most rows have, which their names or their texts tell apart. A column
    whose own name is known is left out.

    >>> mapping(['{"q": "What is the sea?", "a": "Water."}'])
    {'prompt': 'q', 'response': 'a'}
    >>> mapping(['{"instruction": "Add.", "reply": "3"}'])
    {'response': 'reply'}
    """
    pair = _pair(_objects(rows))
    if pair is None:
        return None
    asks, answers = pair
    columns = {} if asks in (*QUESTIONS, "instruction") else {"prompt": asks}
    return (columns if answers in ANSWERS else columns | {"response": answers}) or None


def nested(rows: Sequence[str]) -> dict[str, str] | None:
    """As `mapping`, for texts inside other fields: `{"prompt": "data.q", "response": "data.a"}`.

    None where at least one of both is not inside another field.
    """
    pair = _pair([_flat(row) for row in _objects(rows)])
    if pair is None or not any(_PATH.search(name) for name in pair):
        return None
    return dict(zip(("prompt", "response"), pair, strict=True))


_PATH = re.compile(r"[.\]]")
_PLAIN_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*|\[0\])*", re.ASCII)


def _flat(row: Mapping[str, Any], above: str = "", depth: int = 3) -> dict[str, Any]:
    """The row with the fields of inner objects, and the first entries of lists, as its own."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        path = f"{above}{name}"
        if isinstance(value, list) and value:
            path, value = f"{path}[0]", value[0]
        if isinstance(value, dict):
            flat |= _flat(value, f"{path}.", depth - 1) if depth else {}
        else:
            flat[path] = value
    return flat


def _with_jq(inner: Mapping[str, str]) -> str:
    if not all(_PLAIN_PATH.fullmatch(path) for path in inner.values()):
        return ""
    fields = ", ".join(f"{known}: .{path}" for known, path in inner.items())
    return f", such as with: jq -c '{{{fields}}}'"


def _pair(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """The column that asks and the one that answers."""
    columns = _text_columns(rows)
    may_answer = [one for one in columns if not is_material_name(one.name)]
    both = [pair for pair in product(columns, may_answer) if pair[0] is not pair[1]]
    named = [(a, b) for a, b in both if _named(a.name, _ASKS) and _named(b.name, _ANSWERS)]
    if named:
        asks, answers = max(named, key=lambda pair: _likely(*pair))
        return asks.name, answers.name
    prose = [column for column in columns if column.is_prose]
    if len(prose) != 2:
        return None
    asks, answers = sorted(prose, key=lambda one: _leaning(one), reverse=True)
    if is_material_name(answers.name):
        return None
    return (asks.name, answers.name) if _leaning(asks) > _leaning(answers) + 0.4 else None


def _likely(asks: Column, answers: Column) -> float:
    named = _named(asks.name, _ASKS) + _named(answers.name, _ANSWERS)
    other = _named(asks.name, _ANSWERS) + _named(answers.name, _ASKS)
    return named - other + asks.is_prose + asks.asking + (answers.words > asks.words) / 4


def _leaning(column: Column) -> float:
    """Above 0 for a column that asks rather than answers, by its name and its texts."""
    return _named(column.name, _ASKS) - _named(column.name, _ANSWERS) + column.asking


def _text_columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The columns that hold text in most rows, but for those of which all texts are the same."""
    texts: dict[str, list[str]] = {}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, str) and value.strip():
                texts.setdefault(name, []).append(value)
    columns = [
        Column(
            name,
            fmean(max(len(text.split()), len(text) / 8) for text in values),
            fmean(text.rstrip().endswith(("?", "？", "؟", ";")) for text in values),
            len(set(values)) / len(values),
        )
        for name, values in texts.items()
        if 2 * len(values) > len(rows) and not set(_ABOUT.split()) & set(_words(name)[-1:])
    ]
    return [one for one in columns if len(rows) < 4 or one.distinct * len(texts[one.name]) > 1]


def _named(name: str, known: Mapping[str, float]) -> float:
    """How surely a column's name is made of the known words; 0 for none of them."""
    words = _words(name)
    values = [_value(word, known) for word in words]
    joined = _value("".join(words), known)
    # What is meant stands last: `user_answer` is an answer.
    return max(joined + 0.5 if joined else 0.0, values[-1], max(values) - 1) if values else 0.0


def _value(word: str, known: Mapping[str, float]) -> float:
    for form in (word, word.rstrip("0123456789"), word.removesuffix("s")):
        if form in known:
            return known[form]
    misspelt = len(word) >= 5 and get_close_matches(word, known, n=1, cutoff=0.85)
    return known[misspelt[0]] - 0.5 if misspelt else 0.0


def _words(name: str) -> list[str]:
    """The words of a column's name, in small letters.

    >>> _words("userQuestion"), _words("Model-Answers 2")
    (['user', 'question'], ['model', 'answers', '2'])
    """
    name = unicodedata.normalize("NFKC", name)
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return re.findall(r"[^\W_]+", apart.casefold())
