"""Byte-level BPE: exact to the byte, the same everywhere, fair to every text."""

import json
import os
import subprocess
import sys
import sysconfig
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from train_template import bpe
from train_template.bpe import SEPARATOR, BpeTokenizer
from train_template.errors import DataError

ROOT = Path(__file__).parents[2]
STRANGE = [
    b"Plain words, 1234567 numbers,\n\n    and   spaces\t\r\n",
    "naïve café: Grüße, привет, שלום, 你好世界, こんにちは, 한국어".encode(),
    "family: 👨‍👩‍👧‍👦, flag: 🇳🇴, skin: 👍🏽".encode(),
    b"latin-1: caf\xe9 na\xefve \xff\xfe\x80\x80 end",
    b"half a character: \xf0\x9f\x98",
    bytes(range(256)) * 2,
    f"a text that names {SEPARATOR} itself".encode(),
    b"",
]


def library() -> list[bytes]:
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:40]
    return [file.read_bytes() for file in files]


@pytest.fixture(scope="module")
def tokenizer() -> BpeTokenizer:
    return bpe.learn([*library(), *STRANGE * 3], 600)


def slow(tokenizer: BpeTokenizer, text: str) -> list[int]:
    """BPE as it is defined: merge the neighbours that were learned first, until none are left."""
    import regex

    described = json.loads(tokenizer.file)["model"]
    vocabulary: dict[str, int] = described["vocab"]
    rank = {tuple(pair): number for number, pair in enumerate(described["merges"])}
    character = {byte: char for char, byte in bpe.BYTE_OF.items()}
    ids = []
    for word in regex.findall(bpe.PATTERN, text):
        parts = [character[byte] for byte in word.encode()]
        while len(parts) > 1:
            pairs = list(pairwise(parts))
            best = min(pairs, key=lambda pair: rank.get(pair, 1 << 30))
            if best not in rank:
                break
            at = pairs.index(best)
            parts[at : at + 2] = ["".join(best)]
        ids += [vocabulary[part] for part in parts]
    return ids


@pytest.mark.parametrize("text", STRANGE)
def test_every_byte_is_counted_once_and_comes_back(tokenizer: BpeTokenizer, text: bytes) -> None:
    ids = tokenizer.encode(text)
    assert ids[0] == tokenizer.separator
    assert tokenizer.separator not in ids[1:]
    assert tokenizer.decode(ids) == text
    assert sum(tokenizer.token_bytes[i] for i in ids) == len(text)


@pytest.mark.parametrize(
    "run",
    [" " * 2_000_000, "\n" * 2_000_000, "\t \u00a0\r" * 500_000, "a" * 2_000_000, "!" * 2_000_000],
)
def test_runs_of_millions_come_back(tokenizer: BpeTokenizer, run: str) -> None:
    text = f"before{run}after".encode()
    ids = tokenizer.encode(text)
    assert tokenizer.separator not in ids[1:]
    assert tokenizer.decode(ids) == text


@settings(deadline=None)
@given(text=st.binary(max_size=60) | st.text(max_size=60).map(lambda t: t.encode()))
def test_any_bytes_come_back(tokenizer: BpeTokenizer, text: bytes) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert int(np.array(tokenizer.token_bytes)[ids].sum()) == len(text)


def test_parts_of_characters_count_the_bytes_that_they_are(tokenizer: BpeTokenizer) -> None:
    [smile] = ["😀".encode()]
    ids = tokenizer.encode(smile)
    assert len(ids) > 2  # the character is in several tokens
    assert [tokenizer.decode([i]) for i in ids[1:]] != [smile]
    assert sum(tokenizer.token_bytes[i] for i in ids[1:]) == 4


def test_it_encodes_as_bpe_is_defined(tokenizer: BpeTokenizer) -> None:
    texts = [*library()[:2], *STRANGE[:3]]
    for text in texts:
        decoded = text.decode()[:4000]
        assert tokenizer.encode(decoded.encode())[1:].tolist() == slow(tokenizer, decoded)


def test_people_can_decode_with_the_library_that_everybody_has(tokenizer: BpeTokenizer) -> None:
    known = Tokenizer.from_str(tokenizer.file)
    for text in ("naïve café: 你好 👍🏽 1234", f"of {SEPARATOR} itself"):
        ids = tokenizer.encode(text.encode())[1:].tolist()
        assert known.decode(ids) == text
        assert known.encode(text).ids == ids


def test_the_same_text_gives_the_same_tokenizer_on_any_number_of_cores(
    tokenizer: BpeTokenizer,
) -> None:
    program = (
        "import sys; from tests.unit import test_bpe as t\n"
        "sys.stdout.write(t.bpe.learn([*t.library(), *t.STRANGE * 3], 600).file)"
    )
    for parallelism in ("true", "false"):
        settings = {"TOKENIZERS_PARALLELISM": parallelism, "RAYON_NUM_THREADS": "7"}
        file = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **settings},
            capture_output=True,
            encoding="utf-8",
            check=True,
        ).stdout
        assert file == tokenizer.file


def test_the_vocabulary_has_the_size_that_was_asked_for(tokenizer: BpeTokenizer) -> None:
    assert len(tokenizer.token_bytes) == 600
    assert tokenizer.separator == 599
    assert tokenizer.token_bytes[599] == 0
    assert min(tokenizer.token_bytes[:599]) == 1
    assert len(bpe.learn([b"aaaa"], 5000).token_bytes) < 270  # there is no more to learn


def test_no_more_than_the_limit_is_learned_from() -> None:
    seen = bpe.learn([b"abab" * 100, b"xyxy" * 100], 300, limit=400)
    assert b"ab" in [seen.decode([i]) for i in range(seen.separator)]
    assert b"xy" not in [seen.decode([i]) for i in range(seen.separator)]


@pytest.mark.parametrize("size", [256, 65_536])
def test_sizes_that_ids_can_not_have_are_refused(size: int) -> None:
    with pytest.raises(DataError, match=r"257 .* to 65535 \(token ids are stored as 16 bits\)"):
        bpe.learn([b"text"], size)


def test_another_file_is_no_tokenizer() -> None:
    for file in ("{", "{}", '{"model": {"vocab": {"a": 5, "<|document|>": 6}}}'):
        with pytest.raises(DataError, match="no tokenizer"):
            BpeTokenizer(file)
