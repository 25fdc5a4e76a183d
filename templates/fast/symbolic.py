"""The sandbox in which a template renders symbols, and what is known of a row from that."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from operator import mul
from typing import Any, NamedTuple

from jinja2 import Undefined, pass_eval_context
from jinja2.runtime import Context

from curate.base.sandbox.limits import MAX_STEPS, MAX_TEXT
from templates.fast.skeleton import Part, Skeleton, Slot, Trim
from templates.fast.symbols import METHOD_OF, PathCondition, Symbol, Trace, Unsupported, unsupported
from templates.refusals import TemplateFailed
from templates.sandbox.environment import Sandbox
from templates.sandbox.programs import LocalPrograms

# Filters that do nothing to a symbol but hand it on, or cannot use it. Those not named here are
# unknown to a template that renders symbols. The first ones write what they are given.
WRITING = ("capitalize", "lower", "title", "trim", "upper")
FILTERS = (
    *WRITING, "_charge_deep", "_charge_items", "_charge_shallow", "_counted", "count", "d",
    "default", "first", "items", "join", "last", "length", "list", "map", "reject", "rejectattr",
    "reverse", "select", "selectattr", "string", "tojson",
)  # fmt: skip
TESTS = (
    "!=", "<", "<=", "==", ">", ">=", "boolean", "defined", "divisibleby", "eq", "equalto",
    "even", "false", "float", "ge", "greaterthan", "gt", "in", "integer", "iterable", "le",
    "lessthan", "lt", "mapping", "ne", "none", "number", "odd", "sequence", "string", "true",
    "undefined",
)  # fmt: skip
LIKE_TEXT = ("iterable", "sequence", "string")  # what a symbol is, as any text


class Symbolic(Sandbox):
    """The sandbox for symbols: everything that could miss that a value is one is left out."""

    def __init__(self) -> None:
        super().__init__()
        filters: dict[str, Any] = {name: self.filters[name] for name in FILTERS}
        filters |= {name: functools.partial(_writing, filters[name]) for name in WRITING}
        filters["trim"] = functools.partial(_trim, filters["trim"])
        filters["string"] = functools.partial(_string, filters["string"])
        filters["join"] = pass_eval_context(functools.partial(_join, filters["join"]))
        tests: dict[str, Any] = {name: self.tests[name] for name in TESTS}
        tests |= {name: functools.partial(_is_text_or, tests[name]) for name in LIKE_TEXT}
        self.filters, self.tests = filters, tests

    def written(self, value: Any) -> Any:
        """A symbol as it is; else a value that is written alike each time."""
        return value if isinstance(value, Symbol) else str(_settled(value))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """`+` of symbols; no other operator."""
        if isinstance(left, Symbol) or isinstance(right, Symbol):
            if operator != "+":
                raise Unsupported
            self.steps += 1
            return left + right
        if operator == "%" and isinstance(left, str):
            raise Unsupported
        return super().call_binop(context, operator, left, right)

    def concat(self, texts: Iterable[Any]) -> Any:
        """Output put together, symbols included."""
        parts = list(texts)
        trace = next((part.trace for part in parts if isinstance(part, Symbol)), None)
        return super().concat(parts) if trace is None else trace.joined(parts)

    def wrap_str_format(self, value: Any) -> Any:
        """Nothing is formatted."""
        if super().wrap_str_format(value) is not None:
            raise Unsupported
        return None

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A method of a symbol, or any other attribute."""
        if isinstance(obj, Method):  # which has other attributes than a text's method
            raise Unsupported
        if not isinstance(obj, Symbol):
            return super().getattr(obj, attribute)
        if attribute not in METHOD_OF:
            raise Unsupported
        return Method(METHOD_OF[attribute], obj)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An item of what is no symbol."""
        if isinstance(obj, Symbol | Method) or isinstance(argument, Symbol):
            raise Unsupported
        return super().getitem(obj, argument)


class Method(functools.partial[Any]):
    """A symbol's method: only to be called, as those of equal texts may be equal or not."""

    __eq__ = __ne__ = __hash__ = unsupported


def _settled(value: Any) -> Any:
    """A value that is written alike each time: no function or generator, which has an address."""
    if value.__class__ in (str, int, float, bool, type(None)) or isinstance(value, Undefined):
        return value
    raise Unsupported


def _writing(function: Any, value: Any, *more: Any) -> Any:
    return function(_settled(value), *more)


def _string(string: Any, value: Any) -> Any:
    return value if isinstance(value, Symbol) else string(_settled(value))


def _join(join: Any, context: Any, items: Any, d: Any = "", attribute: Any = None) -> Any:
    if attribute is not None:
        raise Unsupported
    return join(context, [_settled(item) for item in items], _settled(d))


def _trim(trim: Any, value: Any, chars: Any = None) -> Any:
    return value.strip(chars) if isinstance(value, Symbol) else trim(value, chars)


def _is_text_or(test: Any, value: Any) -> Any:
    return True if isinstance(value, Symbol) else test(value)


class Path(NamedTuple):
    """What a template writes for every row of a shape that meets its conditions alike.

    `constant` and `counts` bound the text that it builds on the way, for the sandbox's limits.
    """

    skeleton: Skeleton
    answers: tuple[tuple[PathCondition, bool], ...]
    constant: int
    counts: tuple[int, ...]

    def fits(self, texts: Sequence[str]) -> bool:
        """Whether the template takes this path for a row of these texts, within the limits."""
        return self.bounded(texts) and all(
            condition.holds(texts) == answer for condition, answer in self.answers
        )

    def bounded(self, texts: Sequence[str]) -> bool:
        """Whether no limit of the sandbox can be met with these texts."""
        lengths = [*map(len, texts)]
        if self.constant + max(self.counts, default=0) * sum(lengths) <= MAX_TEXT:
            return True
        built: int = sum(map(mul, self.counts, lengths))
        return self.constant + built <= MAX_TEXT


def path(
    programs: LocalPrograms, variables: Mapping[str, Any], texts: list[str]
) -> list[Any] | None:
    """The path that a template takes for these texts; None if it is not followed.

    In the messages of the variables a `Slot` stands for each of the texts. A job (see
    `sandbox/programs.py`): the path is given as lists, to be read with `path_of`.
    """
    trace = Trace(texts)
    symbols = trace.symbols()
    messages = [
        {key: symbols[at.source] if isinstance(at, Slot) else at for key, at in message.items()}
        for message in variables["messages"]
    ]
    try:
        text: Any = programs.run(Symbolic, {**variables, "messages": messages})
    except (Unsupported, TemplateFailed):
        return None
    # Texts up to the limit may cost this many steps more, as they are weighed.
    if programs.steps + MAX_TEXT // 32 > MAX_STEPS:
        return None
    parts = text.parts if isinstance(text, Symbol) else (text,)
    return [parts, list(trace.answers.items()), trace.constant, trace.counts]


def path_of(found: Sequence[Any]) -> Path:
    """The path that was given as lists."""
    parts, asked, constant, counts = found
    answers = [
        (PathCondition(kind, _parts(of), given if isinstance(given, str) else _parts(given)), known)
        for (kind, of, given), known in asked
    ]
    return Path(Skeleton(_parts(parts)), tuple(answers), constant, tuple(counts))


def _parts(listed: Sequence[Any]) -> tuple[Part, ...]:
    return tuple([part if isinstance(part, str) else _slot(*part) for part in listed])


def _slot(source: int, trims: Sequence[Any]) -> Slot:
    return Slot(source, tuple([Trim(*trim) for trim in trims]))
