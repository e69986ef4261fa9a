"""Which places of the training text a batch is made of.

In: packed tokens, a generator and a length. Out: where the windows of `length + 1` tokens begin. A
stream (`data.packing: windows`) is drawn from at random places. Rows (`best_fit`) are drawn in a
random order, each once before any comes again, so that no text is seen twice while there is other.
Nothing is read or copied here.
"""

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]


class Windows:
    """Random places of a stream, with repetition."""

    def __init__(self, tokens: int, random: np.random.Generator) -> None:
        self._tokens, self._random = tokens, random

    def most(self) -> int:
        """The longest window that there is, without its target."""
        return self._tokens - 1

    def draw(self, count: int, length: int) -> Places:
        """Where `count` windows of `length` tokens and a target begin."""
        return self._random.integers(self._tokens - length, size=count)


class Rows:
    """Rows in a random order, one round after the other; parts of them, or several, where asked.

    Windows shorter than a row: of each row that comes a random part, of those that fit into it one
    after the other (the first begins with a document). Longer ones begin with a row and go on
    into the next rows of the file.
    """

    def __init__(self, tokens: int, row: int, random: np.random.Generator) -> None:
        self._rows, self._row, self._random = tokens // row, row, random
        self._left: Places = np.empty(0, dtype=np.int64)  # rows that did not come in this round

    def most(self) -> int:
        """The longest window that there is, without its target."""
        return self._rows * self._row - 1

    def draw(self, count: int, length: int) -> Places:
        """Where `count` windows of `length` tokens and a target begin."""
        while len(self._left) < count:
            self._left = np.concatenate([self._left, self._random.permutation(self._rows)])
        rows, self._left = self._left[:count], self._left[count:]
        if length < self._row - 1:
            part = self._random.integers((self._row - 1) // length, size=count)
            return rows * self._row + part * length
        in_one = -(-(length + 1) // self._row)
        return np.minimum(rows, self._rows - in_one) * self._row
