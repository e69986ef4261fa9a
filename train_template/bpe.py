"""Byte-level BPE: learned from the training text, kept as a file, exact to the byte.

In: a sample of training text and a size, or a tokenizer.json that was learned before. Out: ids, and
the bytes that each stands for. Two libraries share the work, both the ones that everybody uses:
Hugging Face's `tokenizers` learns and writes its tokenizer.json, from which anybody can decode
(`Tokenizer.from_file`), and `tiktoken` encodes, to the same ids and five to ten times as fast
(benchmarks/README.md, data).

What is not UTF-8 gets one token a byte, so that ids always decode to the very bytes of the text.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from train_template.errors import DataError
from train_template.tokenizer import Ids

if TYPE_CHECKING:
    import tiktoken

SEPARATOR = "<|document|>"
FEWEST, MOST = 257, 65_535  # every byte and the separator; what uint16 ids hold
SAMPLE_BYTES = 64_000_000  # of 300 MB of source: 32 MB learned as good a vocabulary, 8 a worse
DOCUMENT_BYTES = 10_000  # of one document: a long one of a kind should not decide
# Where tokens must not reach across: as GPT-4's tokenizer does it, but for numbers, which are cut
# after two digits instead of three, because a small vocabulary has better uses than 1000 numbers.
PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)
# tiktoken's search for words panics on a run of a million blanks, because `\s+(?!\S)` keeps as many
# places to go back to. Long runs are cut: those that it sees are shorter than twice this.
BLANKS = 1 << 16
NOT_UTF8 = re.compile("([\udc80-\udcff]+)")  # as "surrogateescape" decodes it


class BpeTokenizer:
    """Ids 0 to 255 are bytes in the library's order, then merges; the separator is the last."""

    name = "bpe"

    def __init__(self, file: str) -> None:
        """Read the text of a tokenizer.json; raises DataError where it is none of ours."""
        try:
            vocabulary: Mapping[str, int] = json.loads(file)["model"]["vocab"]
            self.separator = vocabulary[SEPARATOR]
            by_id = sorted((i, _bytes_of(t)) for t, i in vocabulary.items() if t != SEPARATOR)
            if [i for i, _ in by_id] != list(range(self.separator)):
                raise ValueError("ids are missing")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"this is no tokenizer of the task's: {error!r}") from error
        self.file = file
        self._tokens = [content for _, content in by_id]
        self._id_of_byte = np.zeros(256, dtype=np.uint16)
        for number, content in by_id:
            if len(content) == 1:
                self._id_of_byte[content[0]] = number

    @property
    def token_bytes(self) -> tuple[int, ...]:
        """Bytes of raw text, also of a token that is a part of a character; 0 of the separator."""
        return (*map(len, self._tokens), 0)

    def encode(self, text: bytes) -> Ids:
        """The separator, then the text; shape [1 + tokens]."""
        parts = NOT_UTF8.split(text.decode("utf-8", "surrogateescape"))
        pieces = [np.array([self.separator], dtype=np.uint16)]
        for number, part in enumerate(parts):
            if number % 2:
                raw = np.frombuffer(part.encode("utf-8", "surrogateescape"), dtype=np.uint8)
                pieces.append(self._id_of_byte[raw])
            else:
                for piece in _cut_blanks(part):
                    ids = self._encoding.encode_ordinary(piece)
                    pieces.append(np.array(ids, dtype=np.uint16))
        return np.concatenate(pieces)

    def decode(self, ids: Sequence[int] | Ids) -> bytes:
        """The bytes of the text; separators give none."""
        return b"".join(self._tokens[i] for i in map(int, ids) if i != self.separator)

    def __reduce__(self) -> tuple[type["BpeTokenizer"], tuple[str]]:
        """How it goes to the processes that encode: as its file."""
        return BpeTokenizer, (self.file,)

    @cached_property
    def _encoding(self) -> "tiktoken.Encoding":
        import tiktoken

        ranks = {content: number for number, content in enumerate(self._tokens)}
        return tiktoken.Encoding("bpe", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})


def learn(sample: Iterable[bytes], vocab_size: int, limit: int = SAMPLE_BYTES) -> BpeTokenizer:
    """Learn a vocabulary of `vocab_size` ids from the first `limit` bytes of a sample.

    The same text gives the same tokenizer, on any number of cores. A text with too few different
    words for so many ids gives fewer. Raises DataError for sizes that ids can't have.
    """
    check_size(vocab_size)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    except ImportError as error:
        raise DataError(
            "data.tokenizer=bpe needs the package tokenizers, which is not installed: "
            "pip install -c constraints.txt tokenizers"
        ) from error
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_words(sample, limit), trainer)
    description = json.loads(tokenizer.to_str())
    vocabulary = description["model"]["vocab"]
    # An entry like the others and no "special token": text that holds these characters is text.
    vocabulary[SEPARATOR] = len(vocabulary)
    return BpeTokenizer(json.dumps(description, ensure_ascii=False, sort_keys=True))


def check_size(vocab_size: int) -> None:
    """Raise DataError where no BPE vocabulary can have this size."""
    if not FEWEST <= vocab_size <= MOST:
        raise DataError(
            f"data.vocab_size is {vocab_size}: it must be {FEWEST} (the bytes and the separator) "
            f"to {MOST} (token ids are stored as 16 bits)"
        )


def load(file: Path) -> BpeTokenizer:
    """The tokenizer of a data folder; raises OSError, and DataError where it is none of ours."""
    try:
        return BpeTokenizer(file.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"this is no tokenizer of the task's: {error}") from error


def _cut_blanks(text: str) -> Iterator[str]:
    """The text, cut after each block of `BLANKS` characters, counted from its start, of blanks."""
    start = 0
    for end in range(BLANKS, len(text), BLANKS):
        if text[end - BLANKS : end].isspace():
            yield text[start:end]
            start = end
    yield text[start:]


def _words(sample: Iterable[bytes], limit: int) -> Iterator[str]:
    left = limit
    for document in sample:
        head = document[: min(DOCUMENT_BYTES, left)]
        left -= len(head)
        yield head.decode("utf-8", "ignore")
        if left <= 0:
            return


def _bytes_of(token: str) -> bytes:
    return bytes(BYTE_OF[character] for character in token)


def _alphabet() -> dict[str, int]:
    """Which character stands for which byte in tokenizer.json: GPT-2's table.

    Printable characters of Latin-1 stand for themselves, the other bytes for those from 256 on.
    """
    plain = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255]
    others = [b for b in range(256) if b not in plain]
    table = {chr(b): b for b in plain}
    return table | {chr(256 + n): b for n, b in enumerate(others)}


BYTE_OF = _alphabet()
