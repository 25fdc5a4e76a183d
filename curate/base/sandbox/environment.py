"""The sandbox in which templates run: Jinja's immutable one, bounded.

A template is foreign code. It has the filters and globals that transformers offers chat templates
(`utils/chat_template_utils.py`), sees plain data, and has limits of text and steps.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from types import CodeType
from typing import Any, ClassVar, NoReturn, TypeVar

import jinja2
import jinja2.ext
import jinja2.nodes
from jinja2.runtime import Context, LoopContext, Macro, new_context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from curate.base.errors import CurateError
from curate.base.sandbox.containers import TemplateDict, TemplateNamespace
from curate.base.sandbox.costs import DEEP, ITEMS, NESTED, SHALLOW, Costs, charge_operands
from curate.base.sandbox.limits import (
    CALL_STEPS,
    FILTER_CHECKS,
    LONG_TEXT,
    MAX_MESSAGE,
    MAX_SOURCE,
    MAX_STEPS,
    SIZED,
    LimitExceeded,
    bounded_join,
    check_format,
    check_method,
    check_operands,
    check_size,
    checked_first,
)

_COUNTED = "_counted"  # the filter that counts what a `for` takes
_ADDRESS = re.compile(" at 0x[0-9a-fA-F]+>$")
OWNERS = (str, bytes, int, list, tuple)  # of methods whose cost depends on them
HANDING_ON = (Macro, LoopContext)  # calls that do not look into what they are given


class SourceError(CurateError):
    """A template that Jinja cannot read: `reason`, at `line` (from 1) where one is known."""

    def __init__(self, message: str, reason: str, line: int | None = None) -> None:
        self.reason, self.line = reason, line
        super().__init__(message)


class RenderError(CurateError):
    """A template that fails on the data it is given; the message quotes its line."""


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja as transformers sets it up, with limits. Not to be shared between threads."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    tags: ClassVar[tuple[type[jinja2.ext.Extension], ...]] = ()  # beside those of loops
    missing: ClassVar[type[jinja2.Undefined]] = jinja2.Undefined  # what an unknown name is

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[*self.tags, jinja2.ext.loopcontrols],
            undefined=self.missing,
        )
        self.steps = 0
        self.costs = Costs(self.spend)
        self.filters["tojson"] = tojson
        self.filters[_COUNTED] = self.counted
        for name, check in FILTER_CHECKS.items():
            self.filters[name] = checked_first(check, self.filters[name])
        self.filters["join"] = bounded_join(self.filters["join"])
        costs = self.costs  # filters and tests cost what they read and make
        self.filters |= {name: costs.charged(name, f) for name, f in self.filters.items()}
        tests: dict[str, Any] = dict(self.tests)
        self.tests |= {name: costs.charged_test(test) for name, test in tests.items()}
        self.tests["in"] = costs.is_in
        self.filters |= {
            DEEP: costs.charge_deep, ITEMS: costs.charge_items, SHALLOW: costs.charge_shallow,
        }  # fmt: skip
        self.globals |= {
            "raise_exception": raise_exception,
            "dict": TemplateDict(),
            "namespace": TemplateNamespace,
            "range": self.range,
        }
        # Made by chance: a text that is another one each time has no proof.
        del self.globals["lipsum"], self.filters["random"]

    def spend(self, steps: int) -> None:
        """Count steps. Raises `LimitExceeded` beyond `MAX_STEPS`."""
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise LimitExceeded(f"more than {MAX_STEPS:,} steps")

    def range(self, *arguments: int) -> range:
        """`range` whose items count as steps."""
        items = range(*arguments)
        self.spend(len(items))
        return items

    def counted(self, items: Any) -> Any:
        """The items of a `for`, counted as steps."""
        if isinstance(items, Sized):
            self.spend(len(items))
            return items
        return self._counting(items)

    def _counting(self, items: Iterable[Any]) -> Iterable[Any]:
        for item in items:
            self.spend(1)
            yield item

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """An operator of a template, refused where it would make too much."""
        if operator != "+":
            check_operands(operator, left, right)
            if operator == "%" and isinstance(left, str):
                self.costs.charge_deep(right)
            result = self.binop_table[operator](left, right)
        else:
            result = left + right
        self.steps += 1
        if isinstance(result, SIZED) and len(result) > LONG_TEXT:
            self.charge_text(len(result))
        return result

    def concat(self, texts: Iterable[str]) -> str:
        """Output put together, within the limits."""
        parts = list(texts)
        characters = sum(map(len, parts))
        if characters > LONG_TEXT:
            self.charge_text(characters)
        return self.joined(parts)

    def joined(self, parts: list[str]) -> str:
        """Parts as one text."""
        return "".join(parts)

    def str_join(self, texts: Iterable[Any]) -> str:
        """What `~` makes of values."""
        return self.concat(map(self.written, texts))

    def written(self, value: Any) -> Any:
        """What a template writes of a value. Raises for a function, whose text is an address."""
        if isinstance(value, str):
            return str(value)
        if isinstance(value, NESTED):
            self.costs.charge_nested(value)
            return str(value)
        text = str(value)
        if _ADDRESS.search(text):
            raise jinja2.TemplateRuntimeError(
                f"it writes a {type(value).__name__}, whose text is another one each time"
            )
        return text

    def escaped(self, value: Any) -> Markup:
        """What a template writes of a value where it escapes texts."""
        return escape(value if hasattr(value, "__html__") else self.written(value))

    def charge_text(self, characters: int) -> None:
        """Count a text that is built. Raises `LimitExceeded` for too many characters."""
        check_size(characters)
        self.spend(characters // 64)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`format` of texts, its arguments checked first."""
        wrapper = super().wrap_str_format(value)
        if wrapper is None:
            return None

        def checked(*args: Any, **kwargs: Any) -> str:
            check_format(value.__self__, args, fields=True)
            self.costs.charge_nested((args, kwargs))
            return wrapper(*args, **kwargs)

        return checked

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """A call, whose arguments and result cost steps."""
        __self.spend(CALL_STEPS)
        costs = __self.costs
        owner = getattr(__obj, "__self__", None)
        reads = costs.charge_shallow if isinstance(__obj, HANDING_ON) else costs.charge_items
        args = tuple(map(reads, args))
        if kwargs:
            kwargs = {key: reads(value) for key, value in kwargs.items()}
        if isinstance(owner, OWNERS):
            costs.charge_deep(owner)
            args = check_method(__obj.__name__, owner, args, kwargs)
        result = super().call(__context, __obj, *args, **kwargs)
        costs.charge_shallow(result)
        return result

    def _generate(self, source: jinja2.nodes.Template, *args: Any, **kwargs: Any) -> str:
        for loop in source.find_all(jinja2.nodes.For):
            loop.iter = jinja2.nodes.Filter(
                loop.iter, _COUNTED, [], [], None, None, lineno=loop.lineno
            )
        charge_operands(source)
        code: str = super()._generate(source, *args, **kwargs)
        return code


