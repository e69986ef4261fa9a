"""A repository of one's own: which files travel, which may be edited, and what is refused."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.globs import Editable, literal, matches
from scheduler.cli.opening import open_study
from scheduler.errors import UsageError
from scheduler.results import Plan, Results
from scheduler.rules import events as ev
from scheduler.session import gather_materials
from scheduler.study.folder import StudyFolder
from scheduler.study.repository import read_repository, source_folder
from scheduler.study.repository_files import list_files
from scheduler.study.task_section import ExtraMetric, MetricSection, TaskSection, editable_of
from workers import Resources

FILES = {
    "train.py": "LR = 0.1\n",
    "src/model.py": "WIDTH = 8\n",
    "src/deep/layer.py": "x = 1\n",
    "src/evaluate.py": "y = 2\n",
    "data/tokens.bin": "0" * 1000,
    "data/keep.bin": "1",
    "notes.log": "old",
    ".gitignore": "*.log\n/data/*.bin\n!keep.bin\n",
    "src/.gitignore": "scratch/\n!kept.log\n",
    "src/kept.log": "wanted",
    "src/scratch/tmp.py": "z = 3\n",
}
KEPT = [
    *(".gitignore", "data/keep.bin", "src/.gitignore", "src/deep/layer.py", "src/evaluate.py"),
    *("src/kept.log", "src/model.py", "train.py"),
]


def task(**keys: object) -> TaskSection:
    metric = MetricSection(name="loss", pattern="loss (.*)")
    wanted = {"source": ".", "command": "python train.py", "metric": metric, **keys}
    return TaskSection(**wanted)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / "repo" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "repo" / name).write_text(text)
    return tmp_path / "repo"


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def as_folder(folder: Path) -> None:
    """No checkout: its `.gitignore` files count all the same."""


def as_checkout(folder: Path) -> None:
    git(folder, "init", "-q")
    git(folder, "add", "train.py")


@pytest.mark.parametrize("prepare", [as_folder, as_checkout])
def test_what_gitignore_names_stays_behind(folder: Path, prepare: Callable[[Path], None]) -> None:
    prepare(folder)
    assert list_files(folder) == KEPT


@pytest.mark.parametrize("prepare", [as_folder, as_checkout])
def test_studies_inside_a_repository_are_no_part_of_it(
    folder: Path, prepare: Callable[[Path], None]
) -> None:
    prepare(folder)
    for name in ("studies/mine/study.db", "studies/mine/best/train.py", "studies/next/config.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert list_files(folder, folder / "studies" / "next") == KEPT
    # One that has not begun is known only to its own run.
    assert list_files(folder) == sorted([*KEPT, "studies/next/config.yaml"])
    # A repository that is a study's folder by name is no study of itself.
    (folder / "study.db").touch()
    assert "train.py" in list_files(folder, folder)


def test_submodules_are_part_of_a_repository(folder: Path, tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.mkdir()
    (part / "layer.py").touch()
    (part / "new.py").touch()
    git(part, "init", "-q")
    git(part, "add", "layer.py")
    git(part, "commit", "-qm", "one")
    as_checkout(folder)
    local = ("-c", "protocol.file.allow=always")
    git(folder, *local, "submodule", "add", "-q", str(part), "vendor/part")
    (folder / "vendor" / "part" / "scratch.py").touch()
    there = ["vendor/part/layer.py", "vendor/part/scratch.py"]
    assert list_files(folder) == sorted([*KEPT, ".gitmodules", *there])
    git(folder, "submodule", "deinit", "-q", "-f", "vendor/part")
    with pytest.raises(UsageError, match=r"vendor/part of .*git -C .* submodule update --init"):
        list_files(folder)


def test_a_folder_that_another_repository_ignores_is_not_empty(folder: Path) -> None:
    git(folder.parent, "init", "-q")
    (folder.parent / ".gitignore").write_text("repo/\n")
    assert list_files(folder) == KEPT


@pytest.mark.parametrize("prepare", [as_folder, as_checkout])
def test_secrets_that_git_does_not_have_stay_here(
    folder: Path, prepare: Callable[[Path], None]
) -> None:
    names = [".env", "conf/.env.local", "key.pem", "id_ed25519", ".netrc", "credentials.json"]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("s3cret")
    prepare(folder)
    assert list_files(folder) == KEPT
    [note] = read_repository(task(), folder).notes
    assert "look like secrets" in note
    assert ".env, .netrc, conf/.env.local" in note
    if prepare is as_checkout:  # what git has is no secret any more
        git(folder, "add", "key.pem")
        assert list_files(folder) == sorted([*KEPT, "key.pem"])


def test_what_git_lfs_has_not_fetched_is_named(folder: Path) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    (folder / "weights.pt").write_text(text)
    [note] = read_repository(task(), folder).notes
    assert "weights.pt" in note
    assert "lfs pull" in note
    with pytest.raises(UsageError, match=r"weights\.pt: git LFS .* lfs pull"):
        read_repository(task(editable=("train.py", "*.pt")), folder)


def test_globs_choose_what_is_edited_and_protected_wins(folder: Path) -> None:
    found = read_repository(task(editable=("src/**/*.py",), protected=("src/eval*.py",)), folder)
    assert sorted(found.files) == ["src/deep/layer.py", "src/model.py"]
    names = [name for name, _ in found.fixed.files]
    assert "src/evaluate.py" in names
    assert "src/model.py" not in names
    # What is neither protected nor editable may change in a run.
    assert found.may_change == (
        *(".gitignore", "data/keep.bin", "src/.gitignore", "src/kept.log", "train.py"),
    )


def test_by_default_all_that_is_not_editable_is_protected(folder: Path) -> None:
    assert read_repository(task(), folder).may_change == ()


FILED = MetricSection(name="loss", file="results/metrics.json", key="loss")


@pytest.mark.parametrize("protected", [None, ("src/**",), ("**/*.json",)])
def test_a_file_that_a_figure_is_read_from_does_not_travel_and_is_no_file_to_edit(
    folder: Path, protected: tuple[str, ...] | None
) -> None:
    (folder / "results").mkdir()
    for name in ("metrics.json", "size.txt", "old.json", "plot.py"):
        (folder / "results" / name).write_text("0.01")
    own = task(
        editable=("train.py", "results/*"),
        protected=protected,
        metric=FILED,
        metrics={"size": ExtraMetric(file="results/size.txt")},
    )
    found = read_repository(own, folder)
    travels = {*found.files, *(name for name, _ in found.fixed.files)}
    assert "results/old.json" in travels
    assert travels.isdisjoint({"results/metrics.json", "results/size.txt"})
    assert not editable_of(own).allows("results/metrics.json")
    assert any("results/metrics.json, results/size.txt" in note for note in found.notes)
    # What a run by hand has left there changes nothing of the study.
    (folder / "results" / "metrics.json").write_text('{"loss": 0.02}')
    assert read_repository(own, folder).fixed.hash == found.fixed.hash
    with pytest.raises(UsageError, match=r"results/metrics\.json fits only .* figure is read from"):
        read_repository(task(editable=("results/metrics.json",), metric=FILED), folder)


def test_equal_repositories_are_the_same_bundle_anywhere(folder: Path, tmp_path: Path) -> None:
    before = read_repository(task(), folder).fixed.hash
    moved = folder.rename(tmp_path / "elsewhere")
    (moved / "notes.log").write_text("newer")
    assert read_repository(task(), moved).fixed.hash == before
    (moved / "src/evaluate.py").write_text("y = 3\n")
    assert read_repository(task(), moved).fixed.hash != before


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"editable": ("lib/*.py",)}, "task.editable: lib/*.py fits no file of"),
        ({"editable": ("trian.py",)}, "trian.py is no file of"),
        ({"editable": ("notes.log",)}, "notes.log is no file of"),
        ({"protected": ("train.py",)}, "fits only files that task.protected takes out again"),
        ({"protected": ("nothing.py",)}, "task.protected: nothing.py fits no file"),
        ({"max_mb": 0.000001}, "task.max_mb is 1e-06"),
        ({"constants": {"LRR": 1}}, "task.constants.LRR: no such constant"),
    ],
)
def test_what_fits_nothing_or_is_too_much_is_refused(
    folder: Path, keys: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError) as refused:
        read_repository(task(**keys), folder)
    assert words in str(refused.value)


def test_what_is_too_large_is_named(folder: Path) -> None:
    (folder / "weights.pt").write_bytes(bytes(2_000_000))
    with pytest.raises(UsageError, match=r"The largest: weights\.pt 2\.0 MB, "):
        read_repository(task(max_mb=1.0), folder)


def test_text_alone_can_be_edited_and_links_out_do_not_travel(folder: Path) -> None:
    (folder / "picture.png").write_bytes(b"\x89PNG\xff")
    with pytest.raises(UsageError, match=r"picture\.png is no text"):
        read_repository(task(editable=("train.py", "*.png")), folder)
    (folder / "picture.png").unlink()
    (folder / "shards").symlink_to(folder.parent)
    with pytest.raises(UsageError, match=r"shards is a link to .*task\.mounts"):
        read_repository(task(), folder)


def commit(folder: Path, rate: float) -> str:
    """Commit a version of train.py with this LR, and return its hash."""
    if not (folder / ".git").exists():
        git(folder, "init", "-q", "-b", "main")
    (folder / "train.py").write_text(f"LR = {rate}\n")
    git(folder, "add", "train.py")
    git(folder, "commit", "-qm", str(rate))
    return git(folder, "rev-parse", "HEAD")


def test_a_git_address_is_cloned_once_at_its_commit(folder: Path, tmp_path: Path) -> None:
    first, second = commit(folder, 0.1), commit(folder, 0.2)
    address, cache = folder.as_uri(), tmp_path / "cache"
    old, at = source_folder(task(source=address, revision=first), cache)
    assert ((old / "train.py").read_text(), at) == ("LR = 0.1\n", first)
    new, at = source_folder(task(source=address, revision="main"), cache)
    assert ((new / "train.py").read_text(), at) == ("LR = 0.2\n", second)
    # What is in the cache needs nobody, and a study knows the commit of its branch.
    folder.rename(tmp_path / "gone")
    assert source_folder(task(source=address, revision=first), cache) == (old, first)
    kept = task(source=address, revision="main", commit=second)
    assert source_folder(kept, cache) == (new, second)


def test_a_name_stands_for_what_it_leads_to_today(folder: Path, tmp_path: Path) -> None:
    first = commit(folder, 0.1)
    git(folder, "tag", "-a", "v1", "-m", "with a message")
    git(folder, "branch", "work/next")
    address, cache = folder.as_uri(), tmp_path / "cache"
    names = ("main", "v1", "work/next", "HEAD", "refs/heads/main", first[:7])
    found = [source_folder(task(source=address, revision=name), cache) for name in names]
    assert {at for _, at in found} == {first}
    assert len({place for place, _ in found}) == 1
    second = commit(folder, 0.2)
    place, at = source_folder(task(source=address, revision="main"), cache)
    assert ((place / "train.py").read_text(), at) == ("LR = 0.2\n", second)
    assert source_folder(task(source=address, revision="v1"), cache) == found[0]
    with pytest.raises(UsageError, match=r"revision v2: git says: it has no such revision"):
        source_folder(task(source=address, revision="v2"), cache)


def test_a_study_keeps_the_commit_that_it_began_with(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTORESEARCH_CACHE", str(tmp_path / "cache"))
    first = commit(folder, 0.1)
    (given := tmp_path / "mine.yaml").write_text(
        f"task: {{source: '{folder.as_uri()}', revision: main, command: python train.py, "
        "metric: {name: loss, pattern: loss (.+)}}"
    )
    name = str(tmp_path / "study")

    def taken_up() -> tuple[str | None, str, tuple[str, ...]]:
        """As `run` does it: the commit, the code and what is said of it."""
        opening = open_study(name, str(given), None, [])
        materials = gather_materials(opening.config)
        opening.at(materials.commit).write()
        kept = StudyFolder(Path(name)).load_config().task.commit
        return kept, materials.baseline.files["train.py"], materials.notes

    at, code, [note] = taken_up()
    assert (at, code) == (first, "LR = 0.1\n")
    assert f"main is commit {first[:12]} now" in note
    # Nothing has been measured yet, and the code is mended on its branch.
    second = commit(folder, 0.2)
    assert taken_up()[:2] == (second, "LR = 0.2\n")
    opened = StudyFolder(Path(name)).load_config()
    plan = Plan(gather_materials(opened).baseline, "task", "", Resources())
    results = Results(Path(name), opened, plan)
    results.begin_session(1, "here")
    results.handle(1, ev.Opened(1.0))
    results.close()
    commit(folder, 0.3)
    assert taken_up() == (second, "LR = 0.2\n", ())


def test_an_address_that_gives_nothing_says_what_git_says(tmp_path: Path) -> None:
    address = (tmp_path / "nowhere").as_uri()
    with pytest.raises(UsageError, match=r"task\.source: .*git says: .*name the folder"):
        source_folder(task(source=address, revision="main"), tmp_path / "cache")
    assert list((tmp_path / "cache" / "sources").glob(".new-*")) == []


def test_without_git_an_address_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="git is not installed here"):
        source_folder(task(source="https://example.org/a.git", revision="1"), tmp_path)


@pytest.mark.parametrize(
    ("name", "patterns", "fits"),
    [
        ("train.py", ("train.py",), True),
        ("src/train.py", ("train.py",), False),
        ("src/train.py", ("*.py",), False),
        ("src/train.py", ("**/*.py",), True),
        ("train.py", ("**/*.py",), True),
        ("src/a/b.py", ("src/**",), True),
        ("a1.py", ("a[0-9].py", "b.py"), True),
        ("aX.py", ("a[!0-9].py",), True),
        ("a+b.py", ("a+b.py",), True),
        ("aab.py", ("a+b.py",), False),
        ("a[1]*.py", (literal("a[1]*.py"),), True),
        ("a1b.py", (literal("a[1]*.py"),), False),
    ],
)
def test_globs(name: str, patterns: tuple[str, ...], fits: bool) -> None:
    assert matches(name, patterns) is fits


@pytest.mark.parametrize("name", ["../x.py", "/x.py", "a/../x.py", "./x.py", "a//x.py", ""])
def test_no_glob_lets_a_name_leave_its_folder(name: str) -> None:
    assert not Editable(("**",)).allows(name)
