"""Whatever lies in a folder, `init` reads it safely: it says what is wrong and never hangs."""

import os
from pathlib import Path

import pytest

from scheduler.errors import UsageError
from scheduler.init.draft import Place, Wishes, find
from scheduler.init.drafting import make_draft
from scheduler.init.snapshot import FILE_BYTES, Snapshot, take_snapshot
from scheduler.init.source import read_module
from scheduler.init.sources import read_sources
from scheduler.init.verdict import figures

TRAIN = 'for n in range(3):\n    loss = n\nprint(f"val_loss: {loss}")\n'


def script_of(folder: Path) -> str:
    found = find(read_sources(take_snapshot(folder)))
    draft = make_draft(found, Wishes(), Place(str(folder)))
    command = draft.value("task", "command")
    assert isinstance(command, str)
    return command


def test_a_file_or_nothing_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is no folder"):
        take_snapshot(tmp_path / "file")
    with pytest.raises(UsageError, match="is not there"):
        take_snapshot(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no files"):
        take_snapshot(tmp_path / "empty")


def test_links_pipes_and_what_is_too_large_are_not_read(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    (repository / "loop").mkdir(parents=True)
    (repository / "train.py").write_text(TRAIN)
    (repository / "loop" / "again").symlink_to(repository / "loop")
    (repository / "self.py").symlink_to("self.py")
    (tmp_path / "secret.py").write_text("key = 1")
    (repository / "outside.py").symlink_to(tmp_path / "secret.py")
    os.mkfifo(repository / "pipe.py")
    (repository / "huge.py").write_text("x = 1\n" * FILE_BYTES)
    (repository / "bytes.py").write_bytes(b"\xff\xfe\x00print('val_loss', 1)")
    snapshot = take_snapshot(repository)
    assert list(snapshot.texts) == ["train.py"]
    assert script_of(repository) == "{python} train.py"


@pytest.mark.parametrize(
    "text",
    [
        "def (:",
        "x = 1\0",
        "(" * 5000,
        "x = " + "-" * 100_000 + "1",
        "x = " + "+".join(["'a'"] * 50_000),
        "x = " + "9" * 10_000,
        "print('%(' % x, '{' .format(y), '%d %s' % (1,))",
        "X = 1 / 0\nY = 1e308 * 1e308",
    ],
)
def test_a_source_that_breaks_parsers_breaks_nothing(text: str) -> None:
    read_module("train.py", text)


@pytest.mark.parametrize("piece", ["a_", "a ", "a-b ", "loss ", "python ", "1", '"', "loss= "])
def test_lines_that_are_made_to_keep_a_search_busy_do_not(piece: str) -> None:
    line = piece * (1990 // len(piece))
    figures("\n".join([line] * 20))
    texts = {"train.py": f"print({line!r}, x)\n{TRAIN}", "README.md": "\n".join([line] * 20)}
    found = find(read_sources(Snapshot(tuple(texts), texts)))
    assert found.metrics("train.py")[0].name == "val_loss"


def test_functions_that_return_each_other_end(tmp_path: Path) -> None:
    loop = (
        "def f():\n    return g()\ndef g():\n    return f()\njson.dump(f(), open('m.json', 'w'))\n"
    )
    (tmp_path / "train.py").write_text(f"p = q\nq = p\nopen(p, 'w')\n{loop}{TRAIN}")
    assert script_of(tmp_path) == "{python} train.py"


def test_modules_that_import_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(f"import model\n{TRAIN}")
    (tmp_path / "model.py").write_text("import train\nfrom . import model\n")
    assert script_of(tmp_path) == "{python} train.py"
