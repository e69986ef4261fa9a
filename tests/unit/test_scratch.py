"""Work folders: gone whatever a run has put into them, and whoever was killed with one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workers.artifacts import collect
from workers.scratch import Scratch, remove, sweep
from workers.workspace import Workspace

DEEP = 1500


def nest(folder: Path, depth: int = DEEP) -> None:
    """Folders in folders, deeper than a path can be long or Python can recurse."""
    inner = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("deep", dir_fd=inner)
        below = os.open("deep", os.O_RDONLY, dir_fd=inner)
        os.close(inner)
        inner = below
    os.close(os.open("end", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
    os.close(inner)


def test_a_folder_of_any_depth_and_without_permissions_is_removed(tmp_path: Path) -> None:
    (folder := tmp_path / "work").mkdir()
    nest(folder)
    (outside := tmp_path / "kept").write_text("x")
    (folder / "link").symlink_to(tmp_path)
    (folder / "closed" / "more").mkdir(parents=True)
    (folder / "closed" / "more" / "file").write_text("x")
    (folder / "closed").chmod(0)
    remove(folder)
    assert not folder.exists()
    assert outside.read_text() == "x"


def test_a_link_is_not_followed_to_what_is_to_be_kept(tmp_path: Path) -> None:
    (kept := tmp_path / "kept").mkdir()
    (kept / "file").write_text("x")
    (link := tmp_path / "link").symlink_to(kept)
    remove(link)
    assert (kept / "file").exists()


def test_artifacts_are_found_beside_folders_of_any_depth(tmp_path: Path) -> None:
    nest(tmp_path)
    (tmp_path / "out" / "a").mkdir(parents=True)
    for name in ("out/a/x.png", "out/y.png", "z.png", "out/a/x.txt"):
        (tmp_path / name).write_bytes(b"12")
    found = {glob: [n for n, _ in collect(tmp_path, [glob], 100).files] for glob in GLOBS}
    remove(tmp_path / "deep")
    assert found == GLOBS


GLOBS = {
    "**/*.png": ["out/a/x.png", "out/y.png", "z.png"],
    "out/**/*": ["out/a/x.png", "out/a/x.txt", "out/y.png"],
    "out/*": ["out/y.png"],
    "*.png": ["z.png"],
    "[!z]*": [],
}


def test_what_is_left_out_of_the_artifacts_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.artifacts.MOST_FILES", 3)
    for name in ("a", "b", "c", "d", "e\n", "f\\g"):
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / os.fsdecode(b"0\xff")).write_bytes(b"1")
    (tmp_path / "0large").write_bytes(b"1" * 200)
    (tmp_path / "0link").symlink_to("/etc/passwd")
    kept = collect(tmp_path, ["0*", "e*", "f*", "*"], 100)
    assert [name for name, _ in kept.files] == ["a", "b", "c"]
    assert "3 files whose names can't travel" in kept.left_out
    assert "1 files that do not fit into 0.0001 MB (task.artifacts_mb)" in kept.left_out
    assert "1 files beyond 3" in kept.left_out


def test_the_folder_of_a_killed_worker_is_removed_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = "from workers.scratch import Scratch as S; import os; s = S(); os._exit(9)"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    (left,) = tmp_path.iterdir()
    (strange := tmp_path / "trial-of-another").mkdir()
    mine = Scratch()
    assert not left.exists()
    sweep(tmp_path)
    assert mine.path.exists()
    assert strange.exists()
    mine.close()
    assert not mine.path.exists()


def test_a_workspace_is_gone_when_it_is_closed(tmp_path: Path) -> None:
    (repository := tmp_path / "repository").mkdir()
    (repository / "a").write_text("a")
    space = Workspace(repository, {"train.py": "x"})
    nest(space.folder)
    assert space.changed() is None
    space.close()
    assert not space.folder.parent.exists()
