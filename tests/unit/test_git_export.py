"""A branch of git for what a study kept, written by git and read by git."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from scheduler.errors import UsageError
from scheduler.study.folder import StudyFolder
from scheduler.study.git_export import Branch, write_git
from scheduler.study.reader import Reader
from tests.fixtures.verbs import call
from tests.synthetic import make_study


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=someone", "-c", "user.email=someone@example.org")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return StudyFolder(make_study(tmp_path_factory.mktemp("studies") / "night", 40))


def write(study: StudyFolder, folder: Path, metric: str = "val_bpb") -> Branch:
    with Reader(study.database) as reader:
        return write_git(reader, folder, name="night", metric=metric)


def a_repository(folder: Path) -> Path:
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "train.py").write_text("own = 1\n")
    (folder / "train.py").chmod(0o755)
    (folder / "data.txt").write_text("kept as it is\n")
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "own work")
    return folder


def test_each_kept_experiment_is_a_commit_with_its_code(study: StudyFolder, tmp_path: Path) -> None:
    branch = write(study, tmp_path / "new", metric="accuracy (self-reported)")
    with Reader(study.database) as reader:
        kept = sorted(reader.kept(), key=lambda each: (each.decided_at or 0, each.id))
        codes = [reader.files(each.id) for each in kept]
    assert branch.name == "autoresearch/night"
    assert branch.commits == len(kept) > 2
    form = "--format=%H%x09%s%x09%(trailers:key=Experiment,valueonly,separator=%x2C)"
    lines = git(tmp_path / "new", "log", "--reverse", form, branch.name).splitlines()
    assert [line.split("\t")[2] for line in lines] == [str(each.id) for each in kept]
    for line, files in zip(lines, codes, strict=True):
        commit = line.split("\t")[0]
        listed = git(tmp_path / "new", "ls-tree", "-r", "--name-only", commit).splitlines()
        assert listed == sorted(files)
        for name, text in files.items():
            assert git(tmp_path / "new", "show", f"{commit}:{name}") == text.strip()
    newest = git(tmp_path / "new", "log", "-1", "--format=%B%an", branch.name)
    assert "Metric: accuracy (self-reported) " in newest
    assert newest.endswith("autoresearch")
    # A new repository shows the newest; git finds nothing to complain about.
    assert (tmp_path / "new" / "train.py").read_text() == codes[-1]["train.py"]
    assert git(tmp_path / "new", "status", "--porcelain") == ""
    git(tmp_path / "new", "fsck", "--strict")


def test_in_a_repository_of_ones_own_it_is_a_branch_from_its_head(
    study: StudyFolder, tmp_path: Path
) -> None:
    own = a_repository(tmp_path / "own")
    head = git(own, "rev-parse", "HEAD")
    branch = write(study, own)
    assert git(own, "merge-base", "main", branch.name) == head
    assert git(own, "rev-list", "--count", f"main..{branch.name}") == str(branch.commits)
    assert git(own, "ls-tree", "-r", branch.name).split()[0] == "100644", "data.txt"
    assert git(own, "show", f"{branch.name}:data.txt") == "kept as it is"
    assert git(own, "ls-tree", branch.name, "train.py").startswith("100755")
    assert git(own, "status", "--porcelain", "--branch") == "## main"
    assert (own / "train.py").read_text() == "own = 1\n"
    assert git(own, "for-each-ref", "refs/autoresearch") == ""


def test_a_second_export_writes_the_branch_anew_from_where_it_began(
    study: StudyFolder, tmp_path: Path
) -> None:
    own = a_repository(tmp_path / "own")
    first = write(study, own)
    (own / "data.txt").write_text("went on\n")
    git(own, "commit", "--quiet", "-am", "more of one's own")
    assert write(study, own) == first, "the same experiments are the same commits"
    git(own, "merge", "--quiet", "-m", "merged", first.name)
    assert write(study, own) == first
    git(own, "checkout", "--quiet", first.name)
    refined = write(study, own, metric="another_name")
    assert refined.tip != first.tip
    assert git(own, "rev-parse", "HEAD") == refined.tip
    assert git(own, "status", "--porcelain") == ""
    assert git(own, "rev-list", "--count", "HEAD") == str(refined.commits + 1)


def test_work_on_the_branch_and_other_folders_are_left_alone(
    study: StudyFolder, tmp_path: Path
) -> None:
    branch = write(study, tmp_path / "new")
    (tmp_path / "new" / "train.py").write_text("mine = 1\n")
    git(tmp_path / "new", "commit", "--quiet", "-am", "mine")
    with pytest.raises(UsageError, match=r"newest commit of the branch .* not the study's"):
        write(study, tmp_path / "new")
    assert git(tmp_path / "new", "rev-parse", "HEAD~1") == branch.tip
    other = StudyFolder(make_study(tmp_path / "night", 12, seed=5))
    with closing(sqlite3.connect(other.database)) as database, database:
        database.execute("UPDATE session SET host = 'another machine'")  # begun elsewhere
    write(study, tmp_path / "two")
    with pytest.raises(UsageError, match="not the study's"):
        write(other, tmp_path / "two")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    with pytest.raises(UsageError, match="no repository and not empty"):
        write(study, tmp_path / "full")


def test_the_verb_writes_it_beside_the_study_or_where_it_is_told(
    study: StudyFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("export", "--format", "git,tsv", "-o", tmp_path / "out", "-s", study.path) == 0
    assert str(tmp_path / "out" / "repository") in capsys.readouterr().out.splitlines()
    assert (tmp_path / "out" / "repository" / "train.py").is_file()
    assert call("export", "--format", "git", "-o", tmp_path / "there", "-s", study.path) == 0
    assert "autoresearch/night: " in capsys.readouterr().err
    assert git(tmp_path / "there", "branch", "--show-current") == f"autoresearch/{study.name}"
