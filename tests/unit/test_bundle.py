"""Bundles: the same everywhere, whole or repaired, and never outside of their folder."""

import multiprocessing
import os
import pickle
from pathlib import Path

import pytest

from train_template import run
from workers.bundle import LARGE_BYTES, Bundle, Cache, cache_folder, content_hash, pack, unpack
from workers.errors import BundleError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.py").write_text("a = 1\n")
    (folder / "sub" / "b.bin").write_bytes(bytes(range(256)))
    return folder


def test_the_hash_follows_content_and_names_only(source: Path, tmp_path: Path) -> None:
    before = pack(source)
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "a.pyc").write_bytes(b"junk")
    (source / "notes.txt").write_text("left out")
    os.utime(source / "a.py", (1, 1))
    source.rename(tmp_path / "moved")
    assert pack(tmp_path / "moved", name="source", exclude=["*.txt"]) == before
    assert pack(tmp_path / "moved").hash != before.hash


def test_bytes_that_move_from_one_file_to_another_change_the_hash() -> None:
    assert content_hash([("a", b"xy"), ("b", b"")]) != content_hash([("a", b"x"), ("b", b"y")])


def test_a_bundle_arrives_as_it_was_packed(source: Path, tmp_path: Path) -> None:
    bundle = pack(source)
    folder = unpack(bundle, tmp_path / "cache")
    assert folder == tmp_path / "cache" / bundle.hash / "source"
    assert pack(folder) == bundle


def _unpack_and_stamp(bundle: Bundle, root: Path) -> int:
    return (unpack(bundle, root) / "a.py").stat().st_ino


def test_processes_that_unpack_at_once_share_one_copy(source: Path, tmp_path: Path) -> None:
    bundle = pack(source)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        inodes = pool.starmap(_unpack_and_stamp, [(bundle, tmp_path / "cache")] * 8, chunksize=1)
    assert len(set(inodes)) == 1


@pytest.mark.parametrize("damage", ["changed", "same size", "removed", "extra"])
@pytest.mark.parametrize("met_before", [True, False], ids=["same process", "new process"])
def test_a_damaged_copy_is_repaired(
    source: Path, tmp_path: Path, damage: str, met_before: bool
) -> None:
    bundle, cache = pack(source), Cache(tmp_path / "cache")
    folder = cache.unpack(bundle)
    if damage == "changed":
        (folder / "a.py").write_text("import evil\n")
    elif damage == "same size":
        (folder / "a.py").write_text("a = 2\n")
    elif damage == "removed":
        (folder / "sub" / "b.bin").unlink()
    else:
        (folder / "torch.py").write_text("")
    later = cache if met_before else Cache(tmp_path / "cache")
    assert later.find(bundle.hash, bundle.name) is None
    assert pack(later.unpack(bundle)) == bundle


def test_content_that_does_not_match_its_hash_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not match"):
        unpack(Bundle("task", "0" * 64, (("a", b""),)), tmp_path)


@pytest.mark.parametrize(
    "names",
    [["../a"], ["/a"], ["a/../../b"], ["."], [""], ["a\\b"], ["a\0"], ["a", "a/b"], ["x" * 300]],
)
def test_names_that_can_not_stay_inside_are_refused(names: list[str], tmp_path: Path) -> None:
    files = tuple((name, b"") for name in names)
    with pytest.raises(BundleError):
        unpack(Bundle("task", content_hash(files), files), tmp_path / "cache")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] in ([], [".lock"])


def test_the_cache_folder_follows_the_environment(tmp_path: Path) -> None:
    own, shared = str(tmp_path / "own"), str(tmp_path / "shared")
    both = {"AUTORESEARCH_CACHE": own, "XDG_CACHE_HOME": shared}
    assert cache_folder(both) == tmp_path / "own"
    assert cache_folder({"XDG_CACHE_HOME": shared}) == tmp_path / "shared" / "autoresearch"


def test_a_training_by_hand_has_the_same_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    named, shared = {"AUTORESEARCH_CACHE": "~/own"}, {"XDG_CACHE_HOME": str(tmp_path / "shared")}
    for environment in ({}, named, shared, {**named, **shared}, {"AUTORESEARCH_CACHE": ""}):
        assert run.cache_folder(environment) == cache_folder(environment)


def test_a_cache_that_can_not_be_written_gives_way_to_a_temporary_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = cache_folder({"AUTORESEARCH_CACHE": str(tmp_path / "file" / "below")})
    assert folder.is_dir()
    assert tmp_path not in folder.parents


def test_large_files_are_mapped_and_pickled_without_a_copy(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    content = bytes(range(256)) * (LARGE_BYTES // 200)
    (tmp_path / "data" / "large.bin").write_bytes(content)
    (tmp_path / "data" / "small.txt").write_text("small")
    bundle = pack(tmp_path / "data")
    assert isinstance(dict(bundle.files)["large.bin"], memoryview)
    buffers: list[pickle.PickleBuffer] = []
    text = pickle.dumps(bundle, protocol=5, buffer_callback=buffers.append)
    assert len(text) < 1000
    arrived = pickle.loads(text, buffers=buffers)
    assert arrived == bundle
    assert pickle.loads(pickle.dumps(bundle, protocol=5)) == bundle
    folder = unpack(arrived, tmp_path / "cache")
    assert (folder / "large.bin").read_bytes() == content
    assert Cache(tmp_path / "cache").find(bundle.hash, "data") == folder
    assert content_hash([("large.bin", content), ("small.txt", b"small")]) == bundle.hash
