"""Templates of strangers: their programs, in the process that the base keeps for them."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any, TypeVar

from curate.base.errors import CurateError
from curate.base.sandbox.contained import AtLimit, Contained, Ended, Failed, NotPlain
from curate.base.sandbox.spent import Spent
from templates.provenance import TracedStr
from templates.refusals import TemplateAtLimit, TemplateEnded, TemplateFailed
from templates.sandbox.programs import LocalPrograms, Programs, is_shared, several

T = TypeVar("T")


class ContainedPrograms(Programs):
    """The programs of a template, in the process for templates of strangers."""

    apart = True

    def __init__(self, source: str, name: str) -> None:
        super().__init__(source, name)
        self._contained = Contained(LocalPrograms, source, name)

    def within(self, spent: Spent, job: Callable[..., T], *given: Any) -> T:
        """Do a job there; see `Programs.do`."""
        contained = self._contained
        if contained.given_up and not is_shared():  # who tries it out anew may ask
            raise TemplateEnded(f"the template fails: {contained.given_up}")
        try:
            packed = _packed(given)
        except Exception as error:  # a class may be any code
            raise self._not_plain(f"{type(error).__name__}: {error}") from error
        try:
            # Several jobs are done again, each by itself, where they end the process.
            found: T = contained.ask(spent, job, packed, counts=job is not several)
        except Ended as error:
            raise TemplateEnded(f"the template fails: {error}") from error
        except NotPlain as error:
            raise self._not_plain(str(error)) from error
        except AtLimit as error:
            raise TemplateAtLimit(str(error)) from None
        except Failed as error:
            raise TemplateFailed(str(error)) from None
        return found

    def _not_plain(self, why: str) -> CurateError:
        return CurateError(f"template {self.name}: what it is given is no plain data: {why}")


class _Pickler(pickle.Pickler):
    dispatch_table = {TracedStr: lambda text: (TracedStr, (str.__str__(text), text.runs))}  # noqa: RUF012


def _packed(given: Any) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(given)
    return buffer.getvalue()
