"""The face of a source of text: documents, each with the split that it belongs to.

A source says what there is, in an order that depends on names and content alone; how documents
become tokens, rows and files is decided elsewhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Split = Literal["train", "validation", "audit"]
SPLITS: tuple[Split, ...] = ("train", "validation", "audit")


@dataclass(frozen=True)
class Document:
    """A text, or a piece of one, and the split it belongs to."""

    name: str
    text: bytes
    split: Split


class Source(Protocol):
    """Documents, and what identifies them."""

    def fetch(self, cache: Path) -> None:
        """Get what is not on this machine yet, into `cache`; raises DataError where it can't."""

    def documents(self) -> Iterator[Document]:
        """Every document, the text of each split in its fixed order; raises DataError.

        It is read as it is asked for: no more than a few documents are in memory.
        """

    def sample(self) -> Iterator[bytes]:
        """Training text whose beginning stands for all of it: what a tokenizer learns from."""

    def describe(self) -> dict[str, object]:
        """What meta.json says of the source: the same on every machine with the same text."""

    def state(self) -> object:
        """Plain data that changes when the documents may have changed; cheap, without network."""

    def withheld(self) -> tuple[str, ...]:
        """Files that a candidate must not read, relative to the standard library's folder."""

    def more_text(self, split: Split, /) -> str:
        """What a person can do where a split holds too little, as the end of a sentence."""
