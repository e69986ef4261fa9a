"""Packed data: a folder with the tokens of each split and a meta.json that describes them.

    train.bin, validation.bin, audit.bin   token ids, little-endian uint16, end to end
    tokenizer.json                         where it was learned: for people to decode with
    meta.json                              see `Meta`; its SHA-256 is the data's hash

In: a folder. Out: its description, and tokens mapped from its files. The hash covers meta.json,
which holds the hash of each other file, so that it names the content whole. How a folder is
written is in `packer`; where folders lie, who may write them when, and what is kept in `prepare`.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from train_template.errors import DataError
from train_template.sources.source import Split
from train_template.tokenizer import Ids

DTYPE = "<u2"
TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True)
class SplitMeta:
    """One split's file."""

    file: str
    tokens: int
    bytes: int  # of text: what the tokens stand for
    documents: int  # that were read for it
    left_out: int  # tokens of these documents that it does not hold: ends of cropped ones
    sha256: str


@dataclass(frozen=True)
class Meta:
    """What meta.json says."""

    tokenizer: str
    vocab_size: int
    token_bytes: tuple[int, ...]  # bytes of text that each token id stands for
    separator: int  # the id in front of each document
    row: int | None  # tokens of a row, where each split is rows; None: a split is one stream
    dtype: str
    source: dict[str, object]
    splits: dict[str, SplitMeta]
    files: dict[str, str]  # what lies beside the splits: name -> SHA-256
    withheld: tuple[str, ...]  # files of the standard library that a candidate must not read


@dataclass(frozen=True)
class Packed:
    """A folder of packed data that was read."""

    folder: Path
    meta: Meta

    def tokens(self, split: Split) -> Ids:
        """The tokens of a split, shape [tokens], mapped from its file and read-only."""
        return np.memmap(self.folder / self.meta.splits[split].file, dtype=DTYPE, mode="r")


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
        meta = read(folder).meta
        known = {split.file: split.sha256 for split in meta.splits.values()} | meta.files
        for name, digest in known.items():
            with (folder / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    return False
    except (OSError, DataError):
        return False
    return True
