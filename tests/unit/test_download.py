"""Downloads against a real HTTP server: what breaks on the way does not reach the file."""

import gzip
import hashlib
import io
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fixtures.hub import Fault, Hub
from train_template import prepare as preparing
from train_template.errors import DataError
from train_template.sources import HuggingFaceSource, download, hugging_face
from train_template.sources.hugging_face import expand

SHARD = "shard_00000.parquet"
VALIDATION = "shard_00001.parquet"


def parquet(texts: Sequence[str | None], column: str = "text") -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({column: list(texts), "id": range(len(texts))}), out, row_group_size=7)
    return out.getvalue()


TRAINING = [
    f"Row {number} is one to learn from, and not a short one.\n" * 8 for number in range(60)
]
WITHHELD = [
    f"Row {number} is measured on, and is of no great length.\n" * 8 for number in range(20)
]
FILES = {SHARD: parquet([*TRAINING, None, ""]), VALIDATION: parquet(WITHHELD)}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    opened = Hub(FILES)
    monkeypatch.setenv("HF_ENDPOINT", opened.address)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(download, "FIRST_WAIT_SECONDS", 0.001)
    yield opened
    opened.close()


def source() -> HuggingFaceSource:
    return HuggingFaceSource("some/text", [SHARD], VALIDATION)


def fetched(cache: Path) -> dict[str, bytes]:
    """Every file below the cache but locks and notes."""
    files = [path for path in cache.rglob("*") if path.is_file() and path.name[0] != "."]
    return {path.name: path.read_bytes() for path in files}


def test_files_arrive_once_and_are_shared(hub: Hub, tmp_path: Path) -> None:
    source().fetch(tmp_path)
    assert fetched(tmp_path) == FILES
    asked = len(hub.asked)
    source().fetch(tmp_path)
    assert len(hub.asked) == asked


def test_a_dropped_connection_is_gone_on_from(hub: Hub, tmp_path: Path) -> None:
    hub.faults[SHARD].extend([Fault(drop_after=700), Fault(drop_after=50)])
    source().fetch(tmp_path)
    assert fetched(tmp_path) == FILES
    assert [wanted for name, wanted, _ in hub.asked if name == SHARD] == [
        "",
        "bytes=699-",
        "bytes=748-",
    ]


def test_a_later_process_goes_on_where_one_was_killed(hub: Hub, tmp_path: Path) -> None:
    hub.faults[SHARD].extend([Fault(drop_after=900), *[Fault(status=503)] * 20])
    with pytest.raises(DataError, match="What arrived is kept"):
        source().fetch(tmp_path)
    hub.faults.clear()
    source().fetch(tmp_path)
    assert fetched(tmp_path) == FILES
    assert (SHARD, "bytes=899-") in [asked[:2] for asked in hub.asked[-2:]]


def test_a_server_that_is_busy_is_asked_again(hub: Hub, tmp_path: Path) -> None:
    hub.faults[SHARD].extend([Fault(status=503), Fault(status=429), Fault(status=500)])
    source().fetch(tmp_path)
    assert fetched(tmp_path) == FILES


@pytest.mark.parametrize("fault", [Fault(wrong_bytes=True), Fault(missing_end=10)])
def test_a_file_of_the_wrong_content_or_size_is_not_taken(
    hub: Hub, tmp_path: Path, fault: Fault
) -> None:
    hub.faults[SHARD].append(fault)
    source().fetch(tmp_path)
    assert fetched(tmp_path) == FILES
    hub.files[SHARD] = FILES[SHARD][:-1] + b"x"
    hub.faults[SHARD].extend([fault] * 20)
    with pytest.raises(DataError, match="can't be fetched"):
        source().fetch(tmp_path / "other")
    assert SHARD not in fetched(tmp_path / "other")


def test_a_part_of_a_file_that_has_changed_is_thrown_away(hub: Hub, tmp_path: Path) -> None:
    hub.faults[SHARD].extend([Fault(drop_after=900), *[Fault(status=503)] * 20])
    with pytest.raises(DataError):
        source().fetch(tmp_path)
    hub.faults.clear()
    hub.files[SHARD] = parquet(TRAINING[::-1])
    source().fetch(tmp_path)
    assert fetched(tmp_path) == hub.files


def test_what_can_not_be_had_is_told_before_the_other_files_have_come(
    hub: Hub, tmp_path: Path
) -> None:
    hub.faults[VALIDATION].append(Fault(slow_end=500))
    with pytest.raises(DataError, match="HTTP 404"):
        HuggingFaceSource("some/text", [SHARD, "no.parquet"], VALIDATION).fetch(tmp_path)
    assert VALIDATION not in fetched(tmp_path)


