"""Text of one's own: files and globs.

A plain file is one document, named by its path relative to `root`; a Parquet or JSONL file holds
one in each row. Which split a document belongs to depends on names, or for rows on their text,
never on where the files lie.
"""

import glob
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from train_template.errors import DataError
from train_template.sources.records import holds_records, rows
from train_template.sources.source import SPLITS, Document, Split

WITHHELD_SHARE = 0.05  # of the text of a path source, for each withheld split
WHOLE_SHARE = 4 * WITHHELD_SHARE  # of the text that files must hold to withhold some of them whole
FEW_DOCUMENTS = 20  # below this, the text is cut by position: 5 % of 19 like ones is none
PIECE_BYTES = 1 << 26  # of one file that are in memory at a time; a larger one is several documents


class PathSource:
    """Files and globs, plain ones and those that hold a document a row."""

    def __init__(self, paths: list[str], root: Path, *, column: str = "text") -> None:
        """Raises DataError where a path or a glob leads to no file."""
        found: set[Path] = set()
        for path in paths:
            # Path.glob refuses the absolute patterns that the scheduler sends.
            matches = glob.glob(str(root / path), recursive=True)  # noqa: PTH207
            files = [Path(match) for match in matches if Path(match).is_file()]
            if not files:
                hint = f"; for a folder write {path.rstrip('/')}/**/*.txt" if matches else ""
                raise DataError(f"data.paths: {path} matches no file{hint}")
            found.update(files)
        named = {Path(os.path.relpath(file, root)).as_posix(): file for file in sorted(found)}
        self._texts = {n: file for n, file in sorted(named.items()) if not holds_records(n)}
        self._records = {n: file for n, file in sorted(named.items()) if holds_records(n)}
        self._column = column

    def fetch(self, cache: Path) -> None:
        """They are here."""

    def documents(self) -> Iterator[Document]:
        """Plain files by a hash of their names, or cut where they are few; rows by their text's."""
        split_of = self._splits()
        if not split_of:
            yield from self._cut()
        else:
            for name, file in self._texts.items():
                for piece in _pieces(file, 0, file.stat().st_size):
                    yield Document(name, piece, split_of[name])
        for name, file in self._records.items():
            for text in rows(file, self._column):
                yield Document(name, text, _split_of_row(text))

    def sample(self) -> Iterator[bytes]:
        """Training text, files in the order of their hashes, so that every folder is in it."""
        ranked = sorted((*self._texts, *self._records), key=_hash)
        split_of = self._splits()
        if not split_of:
            yield from (each.text for each in self._cut() if each.split == "train")
        for name in ranked:
            if name in self._records:
                for text in rows(self._records[name], self._column):
                    if _split_of_row(text) == "train":
                        yield text
            elif split_of.get(name) == "train":
                yield from _pieces(self._texts[name], 0, self._texts[name].stat().st_size)

    def describe(self) -> dict[str, object]:
        """How many files there are; never where they lie."""
        return {"kind": "path", "documents": len(self._texts), "tables": len(self._records)}

    def state(self) -> object:
        """Name, size and time of change of each file."""
        stats = [(n, file.stat()) for n, file in sorted((self._texts | self._records).items())]
        return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]

    def withheld(self) -> tuple[str, ...]:
        """None: these files do not lie in the standard library."""
        return ()

    def _splits(self) -> dict[str, Split]:
        """Which file goes where, whole; empty where too few are small enough for that.

        Those with the lowest hashes are withheld until they hold the share, so that the choice
        hangs on names and sizes alone and moves little when a file is added. A file larger than
        the share is never withheld: so no split holds less than it or, of a text of which four
        times as much lies in smaller files, more than twice as much.
        """
        sizes = {name: file.stat().st_size for name, file in self._texts.items()}
        total = sum(sizes.values())
        share = WITHHELD_SHARE * total
        ranked = sorted((name for name, size in sizes.items() if size <= share), key=_hash)
        held = sum(sizes[name] for name in ranked)
        if len(sizes) < FEW_DOCUMENTS or not total or held < WHOLE_SHARE * total:
            return {}
        split_of: dict[str, Split] = dict.fromkeys(sizes, "train")
        left = iter(ranked)
        for split in SPLITS[1:]:
            withheld = 0
            while withheld < share:
                name = next(left)
                split_of[name] = split
                withheld += sizes[name]
        return split_of

    def _cut(self) -> Iterator[Document]:
        """The concatenated text cut by position: train first, then validation, then audit."""
        sizes = {name: file.stat().st_size for name, file in self._texts.items()}
        total = sum(sizes.values())
        share = round(WITHHELD_SHARE * total)
        borders = (0, total - 2 * share, total - share, total)
        position = 0
        for name, size in sizes.items():
            for split, start, end in zip(SPLITS, borders, borders[1:], strict=False):
                first, last = max(0, start - position), min(size, end - position)
                for piece in _pieces(self._texts[name], first, last):
                    yield Document(name, piece, split)
            position += size


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()


def _split_of_row(text: bytes) -> Split:
    """By the text: the same row, come twice, is never both trained on and withheld."""
    place = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2**64
    if place < WITHHELD_SHARE:
        return "validation"
    return "audit" if place < 2 * WITHHELD_SHARE else "train"


def _pieces(file: Path, start: int, end: int) -> Iterator[bytes]:
    """The bytes of a file between two places, in pieces that memory holds."""
    with file.open("rb") as opened:
        opened.seek(start)
        while start < end and (piece := opened.read(min(PIECE_BYTES, end - start))):
            start += len(piece)
            yield piece
