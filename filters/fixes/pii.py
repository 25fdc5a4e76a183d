"""Personal data out of the texts: mail addresses, telephone numbers, IP addresses, card numbers."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import polars as pl

from curate.base.contract import Fix
from curate.base.errors import CurateError
from curate.base.settings import setting
from filters.fixes.rewrite import edit_texts, rewrite

Kind = Literal["email", "phone", "ip", "card"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Which texts to look at: an @ in a word, an address of numbers, or seven digits close together.
LIKELY = (
    r"[A-Za-z0-9]@[A-Za-z0-9]|\d\.\d{1,3}\.\d|[0-9A-Fa-f]:[0-9A-Fa-f:]*:|(?:\d[ ().\-/]{0,3}){7}"
)

_EMAIL = re.compile(
    r"(?<![\w.+%-])[A-Za-z0-9][A-Za-z0-9._%+-]*@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}(?![\w:@])"
)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){1,6}(?![\w:])")
_CARD = re.compile(r"(?<![\w.,-])\d(?:[ -]?\d){12,18}(?![\w]|[.,-]\d)")
_PHONE = re.compile(
    r"(?<![\w.,/+-])(?:"
    r"\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,4}"  # +44 20 7946 0958
    r"|(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}([-. ]))\d{3}(?(1)\1|[-. ])\d{4}"  # (212) 736-5000
    r"|0\d{1,4}[ /-]\d{2,4}(?:[ -]\d{2,4}){1,3}"  # 030 1234 567
    r")(?![\w]|[.,/-]\d)"
)
# Set aside for examples and films, or the first that comes to mind.
_EXAMPLE_MAIL = re.compile(
    r"(?i)@(?:[\w-]+\.)*(?:example|email|test|invalid|localhost|(?:your)?(?:domain|company))"
    r"(?:\.[a-z]+)?$"
    r"|^(?:git|example|user(?:name)?|your[\w.-]*|x+|someone)@"
)
_EXAMPLE_PHONE = re.compile(r"555|1234567|0000000|1111111|9876543")
_PUBLIC_RESOLVERS = frozenset({"1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4", "9.9.9.9"})
_VERSION = re.compile(r"(?i)(?:\bv|version|release|build|section|chapter)\.?\s*$")
# Issuers by first digits and length: Visa, Mastercard, American Express, Discover, JCB, Diners.
_ISSUER = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|6(?:011|5\d\d|4[4-9]\d)\d{12}"
    r"|35\d{14}|3(?:0[0-5]|[68]\d)\d{11}"
)
_ARITHMETIC_BEFORE = re.compile(r"[=+*/^×÷<>$€£]\s*$")
_ARITHMETIC_AFTER = re.compile(r"\s*(?:[=+*^×÷<>%]|/\s*\d)")
# Numbers as long as a card's are summands and results in tasks of arithmetic.
_LONG_SUM = re.compile(r"\d{5,} ?[+*×÷] ?\d{5,}|\d{5,} ?=")
_CODE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]+`", re.DOTALL)


def _is_mail(span: str) -> bool:
    return not _EXAMPLE_MAIL.search(span)


def _is_address(span: str) -> bool:
    try:
        address = ipaddress.ip_address(span)
    except ValueError:  # 999.1.1.1, or the time 10:20:30
        return False
    # "git 1.7.7.3" and "section 15.12.2.7" look like addresses, of which few are so low.
    version = address.version == 4 and max(address.packed) < 32
    # Private, loopback and documentation ranges are not global.
    return address.is_global and not version and span not in _PUBLIC_RESOLVERS


def _is_card(span: str) -> bool:
    digits = [int(digit) for digit in span if digit.isdigit()]
    if not _ISSUER.fullmatch("".join(map(str, digits))):
        return False
    doubled = [2 * digit - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_phone(span: str) -> bool:
    digits = re.sub(r"\D", "", span)
    return 8 <= len(digits) <= 15 and not _EXAMPLE_PHONE.search(digits)


# In this order: a card number is not to be taken for a telephone number.
_RULES: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("email", _EMAIL, _is_mail),
    ("ip", _IPV4, _is_address),
    ("ip", _IPV6, _is_address),
    ("card", _CARD, _is_card),
    ("phone", _PHONE, _is_phone),
)


Span = tuple[str, int, int]  # kind, first character, character after the last


def personal_data(text: str, kinds: Sequence[str] = KINDS) -> list[Span]:
    """Where a text holds personal data, in order; in code only mail addresses count.

    >>> personal_data("Write to jane@corp.org.")
    [('email', 9, 22)]
    """
    spans: list[Span] = []
    end = 0
    mail = [kind for kind in kinds if kind == "email"]
    for code in _CODE.finditer(text):
        spans += _in_part(text, kinds, end, code.start())
        spans += _in_part(text, mail, code.start(), code.end())
        end = code.end()
    return spans + _in_part(text, kinds, end)


def _in_part(text: str, kinds: Sequence[str], low: int = 0, high: int | None = None) -> list[Span]:
    part = text[low:high]
    spans: list[Span] = []
    for kind, pattern, holds in _RULES:
        if kind not in kinds:
            continue
        for match in pattern.finditer(part):
            if not holds(match.group()) or (kind != "email" and _in_calculation(match)):
                continue
            if kind == "card" and _LONG_SUM.search(text):
                continue
            start, end = match.start() + low, match.end() + low
            if all(end <= other[1] or other[2] <= start for other in spans):
                spans.append((kind, start, end))
    return sorted(spans, key=lambda span: span[1])


def _masked(text: str, spans: Sequence[Span]) -> str:
    parts, end = [], 0
    for kind, start, stop in spans:
        parts += [text[end:start], f"[{kind.upper()}]"]
        end = stop
    return "".join([*parts, text[end:]])


@dataclass(frozen=True)
class MaskPII(Fix):
    """Replace personal data by what it was: `[EMAIL]`, `[PHONE]`, `[IP]`, `[CARD]`.

    Examples and private addresses (example.com, 192.168.0.1, 555 numbers) are left, and so
    are numbers in code and arithmetic. Tool calls are masked along with the texts, so that a call
    still repeats what the user said.
    """

    name: ClassVar[str] = "mask_pii"
    reads_texts: ClassVar[bool] = False
    reasons: ClassVar[Mapping[str, str]] = {
        "masked_email": "A mail address was masked.",
        "masked_phone": "A telephone number was masked.",
        "masked_ip": "A public IP address was masked.",
        "masked_card": "A payment card number (with a valid check digit) was masked.",
        "masked_several": "Personal data of more than one kind was masked.",
    }

    kinds: tuple[Kind, ...] = setting(KINDS, "what to mask")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.kinds:
            raise CurateError(f"mask_pii: kinds is empty; name some of {', '.join(KINDS)}")

    def fix(self, records: pl.DataFrame) -> pl.DataFrame:
        """Records with personal data masked and a column `edited`; values are never recorded."""
        return rewrite(records, self._mask_messages)

    def _mask_messages(self, messages: pl.DataFrame) -> pl.DataFrame:
        texts = edit_texts(messages, LIKELY, self._mask)
        calls = edit_texts(texts, LIKELY, self._mask_json, fields=("tool_calls",))
        slugs = (texts["edited"], calls["edited"])
        both = pl.when(slugs[0] != slugs[1]).then(pl.lit("masked_several"))
        return calls.with_columns(edited=pl.coalesce(both, *slugs))

    def _mask(self, text: str) -> tuple[str, str | None]:
        spans = personal_data(text, self.kinds)
        return _masked(text, spans), _slug({kind for kind, _, _ in spans})

    def _mask_json(self, calls: str) -> tuple[str, str | None]:
        """Mask the strings inside JSON; bare numbers cannot hold a mask and stay."""
        found: set[str] = set()

        def walk(value: Any) -> Any:
            if isinstance(value, str):
                spans = _in_part(value, self.kinds)
                found.update(kind for kind, _, _ in spans)
                return _masked(value, spans)
            if isinstance(value, list):
                return [walk(item) for item in value]
            if isinstance(value, dict):
                return {key: walk(item) for key, item in value.items()}
            return value

        masked = walk(json.loads(calls))
        return (json.dumps(masked, ensure_ascii=False) if found else calls), _slug(found)


def _in_calculation(match: re.Match[str]) -> bool:
    before = match.string[max(0, match.start() - 20) : match.start()]
    after = match.string[match.end() : match.end() + 4]
    return bool(
        _ARITHMETIC_BEFORE.search(before)
        or _ARITHMETIC_AFTER.match(after)
        or _VERSION.search(before)
    )


def _slug(found: set[str]) -> str | None:
    if not found:
        return None
    return f"masked_{min(found)}" if len(found) == 1 else "masked_several"
