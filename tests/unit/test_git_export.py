"""A branch of git for what a study kept, written by git and read by git."""

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from scheduler.errors import UsageError
from scheduler.study.folder import StudyFolder
from scheduler.study.git_export import Branch, write_git
from scheduler.study.reader import Reader
from tests import synthetic
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


def write(
    study: StudyFolder,
    folder: Path,
    metric: str = "val_bpb",
    *,
    name: str = "night",
    source: Path | None = None,
) -> Branch:
    with Reader(study.database) as reader:
        return write_git(reader, folder, name=name, metric=metric, source=source)


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


def test_a_commit_that_somebody_amended_is_left_alone(study: StudyFolder, tmp_path: Path) -> None:
    write(study, tmp_path / "new")
    git(tmp_path / "new", "commit", "--quiet", "--amend", "-m", "mine", "--trailer", trailer(study))
    amended = git(tmp_path / "new", "rev-parse", "HEAD")
    with pytest.raises(UsageError, match="not the study's"):
        write(study, tmp_path / "new")
    assert git(tmp_path / "new", "rev-parse", "HEAD") == amended


def trailer(study: StudyFolder) -> str:
    with Reader(study.database) as reader:
        return f"Autoresearch-Study: night {reader.identity()}"


def with_folder(own: Path) -> Path:
    """A folder of the repository, committed, with a training script of its own."""
    (own / "sub").mkdir()
    (own / "sub" / "train.py").write_text("below = 1\n")
    git(own, "add", "-A")
    git(own, "commit", "--quiet", "-m", "a folder")
    return own / "sub"


def test_a_study_of_a_folder_of_the_repository_writes_into_that_folder(
    study: StudyFolder, tmp_path: Path
) -> None:
    own = a_repository(tmp_path / "own")
    sub = with_folder(own)
    branch = write(study, own, source=sub)
    assert git(own, "show", f"{branch.name}:train.py") == "own = 1"
    assert "def train(session)" in git(own, "show", f"{branch.name}:sub/train.py")
    assert git(own, "diff", "--name-only", "main", branch.name) == "sub/train.py"
    assert write(study, sub) == branch
    assert write(study, sub, source=own / "sub") == branch, "not sub/sub"
    (tmp_path / "link").symlink_to(own)
    assert write(study, tmp_path / "link", source=tmp_path / "link" / "sub") == branch
    write(study, own, name="top", source=own)
    assert git(own, "diff", "--name-only", "main", "autoresearch/top") == "train.py"
    (sub / "empty").mkdir()
    for fresh in (sub / "empty", own / "new"):
        write(study, fresh)
        assert git(fresh, "rev-parse", "--show-toplevel") == str(fresh.resolve())
        assert (fresh / "train.py").is_file()


