"""What travels with a job: the code and what the configuration names by relative paths."""

import subprocess
import sys
from pathlib import Path

import pytest

from scheduler import parcel
from scheduler.errors import UsageError
from scheduler.study.config import Config
from scheduler.study.config_file import find_source, load_config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parcel").mkdir()
    return tmp_path / "parcel"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def settings(folder: Path, *overrides: str) -> Config:
    return load_config("local", overrides, {}, folder=folder)


def test_the_code_runs_from_the_parcel_alone(folder: Path, here: Path) -> None:
    parcel.pack_parcel(folder, None, None, settings(folder))
    script = (
        "import scheduler, agent, workers; from scheduler.study import bundled; "
        "print(scheduler.__file__, agent.__file__, workers.__file__, "
        "*bundled.presets().values(), bundled.default_program(), bundled.bundled_task(), sep='\\n')"
    )
    command = [sys.executable, "-c", script]
    out = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    assert all(Path(line).is_relative_to(folder.resolve()) for line in out.split())
    assert len(out.split()) == 10
    assert not (folder / "program.md").exists()  # it would replace that of the study


def test_nothing_but_the_code_travels_by_itself(folder: Path, here: Path) -> None:
    for name in ("studies/old/study.db", ".venv/pyvenv.cfg", ".env", "notes.txt"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text("x")
    parcel.pack_parcel(folder, None, None, settings(folder))
    assert {each.name for each in folder.iterdir()} == {*parcel.PACKAGES, "train_template"}
    assert not list(folder.rglob("__pycache__"))
    assert parcel.size_of(folder) < 3_000_000


def test_program_configuration_and_data_keep_their_places(folder: Path, here: Path) -> None:
    (here / "books").mkdir()
    for name in ("program.md", "books/a.txt", "books/b.txt", "books/c.md"):
        (here / name).write_text(name)
    mine = here / "mine.yaml"
    mine.write_text("data:\n  source: path\n  paths: [books/*.txt]\n")
    config = load_config(str(mine), (), {}, folder=folder)
    source = find_source(str(mine), {})
    arguments = parcel.pack_parcel(folder, source, here / "program.md", config)
    assert arguments == ("--config", "mine.yaml")
    assert (folder / "mine.yaml").read_bytes() == mine.read_bytes()
    assert (folder / "program.md").read_text() == "program.md"
    assert sorted(p.name for p in (folder / "books").iterdir()) == ["a.txt", "b.txt"]


def test_names_with_the_characters_of_a_glob_travel(tmp_path: Path, here: Path) -> None:
    folder = tmp_path / "parcel [1]"
    folder.mkdir()
    (here / "notes [1].txt").write_text("mine")
    config = settings(folder, "data.source=path", "data.paths=['notes [1].txt']")
    parcel.pack_parcel(folder, None, None, config)
    assert (folder / "notes [1].txt").read_text() == "mine"


def test_a_task_of_ones_own_takes_the_place_of_the_bundled_one(folder: Path, here: Path) -> None:
    (here / "train_template").mkdir()
    (here / "train_template" / "prepare.py").write_text("mine")
    config = settings(folder, "task.source=train_template")
    parcel.pack_parcel(folder, None, None, config)
    assert [p.name for p in (folder / "train_template").iterdir()] == ["prepare.py"]


def test_absolute_paths_are_those_of_the_head(folder: Path, here: Path) -> None:
    config = settings(folder, "data.source=path", "data.paths=[/data/books/*.txt]")
    parcel.pack_parcel(folder, None, None, config)
    assert not (folder / "data").exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["agent.key_file=keys.env"], "keys don't travel"),
        (["data.source=path", "data.paths=[../books.txt]"], "leaves the current folder"),
        (["data.source=path", "data.paths=[missing.txt]"], "there is no missing.txt here"),
        (["data.source=path", "data.paths=[large.txt]"], "large.txt, 4 MB"),
    ],
)
def test_what_can_not_travel_is_refused(
    folder: Path,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    overrides: list[str],
    words: str,
) -> None:
    monkeypatch.setattr(parcel, "MOST_BYTES", 4_000_000)
    (here / "large.txt").write_bytes(bytes(4_000_000))
    (here / "keys.env").write_text("OPENAI_API_KEY=secret")
    with pytest.raises(UsageError, match=words):
        parcel.pack_parcel(folder, None, None, settings(folder, *overrides))


def test_of_a_repository_of_ones_own_what_git_ignores_stays_here(folder: Path, here: Path) -> None:
    for name, text in {"train.py": "X = 1", "out/weights.pt": "0", ".gitignore": "out/"}.items():
        (here / "repo" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "repo" / name).write_text(text)
    keys = ["task.source=repo", "task.command=python train.py", "task.metric.name=loss"]
    keys += ["task.metric.pattern=loss (.*)"]
    parcel.pack_parcel(folder, None, None, settings(folder, *keys))
    sent = {p.relative_to(folder / "repo").as_posix() for p in (folder / "repo").rglob("*")}
    assert sent == {"train.py", ".gitignore"}
