"""Packing: rows of documents in order, full, without padding; and what is drawn from them."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train_template import encoding
from train_template.draws import Rows, Windows
from train_template.packer import Layout, write
from train_template.packing import BestFit, Stream
from train_template.sources import PathSource
from train_template.tokenizer import ByteTokenizer, Ids

ROOT = Path(__file__).parents[2]
BOS = 60_000


def documents(lengths: list[int]) -> list[Ids]:
    """Each begins with the separator; each other token says which document, and which place."""
    return [
        np.array([BOS, *(number * 50 + place for place in range(1, length))], dtype=np.uint16)
        for number, length in enumerate(lengths)
    ]


def packed(texts: list[Ids], row: int, waiting: int) -> tuple[list[Ids], int]:
    packing = BestFit(row, waiting)
    rows = [each for text in texts for each in packing.add(text)]
    rows += packing.finish()
    return rows, packing.left_out


def parts(row: Ids) -> list[Ids]:
    """A row, cut before each separator."""
    return np.split(row, np.flatnonzero(row == BOS))[1:]


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 49), max_size=60),
    row=st.integers(2, 30),
    waiting=st.integers(1, 12),
)
def test_rows_are_full_of_documents_in_order(lengths: list[int], row: int, waiting: int) -> None:
    texts = documents(lengths)
    rows, left_out = packed(texts, row, waiting)
    assert all(len(each) == row and each[0] == BOS for each in rows)
    assert sum(map(len, texts)) == sum(map(len, rows)) + left_out
    seen = Counter[int]()
    for each in rows:
        pieces = parts(each)
        for number, piece in enumerate(pieces):
            if len(piece) == 1:
                continue
            text = texts[int(piece[1]) // 50]
            assert piece.tolist() == text[: len(piece)].tolist()  # from its beginning, in order
            if number < len(pieces) - 1:
                assert len(piece) == len(text)  # cropped only at the end of a row
            seen[int(piece[1]) // 50] += 1
    assert all(count == 1 for count in seen.values())


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 49), min_size=1, max_size=40), row=st.integers(2, 30))
def test_a_document_is_cropped_only_where_none_fits(lengths: list[int], row: int) -> None:
    waiting = len(lengths) + 1  # all are there to choose from
    rows, _ = packed(documents(lengths), row, waiting)
    left = Counter(lengths)
    for each in rows:
        room = row
        for piece in parts(each):
            fitting = [length for length, count in left.items() if count and length <= room]
            if fitting:
                assert len(piece) == max(fitting)  # the longest that fits
                taken = max(fitting)
            else:
                assert len(piece) == room
                taken = min(length for length, count in left.items() if count)
            left[taken] -= 1
            room -= len(piece)


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 49), max_size=40),
    row=st.integers(2, 30),
    waiting=st.integers(1, 12),
)
def test_with_all_of_them_nothing_is_lost_but_a_last_row(
    lengths: list[int], row: int, waiting: int
) -> None:
    texts = documents(lengths)
    packing = BestFit(row, waiting, all=True)
    rows = [each for text in texts for each in packing.add(text)]
    rows += packing.finish()
    assert all(len(each) == row and each[0] == BOS for each in rows)
    assert packing.left_out < row
    told = sum(len(text) - 1 for text in texts)  # tokens that are no separators
    held = [token for each in rows for token in each.tolist() if token != BOS]
    assert told - len(held) <= packing.left_out
    assert len(set(held)) == len(held)  # each at most once
    for each in rows:
        for piece in parts(each):
            assert (np.diff(piece[1:].astype(int)) == 1).all()  # and in order


def test_documents_wait_for_room_but_not_for_ever() -> None:
    packing = BestFit(10, waiting=3)
    lengths = [4, 6, 7, 3, 5, 5]
    rows = [each for text in documents(lengths) for each in packing.add(text)]
    assert [[len(piece) for piece in parts(row)] for row in rows] == [[7, 3], [6, 4]]
    rows = list(packing.finish())
    assert [[len(piece) for piece in parts(row)] for row in rows] == [[5, 5]]


def test_a_stream_loses_nothing() -> None:
    texts = documents([3, 40, 1])
    packing = Stream()
    out = [each for text in texts for each in packing.add(text)] + list(packing.finish())
    assert np.concatenate(out).tolist() == np.concatenate(texts).tolist()


def test_every_row_comes_once_before_any_comes_again() -> None:
    rows = Rows(10 * 9, 9, np.random.default_rng(1))
    drawn = np.concatenate([rows.draw(3, 8) for _ in range(20)])  # batches across the rounds' ends
    assert set(drawn.tolist()) == set(range(0, 90, 9))
    for start in range(0, 60, 10):
        assert len(set(drawn[start : start + 10].tolist())) == 10
    assert drawn[:10].tolist() != drawn[10:20].tolist()


@settings(deadline=None)
@given(
    length=st.integers(1, 40), row=st.integers(2, 12), rows=st.integers(5, 30),
    count=st.integers(1, 70),
)  # fmt: skip
def test_windows_of_any_length_lie_in_the_text(
    length: int, row: int, rows: int, count: int
) -> None:
    text = Rows(rows * row, row, np.random.default_rng(1))
    if length > text.most():
        return
    starts = text.draw(count, length)
    assert len(starts) == count
    assert starts.min() >= 0
    assert starts.max() + length + 1 <= rows * row
    if length >= row - 1:
        assert (starts % row == 0).all()  # they begin with a document
    else:
        assert ((starts % row) % length == 0).all()
        assert (starts % row + length < row).all()  # and lie within one row


def test_a_stream_is_drawn_from_at_random_places() -> None:
    windows = Windows(100, np.random.default_rng(1))
    starts = windows.draw(2000, 9)
    assert windows.most() == 99
    assert (starts.min(), starts.max()) == (0, 90)


def test_any_number_of_processes_gives_the_same_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "SMALL_BYTES", 1000)
    monkeypatch.setattr(encoding, "BATCH_BYTES", 2000)
    for number in range(600):
        (tmp_path / f"{number:03}.txt").write_text(f"document {number}\n" * (number % 17 + 3))
    hashes = []
    for processes in (1, 3):
        folder = tmp_path / f"with-{processes}"
        folder.mkdir()
        source = PathSource(["*.txt"], tmp_path)
        hashes.append(write(folder, source, ByteTokenizer(), Layout(row=257), processes))
    assert hashes[0] == hashes[1]


def test_a_packing_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    program = (
        "import itertools, os, sys, time\n"
        "from train_template.encoding import encoded\n"
        "from train_template.sources import Document\n"
        "from train_template.tokenizer import ByteTokenizer\n"
        "if __name__ == '__main__':\n"
        "    endless = itertools.repeat(Document('', b'x' * (1 << 20), 'train'))\n"
        "    for number, _ in enumerate(encoded(endless, ByteTokenizer(), 2)):\n"
        "        if number == 20:\n"
        "            print('both encode', flush=True)\n"
    )
    (tmp_path / "endless.py").write_text(program)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "endless.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"both encode\n"
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=30)
    for child in alive:
        child.kill()
    assert alive == []


def test_a_withheld_split_holds_no_more_than_is_needed(tmp_path: Path) -> None:
    for number in range(600):
        (tmp_path / f"{number:03}.txt").write_text(f"document {number}\n" * 10)
    sizes = {}
    for most in (None, 2000):
        folder = tmp_path / f"most-{most}"
        folder.mkdir()
        source = PathSource(["*.txt"], tmp_path)
        write(folder, source, ByteTokenizer(), Layout(row=257, withheld_tokens=most), 1)
        sizes[most] = {f.stem: f.stat().st_size // 2 for f in folder.glob("*.bin")}
    assert 2000 <= sizes[2000]["validation"] < 2000 + 257 < sizes[None]["validation"]
    assert sizes[2000]["train"] == sizes[None]["train"]