def test_the_verb_takes_the_place_from_the_configuration(
    study: StudyFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = a_repository(tmp_path / "own")
    sub = with_folder(own)
    copy = shutil.copytree(study.path, tmp_path / "night")
    task = {
        "source": str(sub),
        "command": "python train.py",
        "metric": {"name": "val_loss", "pattern": "val_loss: (.+)"},
    }
    (copy / "config.yaml").write_text(json.dumps({"task": task}))  # YAML, too
    assert call("export", "--format", "git", "-o", own, "-s", copy, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    tip = git(own, "rev-parse", "autoresearch/night")
    count = int(git(own, "rev-list", "--count", f"main..{tip}"))
    assert document == {
        "files": [str(own)],
        "branch": "autoresearch/night",
        "commits": count,
        "tip": tip,
    }
    assert git(own, "diff", "--name-only", "main", tip) == "sub/train.py"


def test_a_link_becomes_a_file_with_the_code(study: StudyFolder, tmp_path: Path) -> None:
    own = a_repository(tmp_path / "own")
    (own / "train.py").rename(own / "real.py")
    (own / "train.py").symlink_to("real.py")
    git(own, "add", "-A")
    git(own, "commit", "--quiet", "-m", "a link")
    assert git(own, "ls-tree", "main", "train.py").startswith("120000")
    branch = write(study, own)
    assert git(own, "ls-tree", branch.name, "train.py").startswith("100644")


def test_what_is_no_folder_there_is_not_replaced_by_one(study: StudyFolder, tmp_path: Path) -> None:
    own = a_repository(tmp_path / "own")
    lib = a_repository(own / "lib")
    (own / "here").symlink_to("lib")
    git(own, "-c", "advice.addEmbeddedRepo=false", "add", "lib", "here")
    git(own, "commit", "--quiet", "-m", "a submodule and a link")
    assert git(own, "ls-tree", "main", "lib").startswith("160000")
    with pytest.raises(
        UsageError, match=r"lib/train\.py lies in the submodule lib.* -o .*/own/lib"
    ):
        write(study, own, source=lib)
    git(own, "rm", "--quiet", "--cached", "lib")
    git(own, "commit", "--quiet", "-m", "no submodule")
    (own / "here").unlink()
    shutil.copytree(lib, own / "here", ignore=shutil.ignore_patterns(".git"))
    with pytest.raises(UsageError, match=r"here/train\.py: here is no folder in .*/own"):
        write(study, own / "here")
    assert git(own, "for-each-ref", "refs/heads/autoresearch") == ""
    assert git(lib, "merge-base", "main", write(study, lib).name) == git(lib, "rev-parse", "main")


def test_files_are_stored_as_git_add_stores_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = synthetic.code
    monkeypatch.setattr(synthetic, "code", lambda given: code(given).replace("\n", "\r\n"))
    study = StudyFolder(make_study(tmp_path / "night", 12))
    own = a_repository(tmp_path / "own")
    (own / ".gitattributes").write_text("train.py text eol=crlf filter=marked\n")
    git(own, "config", "filter.marked.clean", "sed -e '$a # filtered'")
    git(own, "add", "--renormalize", "-A")
    git(own, "add", ".gitattributes")
    git(own, "commit", "--quiet", "-m", "attributes")
    git(own, "config", "core.safecrlf", "true")
    branch = write(study, own)
    raw = subprocess.check_output(
        ["git", "-C", str(own), "cat-file", "-p", f"{branch.tip}:train.py"]
    )
    assert raw.endswith(b"# filtered\n")
    assert b"def train(session):\n" in raw
    git(own, "checkout", "--quiet", branch.name)
    assert b"def train(session):\r\n" in (own / "train.py").read_bytes()


def test_a_branch_that_another_work_tree_shows_is_not_moved_under_it(
    study: StudyFolder, tmp_path: Path
) -> None:
    own = a_repository(tmp_path / "own")
    first = write(study, own)
    linked = tmp_path / "linked"
    git(own, "worktree", "add", "--quiet", str(linked), first.name)
    with pytest.raises(UsageError, match=r"autoresearch/night is checked out in .*/linked; "):
        write(study, own, metric="another_name")
    assert git(linked, "rev-parse", "HEAD") == first.tip
    second = write(study, linked, metric="another_name")
    assert git(linked, "rev-parse", "HEAD") == second.tip != first.tip
    assert git(linked, "status", "--porcelain") == ""
    shutil.rmtree(linked)
    assert write(study, own).tip == first.tip, "nobody is there any more"


def test_a_change_that_is_not_committed_is_named(study: StudyFolder, tmp_path: Path) -> None:
    branch = write(study, tmp_path / "new")
    (tmp_path / "new" / "train.py").write_text("mine = 1\n")
    git(tmp_path / "new", "checkout", "--quiet", "-b", "aside")
    git(tmp_path / "new", "commit", "--quiet", "-am", "mine")
    git(tmp_path / "new", "checkout", "--quiet", branch.name)
    git(tmp_path / "new", "reset", "--quiet", "--hard", "HEAD~1")
    (tmp_path / "new" / "train.py").write_text("mine = 2\n")
    with pytest.raises(UsageError, match=r"git reset fails: .*train\.py.*; .*[Cc]ould not reset"):
        write(study, tmp_path / "new")
    assert (tmp_path / "new" / "train.py").read_text() == "mine = 2\n"


def test_the_surroundings_change_nothing(
    study: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = a_repository(tmp_path / "own"), a_repository(tmp_path / "other")
    with monkeypatch.context() as hook:  # what git sets for a hook of the other repository
        hook.setenv("GIT_DIR", str(other / ".git"))
        hook.setenv("GIT_WORK_TREE", str(other))
        hook.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
        write(study, tmp_path / "new")
        branch = write(study, own)
    assert git(other, "for-each-ref", "refs/heads/autoresearch") == ""
    assert git(own, "rev-parse", branch.name) == branch.tip
    assert git(tmp_path / "new", "status", "--porcelain", "--branch") == f"## {branch.name}"
    git(own, "update-ref", "refs/autoresearch/draft", "main")  # what another export is at
    assert write(study, own) == branch
    assert git(own, "for-each-ref", "refs/autoresearch").endswith("refs/autoresearch/draft")


def test_signatures_that_git_shows_are_no_commits(study: StudyFolder, tmp_path: Path) -> None:
    own = a_repository(tmp_path / "own")
    signer = tmp_path / "signer"
    signer.write_text(
        "#!/bin/sh\ncat > /dev/null\ncase $* in\n"
        "*--verify*) echo 'gpg: from somebody' >&2; exit 1;;\n"
        "*) printf -- '-----BEGIN PGP SIGNATURE-----\\n-----END PGP SIGNATURE-----\\n'\n"
        "echo '[GNUPG:] SIG_CREATED ' >&2;;\nesac\n"
    )
    signer.chmod(0o755)
    git(own, "config", "gpg.program", str(signer))
    git(own, "config", "log.showSignature", "true")
    git(own, "commit", "--quiet", "--allow-empty", "-S", "-m", "signed")
    assert "from somebody" in git(own, "log", "-1")
    first = write(study, own)
    assert write(study, own) == first


def test_git_is_quoted_where_it_refuses_a_repository(
    study: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = a_repository(tmp_path / "own")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(UsageError, match=r"dubious ownership.*safe\.directory"):
        write(study, own)


def test_a_bare_repository_gets_the_branch(study: StudyFolder, tmp_path: Path) -> None:
    own, bare = a_repository(tmp_path / "own"), tmp_path / "bare.git"
    git(own, "clone", "--quiet", "--bare", str(own), str(bare))
    branch = write(study, bare)
    assert git(bare, "merge-base", "main", branch.name) == git(own, "rev-parse", "HEAD")
    git(bare, "symbolic-ref", "HEAD", f"refs/heads/{branch.name}")
    assert write(study, bare) == branch


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("x.lock.lock", "x"),
        ("x.lock-.lock", "x"),
        (".lock", "lock"),
        ("a..b", "a.b"),
        ("ein Lauf: Größe", "ein-Lauf--Gr--e"),
        ("@{-1}", "1"),
        ("...", "study"),
    ],
)
def test_any_name_makes_a_branch(study: StudyFolder, tmp_path: Path, name: str, part: str) -> None:
    assert write(study, tmp_path / "new", name=name).name == f"autoresearch/{part}"
    assert write(study, tmp_path / "new", name=name).name == f"autoresearch/{part}"
