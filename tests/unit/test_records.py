"""Parquet and JSONL files of one's own: a row is a document, and where it belongs is its text's."""

import gzip
import json
import tracemalloc
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from train_template.errors import DataError
from train_template.packed import Packed
from train_template.prepare import prepare
from train_template.sources import SPLITS, PathSource, records

ROWS = [
    f"Row {number}: {'text and more of it, ' * (number % 7 + 3)}é 你 👍" for number in range(400)
]

ZIPPED = gzip.compress("".join(f'{{"text": "{hash(n)} {n**9}"}}\n' for n in range(400)).encode())


def write_parquet(path: Path, rows: list[str], column: str = "text") -> None:
    table = pa.table({"id": list(range(len(rows))), column: rows})
    pq.write_table(table, path, row_group_size=50)


def write_json(path: Path, rows: list[str], column: str = "text") -> None:
    lines = "\n".join(json.dumps({"id": i, column: row}) for i, row in enumerate(rows)) + "\n\n"
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())


def packed(folder: Path, *paths: str, column: str = "text") -> Packed:
    spec = {"source": "path", "root": str(folder), "paths": list(paths), "text_column": column}
    return prepare(folder / "cache", spec)


def texts(data: Packed, split: str) -> list[str]:
    tokens = data.tokens(split)  # type: ignore[arg-type]
    documents = np.split(tokens, np.flatnonzero(tokens == 256))[1:]
    return [bytes(each[1:].astype(np.uint8)).decode() for each in documents]


def test_every_format_gives_the_same_documents(tmp_path: Path) -> None:
    write_parquet(tmp_path / "rows.parquet", ROWS, "content")
    write_json(tmp_path / "rows.jsonl", ROWS, "content")
    write_json(tmp_path / "rows.jsonl.gz", ROWS, "content")
    found = [
        packed(tmp_path, f"rows{e}", column="content") for e in (".parquet", ".jsonl", ".jsonl.gz")
    ]
    splits = [{split: texts(data, split) for split in SPLITS} for data in found]
    assert splits[0] == splits[1] == splits[2]
    assert sorted(text for each in splits[0].values() for text in each) == sorted(ROWS)
    assert all(len(splits[0][split]) > 5 for split in ("validation", "audit"))


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "categories"])
def test_every_kind_of_text_column_is_read(tmp_path: Path, kind: str) -> None:
    texts = [None, "", *ROWS, ROWS[0]]
    column = pa.array(texts).dictionary_encode() if kind == "categories" else pa.array(texts, kind)
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet", row_group_size=150)
    found = list(records.rows(tmp_path / "a.parquet", "text"))
    assert found == [row.encode() for row in [*ROWS, ROWS[0]]]


def test_equal_rows_never_lie_on_both_sides(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", ROWS)
    write_json(tmp_path / "b.jsonl", ROWS[::-1])
    data = packed(tmp_path, "a.parquet", "b.jsonl")
    each = [set(texts(data, split)) for split in SPLITS]
    assert each[0] | each[1] | each[2] == set(ROWS)
    assert not each[0] & each[1]
    assert not each[0] & each[2]
    assert not each[1] & each[2]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 19, 20, 30, 100, 199])
def test_no_split_of_a_few_rows_is_empty(tmp_path: Path, count: int) -> None:
    for start in range(3):  # of as many tables, and with them as many hashes
        rows = [f"{start} {number} " * 6000 for number in range(count)]
        write_json(tmp_path / f"{start}.jsonl", rows)
        splits = packed(tmp_path, f"{start}.jsonl").meta.splits
        total = sum(split.bytes for split in splits.values())
        assert total == sum(map(len, rows))
        for split in ("validation", "audit"):
            assert 0.049 < splits[split].bytes / total < 0.1


def test_few_rows_are_withheld_whole_and_whatever_their_order(tmp_path: Path) -> None:
    rows = [f"{number} " * 900 for number in range(30)]
    write_json(tmp_path / "all.jsonl", [*rows, rows[3]])
    write_json(tmp_path / "one.jsonl", rows[:11:-1])
    write_parquet(tmp_path / "two.parquet", rows[:12])
    together, apart = packed(tmp_path, "all.jsonl"), packed(tmp_path, "one.jsonl", "two.parquet")
    for split in SPLITS:
        assert set(texts(together, split)) == set(texts(apart, split)) <= set(rows)


def test_rows_that_are_cut_are_cut_at_the_same_place_each_time_they_come(tmp_path: Path) -> None:
    rows = [f"{number} " * 9000 for number in range(3)]
    write_json(tmp_path / "a.jsonl", rows)
    write_json(tmp_path / "b.jsonl", [*rows, *rows[::-1]])
    once, twice = packed(tmp_path, "a.jsonl"), packed(tmp_path, "b.jsonl")
    for split in SPLITS:
        assert set(texts(once, split)) == set(texts(twice, split))


