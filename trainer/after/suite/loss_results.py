"""Loss over rows: nats a token and bits a byte with intervals, and how two models differ.

Bits per byte compare models with different tokenizers: the bytes are those of the text, however it
was cut into tokens.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from trainer.after.suite.intervals import Estimate, mean, mean_difference, ratio, ratio_difference
from trainer.after.suite.losses import RowLoss

Sums = tuple[list[float], list[float]]


@dataclasses.dataclass(frozen=True)
class LossResult:
    """Loss over the rows of a file.

    `nats_per_token` and `bits_per_byte` are sums over sums, so that long answers count more;
    `row_nats_per_token` and `row_bits_per_byte` are means of the rows' own. None of them holds a
    stop: `nats_per_stop` is of the stops alone, a stop of several tokens as one, and None where
    none is trained. `nats_per_trained_token` is of answers and stops together, the loss that
    training prints. `empty` counts rows whose answers have no byte, which are left out. Of the
    tokens `unknown` are the tokenizer's unknown one: where there are such, bits per byte are too
    low, as one token stands for any text.
    """

    rows: int
    empty: int
    tokens: int
    bytes: int
    stops: int
    unknown: int
    nats_per_token: Estimate
    bits_per_byte: Estimate
    row_nats_per_token: Estimate
    row_bits_per_byte: Estimate
    nats_per_stop: Estimate | None
    nats_per_trained_token: Estimate


@dataclasses.dataclass(frozen=True)
class LossDifference:
    """One model's loss minus another's over the same rows.

    Nats per token are None where the two cut the texts into other tokens.
    """

    rows: int
    bits_per_byte: Estimate
    row_bits_per_byte: Estimate
    nats_per_token: Estimate | None


def summarize(losses: Sequence[RowLoss], seed: int = 0) -> LossResult | None:
    """The loss over rows; None where no row has an answer with a byte."""
    used = [each for each in losses if _is_used(each)]
    if not used:
        return None
    nats, bits = _per_token(used), _per_byte(used)
    stops = [each for each in used if each.stops]
    stop_sums = [each.stop_nats for each in stops], [float(each.stops) for each in stops]
    all_nats = [each.nats + each.stop_nats for each in used]
    return LossResult(
        rows=len(used),
        empty=len(losses) - len(used),
        tokens=sum(each.tokens for each in used),
        bytes=sum(each.size for each in used),
        stops=sum(each.stops for each in used),
        unknown=sum(each.unknown for each in used),
        nats_per_token=ratio(*nats, seed),
        bits_per_byte=ratio(*bits, seed),
        row_nats_per_token=mean(_own(nats), seed),
        row_bits_per_byte=mean(_own(bits), seed),
        nats_per_stop=ratio(*stop_sums, seed) if stops else None,
        nats_per_trained_token=ratio(
            all_nats, [float(each.tokens + each.stop_tokens) for each in used], seed
        ),
    )


def difference(
    one: Sequence[RowLoss], other: Sequence[RowLoss], seed: int = 0
) -> LossDifference | None:
    """The first model's loss minus the second's; the two are of the same rows in order."""
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if _is_used(a) and _is_used(b)]
    if not pairs:
        return None
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    nats, other_nats = _per_token(left), _per_token(right)
    bits, other_bits = _per_byte(left), _per_byte(right)
    alike = nats[1] == other_nats[1]
    return LossDifference(
        len(pairs),
        ratio_difference(bits, other_bits, seed),
        mean_difference(_own(bits), _own(other_bits), seed),
        ratio_difference(nats, other_nats, seed) if alike else None,
    )


def _is_used(loss: RowLoss) -> bool:
    return loss.size > 0 and loss.tokens > 0


def _per_token(losses: Sequence[RowLoss]) -> Sums:
    return [each.nats for each in losses], [float(each.tokens) for each in losses]


def _per_byte(losses: Sequence[RowLoss]) -> Sums:
    bits = [each.nats / math.log(2) for each in losses]
    return bits, [float(each.size) for each in losses]


def _own(sums: Sums) -> list[float]:
    return [above / below for above, below in zip(*sums, strict=True)]
