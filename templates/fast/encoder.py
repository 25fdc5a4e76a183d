"""The encoder for many rows: whole batches at once, in a thread while the next are rendered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial

from templates.encoding.boundaries import control_tokens
from templates.encoding.cutting import SegmentIds
from templates.encoding.encode import Encoder, Example
from templates.fast.batch import BatchEncoder, BatchIds
from templates.fast.pending import BoundaryContext, PendingEncoding
from templates.fast.token_batch import Spelled, TokenBatch
from templates.refusals import Refusal
from templates.spans import VerifiedRender
from templates.tokenizer.segments import Kind


class FastEncoder(Encoder):
    """Gives what `Encoder` gives; rows that need cuts are encoded by its own methods."""

    def stream(
        self, batches: Iterable[Sequence[VerifiedRender]]
    ) -> Iterator[list[Example | Refusal]]:
        """What becomes of each batch of verified texts, in order.

        A batch is encoded in a thread, where tokenizers leave Python alone, while the next one is
        rendered: templates are programs that run once for every row.
        """
        encoder = BatchEncoder(self.tokenizer)
        waiting: list[PendingEncoding] = []
        with ThreadPoolExecutor(1) as thread:
            encoded = None
            for batch in batches:
                pending = [self._pending(verified) for verified in batch]
                new = thread.submit(encoder.encode, pending)
                if encoded:
                    yield self._finish(waiting, encoded.result())
                waiting, encoded = pending, new
            if encoded:
                yield self._finish(waiting, encoded.result())

    def _pending(self, verified: VerifiedRender) -> PendingEncoding:
        own = control_tokens(verified, self.tokenizer, self.control == "allow")
        pending = PendingEncoding(verified, own)
        cuts = self.joined_stops(verified)
        if cuts or not self.tokenizer.has_offsets:
            # In segments from the start: the ids of the whole text would not be used.
            pending.crossed, pending.known_cuts = cuts, bool(cuts)
            pending.escaped = self.spells_control(verified.text, own)
        return pending

    def _finish(self, batch: Sequence[PendingEncoding], made: BatchIds) -> list[Example | Refusal]:
        tokens = TokenBatch(made.ids)
        places = tokens.places_of(self.tokenizer.control_ids)
        spelled = Spelled(tokens, self.tokenizer.token_bytes)
        for row, pending in enumerate(batch):
            pending.take(self.tokenizer, made.encodings.get(row), made.ids[row], places[row])
            pending.place(made.prompts, spelled, row)
        left = [pending for pending in batch if pending.raw is not None and pending.spans is None]
        known = self._encode_left(left, made.prompts)
        return [
            self.checked(pending.verified, partial(self._row, pending, spelled, row, known))
            for row, pending in enumerate(batch)
        ]

    def _row(
        self, pending: PendingEncoding, spelled: Spelled, row: int, known: SegmentIds
    ) -> Example:
        verified, own, cut = pending.verified, pending.own, len(pending.crossed)
        self.check_text(pending.raw is not None, pending.escaped)
        if pending.spans is None:
            return self.by_segments(verified, own, pending.crossed, pending.escaped, known)
        example = Example(pending.ids, pending.spans, cut, array=pending.array)
        if not pending.decodes(spelled, row):
            self.check_decodes(verified, own, example, None)
        return example

    def _encode_left(
        self, left: Sequence[PendingEncoding], prompts: Mapping[BoundaryContext, list[int]]
    ) -> SegmentIds:
        """Encode at once the segments of rows whose ids cannot be taken as they are."""
        known = SegmentIds(self.tokenizer.segments)
        for pending in left:
            for context in [] if pending.escaped else pending.contexts:
                known.known[context.kind, context.text] = prompts[context]
        cuttings = [
            self.cutting(pending.verified, pending.own, pending.crossed)
            for pending in (left if self.boundary != "error" else [])
        ]
        wanted = dict.fromkeys(text for cutting in cuttings for text in cutting.texts())
        by_kind: dict[Kind, list[str]] = {}
        for kind, text in wanted:
            if (kind, text) not in known.known:
                by_kind.setdefault(kind, []).append(text)
        for kind, texts in by_kind.items():
            ids = self._segment_encoder.encode_segments(kind, texts)
            known.known |= {(kind, text): found for text, found in zip(texts, ids, strict=True)}
        return known

    @cached_property
    def _segment_encoder(self) -> BatchEncoder:
        """Another one than that of the thread."""
        return BatchEncoder(self.tokenizer)
