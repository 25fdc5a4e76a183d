"""When something was written: numbers, and dates as ISO 8601 writes them."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from curate.base.terminal import printable
from curate.pairs.shape import check_some, field

EXPECTED = (
    "expected a number (seconds or milliseconds since 1970), or a date like"
    " 2024-07-26T12:00:00+02:00"
)
# Numbers from which the unit is the next finer one: as seconds 1e11 is the year 5138.
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
# Days of the month, of the week and of the year, with dashes or without.
_DAYS = {
    "%Y-%m-%d": r"\d{4}-\d{2}-\d{2}",
    "%Y%m%d": r"\d{8}",
    "%G-W%V-%u": r"\d{4}-W\d{2}-\d",
    "%GW%V%u": r"\d{4}W\d{3}",
    "%Y-%j": r"\d{4}-\d{3}",
}
_MONTH = r"\d{4}-\d{2}"  # its first day
_CLOCK = r"(?P<hour>\d{2})(?::?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?P<part>[.,]\d+)?)?)?"
# The zone's name in brackets is how Java ends a time.
_ZONE = (
    r"(?:Z|UTC|GMT|(?P<sign>[+\-\x{2212}])(?P<zone_hour>\d{2})(?::?(?P<zone_minute>\d{2}))?)"
    r"(?:\[[^\]]*\])?"
)
_TIME = (
    rf"(?i)^(?P<day>{'|'.join((*_DAYS.values(), _MONTH))})(?:(?:T|\s+){_CLOCK}(?:\s*{_ZONE})?)?$"
)
_LONGEST = 60  # characters of an example


class Times(NamedTuple):
    """Seconds since 1970 of each row, null where there is no time; what to say of other values."""

    seconds: pl.Series
    notes: tuple[str, ...] = ()


def times(records: pl.DataFrame, name: str) -> Times:
    """A field as times: numbers, and dates with or without a clock and an offset from UTC.

    A number counts seconds, or, by its size, milliseconds, microseconds or nanoseconds. A date
    without an offset is in UTC. Eight digits are a day where all numbers are days of that form.
    Raises `CurateError` where no row has a time.
    """
    text = field(records, name).str.strip_chars()
    values = text.to_frame("text").with_columns(number=_numbers(text), date=_seconds(text))
    plain = values.filter(pl.col("number").is_not_null())
    are_days = plain.height > 0 and not plain["date"].null_count()
    order = ("date", "number") if are_days else ("number", "date")
    found = values.with_columns(seconds=pl.coalesce(order))
    odd = found.filter(pl.col("seconds").is_null() & (pl.col("text") != ""))["text"]
    example = f", such as {printable(odd[0], _LONGEST)!r}" if len(odd) else ""
    check_some(found["seconds"], f"a time in {name!r}{example}; {EXPECTED}")
    some = f"{len(odd):,} of {len(text) - text.null_count():,} values in {name!r} are no time"
    return Times(found["seconds"], (f"{some}{example}; {EXPECTED}",) if len(odd) else ())


def _numbers(text: pl.Series) -> pl.Series:
    number = pl.col("number")
    scaled = number
    for least, unit in reversed(_UNITS):
        scaled = pl.when(number.abs() >= least).then(number / unit).otherwise(scaled)
    read = text.cast(pl.Float64, strict=False).alias("number").to_frame()
    return read.select(pl.when(number.is_finite()).then(scaled)).to_series()


def _seconds(text: pl.Series) -> pl.Series:
    """Of dates the seconds since 1970 in UTC; null for other text."""
    parts = text.alias("text").to_frame().select(pl.col("text").str.extract_groups(_TIME))
    parts = parts.unnest("text")
    day = pl.col("day").str.to_uppercase()
    day = pl.when(day.str.contains(rf"^{_MONTH}$")).then(day + "-01").otherwise(day)
    day = pl.coalesce(day.str.to_date(pattern, strict=False) for pattern in _DAYS)
    clock = ("hour", "minute", "second", "zone_hour", "zone_minute")
    whole = parts.with_columns(
        pl.col(name).cast(pl.Int64, strict=False).fill_null(0) for name in clock
    ).with_columns(
        day=day.dt.epoch("d"),
        part=pl.col("part").str.replace(",", ".", literal=True).cast(pl.Float64).fill_null(0.0),
        behind=pl.when(pl.col("sign") == "+").then(-1).otherwise(1),
    )
    hour, minute, second, zone_hour, zone_minute = (pl.col(name) for name in clock)
    in_day = 3600 * hour + 60 * minute + second + pl.col("part")
    exists = (minute < 60) & (second <= 60) & (zone_hour < 24) & (zone_minute < 60)
    exists &= (hour < 24) | (in_day == 86_400)  # 24:00 is the end of the day
    ahead = pl.col("behind") * (3600 * zone_hour + 60 * zone_minute)
    return whole.select(pl.when(exists).then(86_400.0 * pl.col("day") + in_day + ahead)).to_series()