def test_many_rows_go_where_their_own_hashes_say(tmp_path: Path) -> None:
    write_parquet(tmp_path / "rows.parquet", ROWS)
    data = packed(tmp_path, "rows.parquet")
    places = {row: int(sha256(row.encode()).hexdigest()[:16], 16) / 2**64 for row in ROWS}
    assert texts(data, "validation") == [row for row in ROWS if places[row] < 0.05]
    assert texts(data, "audit") == [row for row in ROWS if 0.05 <= places[row] < 0.1]


def test_a_sample_of_few_rows_is_of_the_training_text_alone(tmp_path: Path) -> None:
    for count in (2, 30):
        write_json(tmp_path / "a.jsonl", [f"{number} " * 9000 for number in range(count)])
        source = PathSource(["a.jsonl"], tmp_path)
        trained = [each.text for each in source.documents() if each.split == "train"]
        assert list(source.sample()) == trained


def test_rows_that_are_too_little_text_say_so(tmp_path: Path) -> None:
    write_json(tmp_path / "a.jsonl", ["short"] * 2)
    with pytest.raises(
        DataError, match=r"give data\.paths more text .* whole rows where .* sizes\)$"
    ):
        packed(tmp_path, "a.jsonl")


def test_rows_and_plain_files_go_together(tmp_path: Path) -> None:
    write_parquet(tmp_path / "rows.parquet", ROWS)
    (tmp_path / "plain.txt").write_text("plain text\n" * 4000)
    data = packed(tmp_path, "*.parquet", "*.txt")
    assert data.meta.source == {"kind": "path", "documents": 1, "tables": 1}
    assert any("plain text" in text for text in texts(data, "train"))
    assert any(text.startswith("Row") for text in texts(data, "train"))


def test_a_sample_is_of_the_training_text_alone(tmp_path: Path) -> None:
    write_parquet(tmp_path / "rows.parquet", ROWS)
    for number in range(40):
        (tmp_path / f"{number}.txt").write_text(f"plain {number}\n" * 100)
    source = PathSource(["*"], tmp_path)
    trained = sorted(each.text for each in source.documents() if each.split == "train")
    assert sorted(source.sample()) == trained
    few = PathSource(["1.txt", "rows.parquet"], tmp_path)
    trained = sorted(each.text for each in few.documents() if each.split == "train")
    assert sorted(few.sample()) == trained


def test_a_file_larger_than_memory_should_hold_is_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"".join(b"%d\n" % number for number in range(9000))
    (tmp_path / "one.txt").write_bytes(text)
    monkeypatch.setattr("train_template.sources.path.PIECE_BYTES", 1000)
    documents = list(PathSource(["one.txt"], tmp_path).documents())
    assert b"".join(each.text for each in documents) == text
    assert max(len(each.text) for each in documents) == 1000


def test_long_rows_take_no_more_memory_than_short_ones(tmp_path: Path) -> None:
    text = "".join(f"{number} " for number in range(80_000))  # 400 kB and more
    rows = [text[place:] + text[:place] for place in range(200)]
    # Pages of a row or two, as most writers make them: a page is decoded whole.
    pq.write_table(pa.table({"text": rows}), tmp_path / "long.parquet", write_batch_size=1)
    before = pa.total_allocated_bytes()
    most = 0
    tracemalloc.start()
    for number, found in enumerate(records.rows(tmp_path / "long.parquet", "text")):
        assert found == rows[number].encode()
        most = max(most, pa.total_allocated_bytes() - before)
    most += tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 48_000_000 < sum(map(len, rows)) / 1.5


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.parquet", b"PAR1 but no more", "no Parquet file"),
        ("a.jsonl", b'{"text": "x"}\n{"text": ', r"line 2: no JSON Lines"),
        ("a.jsonl", b'{"body": "x"}\n', "has no key 'text'; it has body"),
        ("a.jsonl", b'{"text": 5}\n', "line 1 .* has no text"),
        ("a.jsonl", b"[1]\n", "line 1 .* is no object"),
        ("a.jsonl", b'{"text": ' + b"[" * 10**5, r"a\.jsonl, line 1: no JSON Lines"),
        ("a.jsonl.gz", b"no gzip", "no JSON Lines"),
        ("a.jsonl.gz", ZIPPED[:-20], r"a\.jsonl\.gz, line \d+: no JSON Lines"),
        ("a.jsonl.gz", ZIPPED[:10] + b"\xff" * 50 + ZIPPED[60:], r"a\.jsonl\.gz, line 1: no JSON"),
    ],
)
def test_what_can_not_be_read_is_named(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        packed(tmp_path, name)


def test_a_damaged_page_is_told_with_the_file_s_name(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    write_parquet(file, ROWS)
    content = bytearray(file.read_bytes())
    place = pq.ParquetFile(file).metadata.row_group(3).column(1).data_page_offset
    content[place + 20 : place + 60] = b"\xff" * 40
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet is no Parquet file that can be read: "):
        packed(tmp_path, "a.parquet")


def test_a_column_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", ROWS, "body")
    with pytest.raises(DataError, match="no column 'text'; it has id, body"):
        packed(tmp_path, "a.parquet")
    with pytest.raises(DataError, match=r"'id' of a\.parquet is int64, no text"):
        packed(tmp_path, "a.parquet", column="id")
