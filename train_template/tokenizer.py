"""Text to token ids, and how many bytes of text each id stands for.

In: the bytes of one document. Out: its token ids as uint16. The metric is bits per byte, so a
tokenizer also says how many bytes each id counts: with that, tokenizers of any size compare
fairly. Reading documents and writing files happen elsewhere, and so does learning (`bpe`).
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint16]


class Tokenizer(Protocol):
    """What the packing of data and the metric ask of a tokenizer. It can be pickled."""

    @property
    def name(self) -> str:
        """The name in the data specification."""

    @property
    def file(self) -> str:
        """The text of its tokenizer.json; "" where it needs none."""

    @property
    def separator(self) -> int:
        """The id that stands before each document; it counts no bytes."""

    @property
    def token_bytes(self) -> tuple[int, ...]:
        """Bytes of text that each token id stands for; as long as the vocabulary."""

    def encode(self, text: bytes) -> Ids:
        """The ids of one document, its separator in front; shape [tokens]."""


class ByteTokenizer:
    """Ids 0 to 255 are the bytes; 256 stands before each document and counts no bytes."""

    name = "bytes"
    file = ""
    separator = 256
    token_bytes: tuple[int, ...] = (1,) * 256 + (0,)

    def encode(self, text: bytes) -> Ids:
        """The separator, then one id a byte; shape [1 + len(text)]."""
        ids = np.empty(1 + len(text), dtype=np.uint16)
        ids[0] = self.separator
        ids[1:] = np.frombuffer(text, dtype=np.uint8)
        return ids
