"""What a sweep varies: the trained tokens, or a group's share of them."""

from __future__ import annotations

import dataclasses

from curate.base.terminal import printable_line
from curate.proofs.sentences import short_count


@dataclasses.dataclass(frozen=True)
class Axis:
    """Values of trained tokens or, with a `group` of rows, of its share in them."""

    group: str | None = None

    @property
    def is_share(self) -> bool:
        """Whether values are shares."""
        return self.group is not None

    @property
    def name(self) -> str:
        """As the option calls it.

        >>> Axis().name, Axis("code").name
        ('tokens', 'mix.code')
        """
        return "tokens" if self.group is None else f"mix.{self.group}"

    @property
    def across(self) -> str:
        """What an axis of a chart is called."""
        return "trained tokens" if self.group is None else f"share of {self._shown}"

    def short(self, value: float) -> str:
        """A value in a table.

        >>> Axis().short(25_000), Axis("code").short(0.125)
        ('25k', '12.5 %')
        """
        return f"{100 * value:g} %" if self.is_share else short_count(value)

    def long(self, value: float) -> str:
        """A value in a sentence.

        >>> Axis().long(25_000), Axis("code").long(0.1)
        ('25,000 trained tokens', '10 % of code')
        """
        if self.is_share:
            return f"{self.short(value)} of {self._shown}"
        return f"{value:,.0f} trained tokens"

    @property
    def _shown(self) -> str:
        return printable_line(self.group or "", 60)


TOKENS = Axis()