def test_a_part_that_is_whole_is_taken_as_it_is(hub: Hub, tmp_path: Path) -> None:
    source().fetch(tmp_path)
    [file] = tmp_path.rglob(SHARD)
    tag = hashlib.sha256(FILES[SHARD]).hexdigest()
    file.rename(file.with_name(f"{SHARD}.{download._short(tag)}.part"))
    hub.asked.clear()
    source().fetch(tmp_path)
    assert [wanted for _, wanted, _ in hub.asked] == [f"bytes={len(FILES[SHARD]) - 1}-"]
    assert fetched(tmp_path) == FILES


def test_a_file_whose_last_byte_comes_as_all_are_stopped_is_taken(hub: Hub, tmp_path: Path) -> None:
    stop = threading.Event()

    class Stopping(download._Progress):
        def add(self, size: int) -> None:
            stop.set()

    with httpx.Client(follow_redirects=True) as client:
        url = f"{hub.address}/datasets/some/text/resolve/main/{SHARD}"
        download._File(client, url, tmp_path / SHARD, Stopping(1), stop).get()
    assert fetched(tmp_path) == {SHARD: FILES[SHARD]}


@pytest.mark.parametrize("content", [FILES[SHARD][:-10], b"x" + FILES[SHARD][1:], b""])
def test_a_file_that_was_damaged_since_it_came_comes_anew(
    hub: Hub, tmp_path: Path, content: bytes
) -> None:
    source().fetch(tmp_path)
    [file] = tmp_path.rglob(SHARD)
    file.write_bytes(content)
    source().fetch(tmp_path)
    assert fetched(tmp_path) == FILES