class Program:
    """A template compiled in one environment; `code` is shared by those that read tags alike."""

    failure: ClassVar[type[CurateError]] = RenderError  # raised with what went wrong, in words
    at_limit: ClassVar[type[CurateError]] = RenderError  # the same, where it wants too much

    def __init__(self, source: str, environment: Sandbox, code: CodeType | None = None) -> None:
        self.environment = environment
        self.source = source
        self.code = code or environment.compile(source)
        known = environment.make_globals(None)
        self.template = environment.template_class.from_code(environment, self.code, known, None)
        # `~` is compiled to a call of these two names of the compiled module, output to `str`.
        namespace: dict[str, Any] = self.template.root_render_func.__globals__
        namespace |= {"str_join": environment.str_join, "markup_join": environment.str_join}
        namespace |= {"str": environment.written, "escape": environment.escaped}
        self.spent = 0  # steps that count as made before each rendering
        self.globals = dict(self.template.globals)  # a chain of maps is slow to copy

    def run(self, variables: Mapping[str, Any]) -> str:
        """The rendered text. Raises `failure` quoting the line of the template."""
        return self._rendered(self.template.root_render_func, variables)

    def run_block(self, name: str, variables: Mapping[str, Any]) -> str:
        """The text of one block alone; what stands outside of it is not run. See `run`."""
        return self._rendered(self.template.blocks[name], variables)

    def _rendered(
        self, render: Callable[[Context], Iterator[str]], variables: Mapping[str, Any]
    ) -> str:
        environment, template = self.environment, self.template
        environment.steps = self.spent
        try:
            context = new_context(
                environment, template.name, template.blocks, {**self.globals, **variables}, True
            )
            return environment.concat(render(context))
        except Exception as error:  # foreign code may raise anything: the row's error, quoted
            failure = self.at_limit if isinstance(error, LimitExceeded) else self.failure
            raise failure(_quoted(error, self.source)) from error


P = TypeVar("P", bound=Program)


def compiled(
    program: type[P], source: str, name: str, environment: Sandbox, code: CodeType | None = None
) -> P:
    """A template as a program. Raises `SourceError` quoting the line that Jinja cannot read."""
    if len(source) > MAX_SOURCE:
        reason = f"{len(source):,} characters; at most {MAX_SOURCE:,} are read"
        raise SourceError(f"{name}: {reason}", reason)
    try:
        return program(source, environment, code)
    except RecursionError as error:
        reason = "brackets or blocks lie too deep inside each other to be read"
        raise SourceError(f"{name}: {reason}", reason) from error
    except MemoryError as error:
        reason = "it is too long or too deep to be compiled"
        raise SourceError(f"{name}: {reason}", reason) from error
    except jinja2.TemplateSyntaxError as error:
        reason = f"{(error.message or '').rstrip('.')}: {_line(source, error.lineno)}"
        message = f"{name}: line {error.lineno}: {reason}"
        raise SourceError(message, reason, error.lineno) from error
    except Exception as error:  # foreign code may be anything: a number of 5,000 digits
        reason = f"it cannot be compiled: {type(error).__name__}: {_shown(error)}"
        raise SourceError(f"{name}: {reason}", reason) from error


def _quoted(error: Exception, source: str) -> str:
    """What went wrong in which line of the template."""
    number = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        template = frame.f_globals.get("__jinja_template__")
        if template is not None:
            number = template.get_corresponding_lineno(line)
    kind = "" if type(error) is jinja2.TemplateError else f"{type(error).__name__}: "
    where = "" if number is None else f" at line {number}: {_line(source, number)}"
    return f"the template fails: {kind}{_shown(error)}{where}"


def _shown(error: Exception) -> str:
    text = str(error)
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}..."


def _line(source: str, number: int) -> str:
    lines = source.splitlines()
    text = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    return text if len(text) <= 160 else f"{text[:160]}..."


def raise_exception(message: Any) -> NoReturn:
    """What a template calls to refuse a conversation."""
    raise jinja2.TemplateError(type(message).__name__ if isinstance(message, NESTED) else message)


def tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as transformers' templates expect it: no HTML escapes, no `\\u` escapes."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
