"""Writes packed data (see `packed`): documents of a source as tokens, in a file for each split.

In: a source, a tokenizer, a layout and an empty folder. Out: the folder filled, and its hash. It
streams: what is in memory at a time does not grow with the text. All cores encode.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from train_template.encoding import cores, encoded
from train_template.errors import DataError
from train_template.lasting import write_lasting
from train_template.packed import DTYPE, TOKENIZER_FILE, Meta, SplitMeta
from train_template.packing import BestFit, Packing, Stream
from train_template.sources import SPLITS, Document, Source
from train_template.tokenizer import Ids, Tokenizer

MINIMUM_BYTES = 1024  # of text in a split: below this a metric means nothing
NAMED = 5  # files that an error names


@dataclass(frozen=True)
class Layout:
    """How documents become tokens in files."""

    row: int | None = None  # tokens of a best-fit row; None: one stream
    all: bool = False  # whether rows hold the rest of cropped documents too
    withheld_tokens: int | None = None  # that a withheld split needs at most; None: all there are

    def packing(self) -> Packing:
        """A fresh one, for one split."""
        return Stream() if self.row is None else BestFit(self.row, all=self.all)


class _SplitWriter:
    """One split's file while it is written."""

    def __init__(
        self, path: Path, stack: ExitStack, packing: Packing, sizes: npt.NDArray[np.int64],
        limit: int | None,
    ) -> None:  # fmt: skip
        self._path, self._packing, self._sizes, self._limit = path, packing, sizes, limit
        self._file = stack.enter_context(path.open("wb"))
        self._digest = hashlib.sha256()
        self._tokens = 0
        self._bytes = 0
        self._documents = 0
        self._names: dict[str, None] = {}  # of the first files that it is made of, in order

    @property
    def is_full(self) -> bool:
        """Whether more text would be of no use."""
        return self._limit is not None and self._tokens >= self._limit

    def add(self, name: str, ids: Ids) -> None:
        self._documents += 1
        if len(self._names) <= NAMED:
            self._names[name] = None
        self._write(self._packing.add(ids))

    def finish(self, advice: str) -> SplitMeta:
        """What was written; raises DataError with the advice where that is too little."""
        if not self.is_full:  # else what waits is not needed
            self._write(self._packing.finish())
        if self._bytes < MINIMUM_BYTES:
            raise DataError(
                f"the {self._path.stem} split{self._made_of()} would hold {self._bytes} bytes of "
                f"text, fewer than {MINIMUM_BYTES}: {advice}"
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        return SplitMeta(
            self._path.name, self._tokens, self._bytes, self._documents, self._packing.left_out,
            self._digest.hexdigest(),
        )  # fmt: skip

    def _made_of(self) -> str:
        names = list(self._names)
        if not names:
            return ""
        more = " and others" if len(names) > NAMED else ""
        return f", made of {', '.join(names[:NAMED])}{more},"

    def _write(self, parts: Iterator[Ids]) -> None:
        for ids in parts:
            data = ids.astype(DTYPE).tobytes()
            self._file.write(data)
            self._digest.update(data)
            self._tokens += len(ids)
            self._bytes += int(self._sizes[ids].sum())
            if self.is_full:
                return


def write(
    folder: Path,
    source: Source,
    tokenizer: Tokenizer,
    layout: Layout = Layout(),
    processes: int | None = None,
) -> str:
    """Pack a source into an existing empty folder; return the data's hash.

    It takes as many `processes` as there are cores where they are not given; the result is the
    same with any number. Raises DataError where a split has too little text, and OSError.
    """
    sizes = np.array(tokenizer.token_bytes, dtype=np.int64)
    with ExitStack() as stack:
        writers = {}
        for split in SPLITS:
            limit = None if split == "train" else layout.withheld_tokens
            file = folder / f"{split}.bin"
            writers[split] = _SplitWriter(file, stack, layout.packing(), sizes, limit)

        def wanted() -> Iterator[Document]:
            return (each for each in source.documents() if not writers[each.split].is_full)

        for document, ids in encoded(wanted(), tokenizer, processes or cores()):
            if not writers[document.split].is_full:
                writers[document.split].add(document.name, ids)
        # Best-fit rows leave out what a text has too little of to fill one.
        more = "; rows of best_fit take more, of documents longer than they" if layout.row else ""
        splits: dict[str, SplitMeta] = {
            split: writer.finish(f"{source.more_text(split)}{more}")
            for split, writer in writers.items()
        }
    files = {}
    if tokenizer.file:
        write_lasting(folder / TOKENIZER_FILE, tokenizer.file.encode())
        files[TOKENIZER_FILE] = hashlib.sha256(tokenizer.file.encode()).hexdigest()
    meta = Meta(
        tokenizer=tokenizer.name,
        vocab_size=len(tokenizer.token_bytes),
        token_bytes=tokenizer.token_bytes,
        separator=tokenizer.separator,
        row=layout.row,
        dtype=DTYPE,
        source=source.describe(),
        splits=splits,
        files=files,
        withheld=source.withheld(),
    )
    text = json.dumps(asdict(meta), sort_keys=True).encode()
    write_lasting(folder / "meta.json", text)
    return hashlib.sha256(text).hexdigest()
