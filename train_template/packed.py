"""Packed data: a folder with the tokens of each split and a meta.json that describes them.

    train.bin, validation.bin, audit.bin   token ids, little-endian uint16, end to end
    meta.json                              see `Meta`; its SHA-256 is the data's hash

In: documents and a tokenizer (`write`), or a folder (`read`). The hash covers meta.json, which
holds the hash of each split's file, so that it names the content whole. Where folders lie, who
may write them when, and what is kept are decided in `prepare`.
"""

import hashlib
import json
import os
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from train_template.errors import DataError
from train_template.sources import SPLITS, Source, Split
from train_template.tokenizer import Ids, Tokenizer

DTYPE = "<u2"
MINIMUM_BYTES = 1024  # of text in a split: below this a metric means nothing


@dataclass(frozen=True)
class SplitMeta:
    """One split's file."""

    file: str
    tokens: int
    bytes: int  # of text: what the tokens stand for
    sha256: str


@dataclass(frozen=True)
class Meta:
    """What meta.json says."""

    tokenizer: str
    vocab_size: int
    token_bytes: tuple[int, ...]  # bytes of text that each token id stands for
    dtype: str
    source: dict[str, object]
    splits: dict[str, SplitMeta]
    withheld: tuple[str, ...]  # files of the standard library that a candidate must not read


@dataclass(frozen=True)
class Packed:
    """A folder of packed data that was read."""

    folder: Path
    meta: Meta

    def tokens(self, split: Split) -> Ids:
        """The tokens of a split, shape [tokens], mapped from its file and read-only."""
        return np.memmap(self.folder / self.meta.splits[split].file, dtype=DTYPE, mode="r")


class _SplitWriter:
    """One split's file while it is written."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._path = path
        self._file = stack.enter_context(path.open("wb"))
        self._digest = hashlib.sha256()
        self._tokens = 0
        self._bytes = 0

    def add(self, ids: Ids, text_bytes: int) -> None:
        data = ids.astype(DTYPE).tobytes()
        self._file.write(data)
        self._digest.update(data)
        self._tokens += len(ids)
        self._bytes += text_bytes

    def finish(self) -> SplitMeta:
        if self._bytes < MINIMUM_BYTES:
            raise DataError(
                f"the {self._path.stem} split would hold {self._bytes} bytes of text, fewer than "
                f"{MINIMUM_BYTES}: give data.paths more text (at least 20 kB)"
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        return SplitMeta(self._path.name, self._tokens, self._bytes, self._digest.hexdigest())


def write(folder: Path, source: Source, tokenizer: Tokenizer) -> str:
    """Pack a source into an existing empty folder; return the data's hash.

    Raises DataError where a split has too little text, and OSError.
    """
    with ExitStack() as stack:
        writers = {split: _SplitWriter(folder / f"{split}.bin", stack) for split in SPLITS}
        for document in source.documents():
            writers[document.split].add(tokenizer.encode(document.text), len(document.text))
        splits: dict[str, SplitMeta] = {split: w.finish() for split, w in writers.items()}
    meta = Meta(
        tokenizer=tokenizer.name,
        vocab_size=len(tokenizer.token_bytes),
        token_bytes=tokenizer.token_bytes,
        dtype=DTYPE,
        source=source.describe(),
        splits=splits,
        withheld=source.withheld(),
    )
    text = json.dumps(asdict(meta), sort_keys=True).encode()
    with (folder / "meta.json").open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(text).hexdigest()


def read(folder: Path) -> Packed:
    """Read the description of a folder; raises DataError where it is no packed data."""
    try:
        raw = json.loads((folder / "meta.json").read_bytes())
        raw["splits"] = {name: SplitMeta(**split) for name, split in raw["splits"].items()}
        raw["token_bytes"] = tuple(raw["token_bytes"])
        raw["withheld"] = tuple(raw["withheld"])
        return Packed(folder, Meta(**raw))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder} holds no packed data ({error}): prepare it again") from error


def is_sound(folder: Path, data_hash: str) -> bool:
    """Whether the folder is there and every byte of it is what the hash names."""
    try:
        if hashlib.sha256((folder / "meta.json").read_bytes()).hexdigest() != data_hash:
            return False
        for split in read(folder).meta.splits.values():
            with (folder / split.file).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != split.sha256:
                    return False
    except (OSError, DataError):
        return False
    return True
