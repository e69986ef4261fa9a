"""Compile caches: what is packed comes out, and only what was kept is given."""

import os
import tempfile
from pathlib import Path

import pytest

from train_template import compiled as theirs
from workers import compiled as ours
from workers.compiled import CompileStore, name_of
from workers.memory import growing


def test_what_was_packed_is_unpacked(tmp_path: Path) -> None:
    source, into = tmp_path / "source", tmp_path / "into"
    (source / "deep/er").mkdir(parents=True)
    (source / "deep/er/code.so").write_bytes(bytes(range(256)))
    (source / "graph").write_bytes(b"\n[]\n")
    (source / "a.lock").touch()
    (source / "link").symlink_to("/etc/passwd")
    descriptor = growing("test")
    theirs.pack(source, os.dup(descriptor))
    os.lseek(descriptor, 0, os.SEEK_SET)
    theirs.unpack(descriptor, into)
    found = {p.relative_to(into).as_posix(): p.read_bytes() for p in into.rglob("*") if p.is_file()}
    assert found == {"deep/er/code.so": bytes(range(256)), "graph": b"\n[]\n"}


def test_of_too_much_only_what_was_used_is_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("old", "read", "new"):
        (tmp_path / name).write_bytes(b"x" * 40)
    os.utime(tmp_path / "old", (theirs.UNUSED, theirs.UNUSED))

    def packed(most: int) -> bytes:
        monkeypatch.setattr(theirs, "MOST_BYTES", most)
        with tempfile.TemporaryFile() as file:
            theirs.pack(tmp_path, os.dup(file.fileno()))
            file.seek(0)
            return file.read()

    assert b"old" not in packed(119)
    assert b"new" in packed(119)
    assert packed(79) == b""
    assert b"old" in packed(120)


def test_rubbish_is_an_error_that_the_harness_expects(tmp_path: Path) -> None:
    files = (
        b'[["x", 1000000000000000000]]',
        b'[["x", -1]]',
        b'[["../x", 1]]\n1',
        b'[["/x", 1]]\n1',
    )
    for rubbish in (b"\xff\xfe", b"{}{", b'{"a": 1}', b"7", b"[1]", b"[" * 100_000, *files):
        descriptor = growing("test")
        os.write(descriptor, rubbish)
        os.lseek(descriptor, 0, os.SEEK_SET)
        with pytest.raises((OSError, ValueError, TypeError, RecursionError)):
            theirs.unpack(descriptor, tmp_path / "into")
    assert not (tmp_path / "x").exists()
    theirs.unpack(growing("test"), tmp_path)  # nothing is no rubbish


def test_a_cache_is_named_by_the_code_and_the_task() -> None:
    files = {"train.py": "a", "more.py": "b"}
    assert name_of("task", files) == name_of("task", dict(reversed(files.items())))
    others = [name_of("task", {"train.py": "a"}), name_of("other", files)]
    assert name_of("task", files) not in others


def test_each_trial_gets_a_copy_of_its_own_that_nobody_can_change(tmp_path: Path) -> None:
    store = CompileStore(tmp_path)
    store.put("name", b"content")
    first, second = store.open("name"), store.open("name")
    assert first is not None
    assert second is not None
    assert os.fstat(first).st_ino != os.fstat(second).st_ino
    with pytest.raises(PermissionError):
        os.write(first, b"x")
    assert os.pread(second, 100, 0) == b"content"
    assert store.open("other") is None
    os.close(first)
    os.close(second)


def test_the_oldest_go_first_where_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "KEPT_BYTES", 25)
    store = CompileStore(tmp_path)
    for age, name in ((30, "used"), (20, "idle")):
        store.put(name, b"x" * 10)
        past = (tmp_path / "compiled" / name).stat().st_mtime - age
        os.utime(tmp_path / "compiled" / name, (past, past))
    descriptor = store.open("used")
    assert descriptor is not None
    os.close(descriptor)
    store.put("new", b"x" * 10)
    assert {path.name for path in (tmp_path / "compiled").iterdir()} == {"new", "used"}
    monkeypatch.setattr(ours, "KEPT_SECONDS", -1.0)
    store.put("newer", b"x")
    assert list((tmp_path / "compiled").iterdir()) == []


def test_a_disk_that_takes_nothing_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "compiled").write_text("a file where the folder should be")
    CompileStore(tmp_path).put("name", b"content")
    assert CompileStore(tmp_path).open("name") is None


def test_the_first_cache_of_a_code_stays(tmp_path: Path) -> None:
    """A repeat of a champion can't replace what its challengers are given."""
    store = CompileStore(tmp_path)
    store.put("a" * 64, b"first")
    store.put("a" * 64, b"second")
    descriptor = store.open("a" * 64)
    assert descriptor is not None
    assert os.read(descriptor, 10) == b"first"
    os.close(descriptor)
    assert [path.name for path in (tmp_path / "compiled").iterdir()] == ["a" * 64]