def test_files_are_on_the_disk_before_they_have_their_names(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: dict[int, bool] = {}  # inode -> whether the file was in its place by then

    def fsync(descriptor: int) -> None:
        synced.setdefault(os.fstat(descriptor).st_ino, bool(list(tmp_path.rglob(SHARD))))

    monkeypatch.setattr(os, "fsync", fsync)
    HuggingFaceSource("some/text", [SHARD], VALIDATION).fetch(tmp_path)
    [file] = tmp_path.rglob(SHARD)
    assert synced[file.stat().st_ino] is False
    assert file.parent.stat().st_ino in synced


def test_what_has_no_strong_tag_is_never_put_together_of_parts(hub: Hub, tmp_path: Path) -> None:
    hub.tag = 'W/"one"'
    hub.faults[SHARD].extend([Fault(drop_after=700), Fault(drop_after=800)])
    source().fetch(tmp_path)
    assert fetched(tmp_path) == FILES
    assert {wanted for _, wanted, _ in hub.asked} == {""}


def test_a_packed_file_stays_packed_whatever_it_is_labelled(hub: Hub, tmp_path: Path) -> None:
    rows = "".join(f'{{"text": "{row[:40]}"}}\n' for row in TRAINING)
    names = ["train.jsonl.gz", "test.jsonl.gz"]
    hub.files = {name: gzip.compress(f"{rows}{name}".encode()) for name in names}
    hub.encoding = "gzip"
    hub.faults[names[0]].append(Fault(drop_after=100))
    HuggingFaceSource("some/text", names[:1], names[1]).fetch(tmp_path)
    assert fetched(tmp_path) == hub.files
    assert len(hub.asked) == 3


def test_parts_of_two_files_with_the_same_beginning_are_kept_apart(
    hub: Hub, tmp_path: Path
) -> None:
    names = ["rows.jsonl", "rows.jsonl.gz"]
    hub.files = {names[0]: b'{"text": "plain"}\n' * 200, names[1]: os.urandom(2000)}
    with httpx.Client(follow_redirects=True) as client:
        plain, packed = (
            download._File(
                client,
                f"{hub.address}/datasets/some/text/resolve/main/{name}",
                tmp_path / name,
                download._Progress(2),
                threading.Event(),
            )
            for name in names
        )
        hub.faults[names[1]].append(Fault(drop_after=900))
        with pytest.raises(httpx.TransportError):
            packed._go_on()
        plain.get()
        packed.get()
    assert {name: (tmp_path / name).read_bytes() for name in names} == hub.files
    assert [asked[:2] for asked in hub.asked] == [
        (names[1], ""),
        (names[0], ""),
        (names[1], "bytes=899-"),
    ]


@pytest.mark.parametrize(
    "address",
    ["mirror.local/hf", "mirror.local:8080", "ftp://mirror.local", "https://", "http://a:b"],
)
def test_an_address_that_is_none_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    began = time.monotonic()
    with pytest.raises(DataError, match=f"HF_ENDPOINT is '{address}': .* begins with https://"):
        source().fetch(tmp_path)
    assert time.monotonic() - began < 1


def test_what_is_refused_says_what_to_do(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"no such file \(HTTP 404\): compare data.dataset"):
        HuggingFaceSource("some/text", ["no.parquet"], VALIDATION).fetch(tmp_path)
    hub.wanted_token = "hf_right"
    with pytest.raises(DataError, match=r"it asks for a token .*set HF_TOKEN"):
        source().fetch(tmp_path / "a")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(DataError, match="the token in HF_TOKEN does not open it") as refused:
        source().fetch(tmp_path / "b")
    assert "hf_wrong" not in str(refused.value)


def test_the_token_goes_to_the_hub_and_nowhere_else(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.wanted_token = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    source().fetch(tmp_path)
    assert set(hub.tokens) == {"Bearer hf_secret"}
    assert {authorization for _, _, authorization in hub.asked} == {""}
    assert "hf_secret" not in "".join(capfd.readouterr())


def test_without_network_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # discard: nobody listens
    spec = {"source": "hf", "dataset": "some/text", "files": [SHARD], "validation_file": VALIDATION}
    assert preparing.main(["--out", str(tmp_path), "--spec", json.dumps(spec)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "some/text" in last
    assert "--set data.source=stdlib" in last
    assert "--set data.source=path" in last


def test_rows_are_documents_and_the_withheld_file_has_both_splits(hub: Hub, tmp_path: Path) -> None:
    spec: dict[str, object] = {
        "source": "hf",
        "dataset": "some/text",
        "files": [SHARD],
        "validation_file": VALIDATION,
    }
    data = preparing.prepare(tmp_path, spec)
    expected = {"train": TRAINING, "validation": WITHHELD[:10], "audit": WITHHELD[10:]}
    for split, texts in expected.items():
        tokens = data.tokens(split)  # type: ignore[arg-type]
        found = bytes(tokens[tokens < 256].astype(np.uint8)).decode()
        assert found == "".join(texts)
        assert int((tokens == 256).sum()) == len(texts)
    hub.close()  # what is packed needs no network
    assert preparing.prepare(tmp_path, spec).folder == data.folder


def test_too_little_text_names_the_key_of_the_file_that_has_it(hub: Hub, tmp_path: Path) -> None:
    spec = {"source": "hf", "dataset": "some/text", "files": [SHARD], "validation_file": VALIDATION}
    hub.files = {SHARD: parquet(["short"]), VALIDATION: parquet(WITHHELD)}
    with pytest.raises(DataError, match=r"train split.*data\.files than shard_00000") as refused:
        preparing.prepare(tmp_path / "a", spec)
    assert "data.paths" not in str(refused.value)
    hub.files = {SHARD: FILES[SHARD], VALIDATION: parquet(TRAINING[:1])}
    with pytest.raises(DataError, match=r"as data\.validation_file than shard_00001") as refused:
        preparing.prepare(tmp_path / "b", spec)
    assert "data.paths" not in str(refused.value)


def test_names_of_files_count_up() -> None:
    assert list(expand("part_{08..10}.parquet")) == [
        f"part_{n}.parquet" for n in ("08", "09", "10")
    ]
    assert list(expand("a{0..1}-{2..3}")) == ["a0-2", "a0-3", "a1-2", "a1-3"]
    assert list(expand("plain.jsonl")) == ["plain.jsonl"]
    with pytest.raises(DataError, match="backwards"):
        list(expand("part_{9..1}"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset": "no-owner"}, "owner/data-set"),
        ({"files": ["../x.parquet"]}, "no file's name"),
        ({"files": ["x.csv"]}, "must end with"),
        ({"files": [VALIDATION]}, "train on what they are measured on"),
    ],
)
def test_names_that_can_not_be_meant_are_refused(change: dict[str, object], words: str) -> None:
    spec = {"dataset": "some/text", "files": [SHARD], "validation_file": VALIDATION} | change
    with pytest.raises(DataError, match=words):
        hugging_face.HuggingFaceSource(**spec)  # type: ignore[arg-type]
