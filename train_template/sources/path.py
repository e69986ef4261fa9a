"""Text of one's own: files and globs.

A plain file is one document, named by its path relative to `root`; a Parquet or JSONL file holds
one in each row. Which split a document belongs to depends on names, or for rows on their text,
never on where the files lie. How much is withheld, and where it is cut, is in `withholding`.
"""

import glob
import hashlib
import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from train_template.errors import DataError
from train_template.sources.records import holds_records, rows
from train_template.sources.source import Document, Split
from train_template.sources.withholding import WITHHELD_SHARE, Part, cut, whole

FEW_ROWS = 200  # below this, 5 % by a hash of each may be none: at 200, for one table in 14,000
ROWS_RULE = 2  # counts up when the rows of the same tables would be withheld in another way
ESCAPED = re.compile(r"\[([*?[])\]")  # a character of a glob that stands for itself
PIECE_BYTES = 1 << 26  # of one file that are in memory at a time; a larger one is several documents


class PathSource:
    """Files and globs, plain ones and those that hold a document a row."""

    def __init__(self, paths: list[str], root: Path, *, column: str = "text") -> None:
        """Raises DataError where a path or a glob leads to no file."""
        found: set[Path] = set()
        for path in paths:
            if os.path.isfile(root / path):  # noqa: PTH113 - as glob, which is never denied
                found.add(root / path)  # whatever characters of a glob its name has
                continue
            # Path.glob refuses the absolute patterns that the scheduler sends.
            pattern = Path(glob.escape(str(root))) / path
            matches = glob.glob(str(pattern), recursive=True)  # noqa: PTH207
            files = [Path(match) for match in matches if Path(match).is_file()]
            if not files:
                hint = f"; for a folder write {path.rstrip('/')}/**/*.txt" if matches else ""
                plain = ESCAPED.sub(r"\1", path)
                raise DataError(f"data.paths: {plain} matches no file{hint}")
            found.update(files)
        named = {Path(os.path.relpath(file, root)).as_posix(): file for file in sorted(found)}
        self._texts = {n: file for n, file in sorted(named.items()) if not holds_records(n)}
        self._records = {n: file for n, file in sorted(named.items()) if holds_records(n)}
        self._column = column

    def fetch(self, cache: Path) -> None:
        """They are here."""

    def documents(self) -> Iterator[Document]:
        """Plain files by a hash of their names, rows by their text's; cut where they are few."""
        split_of = self._splits()
        if not split_of:
            yield from self._cut()
        else:
            for name, file in self._texts.items():
                for piece in _pieces(file, 0, file.stat().st_size):
                    yield Document(name, piece, split_of[name])
        for name, file in self._records.items():
            for text in rows(file, self._column):
                for split, first, last in self._parts_of(text):
                    yield Document(name, text[first:last], split)

    def sample(self) -> Iterator[bytes]:
        """Training text, files in the order of their hashes, so that every folder is in it."""
        ranked = sorted((*self._texts, *self._records), key=_hash)
        split_of = self._splits()
        if not split_of:
            yield from (each.text for each in self._cut() if each.split == "train")
        for name in ranked:
            if name in self._records:
                for text in rows(self._records[name], self._column):
                    for split, first, last in self._parts_of(text):
                        if split == "train":
                            yield text[first:last]
            elif split_of.get(name) == "train":
                yield from _pieces(self._texts[name], 0, self._texts[name].stat().st_size)

    def describe(self) -> dict[str, object]:
        """How many files there are; never where they lie."""
        return {"kind": "path", "documents": len(self._texts), "tables": len(self._records)}

    def state(self) -> object:
        """Name, size and time of change of each file."""
        stats = [(n, file.stat()) for n, file in sorted((self._texts | self._records).items())]
        state: list[object] = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
        return [*state, ["rows", ROWS_RULE]] if self._records else state

    def withheld(self) -> tuple[str, ...]:
        """None: these files do not lie in the standard library."""
        return ()

    def more_text(self, _: Split, /) -> str:
        """More of it: the share that is withheld grows with all of the text."""
        kind = "rows" if self._records and not self._texts else "files"
        return (
            "give data.paths more text (at least 20 kB in all, of which 5 % are withheld for each "
            f"of validation and audit: whole {kind} where there are 20 or more of like sizes)"
        )

    def _splits(self) -> dict[str, Split]:
        """Which plain file goes where; empty where they are few, and cut."""
        sizes = {name: file.stat().st_size for name, file in self._texts.items()}
        return whole({name: sizes[name] for name in sorted(sizes, key=_hash)})

    def _cut(self) -> Iterator[Document]:
        """The plain files end to end, cut by position."""
        sizes = {name: file.stat().st_size for name, file in self._texts.items()}
        for name, (split, first, last) in cut(sizes):
            for piece in _pieces(self._texts[name], first, last):
                yield Document(name, piece, split)

    @cached_property
    def _few_rows(self) -> dict[str, list[Part]]:
        """Which parts of the rows of all tables go where, by their texts' hashes, if they are few.

        Empty where there are many: then each goes where its hash says, whatever the others are.
        """
        sizes: dict[str, int] = {}
        for file in self._records.values():
            for text in rows(file, self._column):
                sizes[hashlib.sha256(text).hexdigest()] = len(text)
                if len(sizes) >= FEW_ROWS:
                    return {}
        ranked = {name: sizes[name] for name in sorted(sizes)}
        if split_of := whole(ranked):
            return {name: [(split, 0, ranked[name])] for name, split in split_of.items()}
        parts: dict[str, list[Part]] = {}
        for name, part in cut(ranked):
            parts.setdefault(name, []).append(part)
        return parts

    def _parts_of(self, row: bytes) -> list[Part]:
        """By the text: the same row, come twice, is never both trained on and withheld."""
        digest = hashlib.sha256(row)
        known = self._few_rows.get(digest.hexdigest())
        return known or [(_split_of_row(digest.digest()), 0, len(row))]


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()


def _split_of_row(digest: bytes) -> Split:
    place = int.from_bytes(digest[:8], "big") / 2**64
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
