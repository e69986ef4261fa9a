"""Documents into what a file of tokens holds: one stream, or rows of a fixed length.

In: the ids of one document after the other, each with its separator in front. Out: tokens to
write, in order. `Stream` puts documents end to end and loses nothing; windows are cut from random
places of it later. `BestFit` fills rows of `row` tokens, without padding:

    each row begins with a document's beginning; into what is left of it goes the longest waiting
    document that fits whole; where none fits, the shortest one, cropped

as karpathy/autoresearch does it for each batch, here once for all trials. The rest of a cropped
document is left out, there as here: so models see many beginnings, and every token of a row after
its document's own beginning. `left_out` says what that costs; long documents lose most. With `all`
the rest is a document of its own, and nothing is left out but what fills no row at the end.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from train_template.tokenizer import Ids

WAITING = 1000  # documents to choose from: 99.9 % of the rows then end with a document that fits


class Packing(Protocol):
    """How the tokens of a split are laid out."""

    left_out: int  # tokens of documents that were not written

    def add(self, ids: Ids) -> Iterator[Ids]:
        """Take a document; give what can be written now."""

    def finish(self) -> Iterator[Ids]:
        """Give what is left to write."""


class Stream:
    """Documents end to end."""

    left_out = 0

    def add(self, ids: Ids) -> Iterator[Ids]:
        """The document as it is."""
        yield ids

    def finish(self) -> Iterator[Ids]:
        """Nothing waits."""
        yield from ()


class BestFit:
    """Rows of whole documents, cropped only where nothing fits."""

    def __init__(self, row: int, waiting: int = WAITING, *, all: bool = False) -> None:  # noqa: A002
        """Raises ValueError where a row would hold nothing but the separator."""
        if row < 2:
            raise ValueError(f"a row of {row} tokens holds no text")
        self.left_out = 0
        self._all = all
        self._length = row
        self._most = waiting
        # Sorted by length; among equals the first to come stands last, where bisect_right finds it.
        self._keys: list[tuple[int, int]] = []  # length, minus the number of the document
        self._waiting: list[Ids] = []
        self._count = 0
        self._filled = 0  # tokens of the row that is being filled
        self._row = np.empty(row, dtype=np.uint16)

    def add(self, ids: Ids) -> Iterator[Ids]:
        """Let the document wait; give the rows that became full, shape [row] each."""
        while self._all and len(ids) > self._length:
            yield ids[: self._length]
            ids = self._rest(ids, self._length)
        self._wait(ids)
        while len(self._keys) >= self._most:
            yield from self._place()

    def _wait(self, ids: Ids) -> None:
        self._count += 1
        key = (len(ids), -self._count)
        place = bisect_right(self._keys, key)
        self._keys.insert(place, key)
        self._waiting.insert(place, ids[: self._length].copy())  # more of it can't be used

    @staticmethod
    def _rest(ids: Ids, used: int) -> Ids:
        """What comes after the first `used` tokens, with the document's separator in front."""
        return np.concatenate([ids[:1], ids[used:]])

    def finish(self) -> Iterator[Ids]:
        """Fill rows while documents wait; a last one that can't be filled is left out."""
        while self._keys:
            yield from self._place()
        self.left_out += self._filled
        self._filled = 0

    def _place(self) -> Iterator[Ids]:
        """Put one document into the row; give the row where that fills it."""
        room = self._length - self._filled
        found = bisect_right(self._keys, (room, 0)) - 1
        if found < 0:  # nothing fits: the first to come of the shortest
            found = bisect_right(self._keys, (self._keys[0][0], 0)) - 1
        length, _ = self._keys.pop(found)
        used = min(length, room)
        ids = self._waiting.pop(found)
        self._row[self._filled : self._filled + used] = ids[:used]
        if self._all and 1 < used < length:
            self._wait(self._rest(ids, used))
        elif self._all and used < length:  # nothing but its separator found room
            self._wait(ids)
        else:
            self.left_out += length - used
        self._filled += used
        if self._filled == self._length:
            self._filled = 0
            yield self._row.copy()
