"""A branch of git with one commit for each experiment that was kept.

In: a study's reader and a folder. Out: the branch `autoresearch/NAME` of the repository there, or
of a new one: kept experiments in the order in which that was decided, each with the editable files
as it has them, so that a commit's diff is against the one kept before it. In a repository of one's
own the branch begins at its HEAD, and nothing else of it is touched: what the study found can be
read and merged as any branch.

A second export writes the branch anew from where it began, as figures of kept experiments are
refined by later trials. One that somebody else has committed to, or amended, is left as it is.
"""

import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from uuid import uuid4

from scheduler.errors import UsageError
from scheduler.figures import figure
from scheduler.study.git_call import environment, program
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment
from workers.log import clean, sentence

WHO = "autoresearch <autoresearch@localhost>"
TRAILER = "Autoresearch-Study"
TITLE = 72  # characters of a commit's first line
SAID = 1000  # characters of what git says where it fails
PLAIN, EXECUTABLE = "100644", "100755"  # modes, as git writes them
SUBMODULE = "160000"
ABSENT = (
    "not a git repository (or any"  # what git says where there is none; else it is a broken one
)


@dataclass(frozen=True)
class Branch:
    """What was written."""

    name: str
    commits: int
    tip: str  # of the newest commit


def write_git(
    reader: Reader, folder: Path, *, name: str, metric: str, source: Path | None = None
) -> Branch:
    """Write the branch of the study that is called so.

    `metric` is the metric's name, which says so where that is self-reported; `source` the folder
    that the study edits, where that is one of this machine. Raises UsageError where git is missing
    or refuses, where nothing was kept yet, where the branch has commits that are not the study's or
    is checked out elsewhere, and where a file has no place in the repository; OSError.
    """
    kept = sorted(reader.kept(), key=lambda each: (each.decided_at or 0.0, each.id))
    if not kept:
        raise UsageError("nothing was kept yet: there is nothing to commit")
    folder.mkdir(parents=True, exist_ok=True)
    fresh = not any(folder.iterdir())
    place = _new(folder) if fresh else _find(folder, source)
    git, study = place.git, f"{name} {reader.identity()}"
    branch = f"autoresearch/{_ref(name)}"
    git.run("check-ref-format", "--branch", branch)
    if (other := git.elsewhere(branch)) is not None:
        raise UsageError(
            f"{folder}: the branch {branch} is checked out in {other}; export to that folder, or "
            f"check out another branch there (git -C {other} switch --detach)"
        )
    before = git.find(f"refs/heads/{branch}")
    base = git.find("HEAD") if before is None else git.base_of(before, study)
    if before is not None and base == before:
        raise UsageError(
            f"{folder}: the newest commit of the branch {branch} is not the study's; rename it "
            f"(git -C {folder} branch -m {branch} NAME) and export again"
        )
    tree = _Tree(place, git.modes(base) if base else {})
    stream = _Stream(reader, tree, study, metric)
    tip = git.write(stream.chunks(kept, base))
    git.move(branch, tip, before, checkout=fresh)
    return Branch(branch, len(kept), tip)


def _ref(name: str) -> str:
    """A name that git takes for a part of a branch's."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in name)
    while ".." in kept:
        kept = kept.replace("..", ".")
    kept = kept.strip("-.")
    while kept.endswith(".lock"):
        kept = kept.removesuffix(".lock").strip("-.")
    return kept or "study"


@dataclass(frozen=True)
class _Place:
    """Where the study's files belong in a repository."""

    git: "_Git"  # at the top of its work tree
    top: Path
    prefix: str  # from there to the folder of the study's files, with a slash behind it; or empty


def _new(folder: Path) -> _Place:
    """A new repository in an empty folder, whatever that lies in. Raises UsageError."""
    git = _Git(folder)
    git.run("init", "--quiet")
    return _Place(git, folder, "")


def _find(folder: Path, source: Path | None) -> _Place:
    """The repository that a folder lies in. Raises UsageError."""
    git = _Git(folder)
    if git.is_absent():
        raise UsageError(f"{folder} is no repository and not empty: name a new folder")
    if git.is_bare():
        return _Place(git, folder, "")
    top = Path(git.run("rev-parse", "--show-toplevel"))
    prefix = git.run("rev-parse", "--show-prefix")
    if source is not None and (real := source.resolve()).is_relative_to(top.resolve()):
        within = real.relative_to(top.resolve()).as_posix()
        prefix = "" if within == "." else f"{within}/"
    return _Place(_Git(top), top, prefix)


@dataclass(frozen=True)
class _Tree:
    """The files that the branch begins with, and those that are written among them."""

    place: _Place
    modes: Mapping[str, str]  # by path from the top

    def path(self, name: str) -> str:
        """Of one of the study's files, from the top, quoted for `git fast-import`."""
        escaped = (self.place.prefix + name).replace("\\", "\\\\")
        return '"{}"'.format(escaped.replace('"', '\\"').replace("\n", "\\n"))

    def entry(self, name: str, text: str) -> str:
        """Mode, blob and path of a file, as `git fast-import` reads them.

        A link is not written to as one: its blob is the name of what it points to. Raises
        UsageError where the file would replace a submodule, or what is no folder.
        """
        path = self.place.prefix + name
        for above in (path, *map(str, PurePosixPath(path).parents)):
            mode = self.modes.get(above)
            if mode == SUBMODULE:
                raise UsageError(
                    f"{path} lies in the submodule {above}, a repository of its own, which it "
                    f"would replace: export to that, with -o {self.place.top / above}"
                )
            if mode is not None and above != path:
                raise UsageError(f"{path}: {above} is no folder in {self.place.top}")
        mode = EXECUTABLE if self.modes.get(path) == EXECUTABLE else PLAIN
        return f"{mode} {self.place.git.blob(path, text)} {self.path(name)}"


@dataclass(frozen=True)
class _Stream:
    """The commits, as `git fast-import` reads them."""

    reader: Reader
    tree: _Tree
    study: str
    metric: str

    def chunks(self, kept: Iterable[Experiment], base: str | None) -> Iterator[bytes]:
        """One commit after the other; then the name of the last is asked for.

        The import needs a reference to write to, one that no other export uses, and takes it away
        itself before it shows.
        """
        draft = f"refs/autoresearch/{uuid4().hex}"
        there: dict[str, str] = {}
        number = 0
        for number, experiment in enumerate(kept, 1):
            files = self.reader.files(experiment.id)
            when = int(experiment.decided_at or experiment.created_at)
            yield _lines(f"commit {draft}", f"mark :{number}")
            yield _lines(f"author {WHO} {when} +0000", f"committer {WHO} {when} +0000")
            yield _data(self._message(experiment))
            if number == 1 and base:
                yield _lines(f"from {base}")
            for name in sorted(there.keys() - files.keys()):
                yield _lines(f"D {self.tree.path(name)}")
            for name, text in sorted(files.items()):
                if there.get(name) != text:
                    yield _lines(f"M {self.tree.entry(name, text)}")
            there = files
        yield _lines(
            f"get-mark :{number}", f"reset {draft}", f"from {self.tree.place.git.none()}", ""
        )
        yield _lines("done")

    def _message(self, experiment: Experiment) -> str:
        title = sentence(experiment.title, TITLE) or f"experiment {experiment.id}"
        about = [clean(experiment.hypothesis).strip()] if experiment.hypothesis.strip() else []
        metric = "none" if experiment.metric is None else figure(experiment.metric)
        rests = f" ({experiment.repeats.words})" if experiment.repeats else ""
        trailers = [
            f"Experiment: {experiment.id}",
            *([] if experiment.parent is None else [f"Parent-Experiment: {experiment.parent}"]),
            f"Proposed-by: {sentence(experiment.origin, TITLE)}",
            f"Metric: {self.metric} {metric}{rests}",
            f"{TRAILER}: {self.study}",
        ]
        return "\n\n".join([title, *about, "\n".join(trailers)]) + "\n"


def _lines(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def _data(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return b"data %d\n%b\n" % (len(raw), raw)


class _Git:
    """git in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, *arguments: str, stdin: bytes | None = None) -> str:
        """What git says. Raises UsageError with what it says where it fails."""
        done = self._try(arguments, stdin)
        if done.returncode:
            lines = done.stderr.decode("utf-8", "replace").splitlines()
            said = "; ".join(line.strip() for line in lines if line.strip())
            said = sentence(said, SAID) or f"exit code {done.returncode}"
            raise UsageError(f"{self._folder}: git {arguments[0]} fails: {said}")
        return done.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")

    def _try(
        self, arguments: tuple[str, ...], stdin: bytes | None = None
    ) -> "subprocess.CompletedProcess[bytes]":
        try:
            return subprocess.run(
                [program(), "-C", str(self._folder), *arguments],
                input=stdin,
                stdin=None if stdin is not None else subprocess.DEVNULL,
                capture_output=True,
                check=False,
                env=environment(),
            )
        except FileNotFoundError as error:
            raise UsageError("git is not installed (on Debian: apt install git)") from error

    def is_absent(self) -> bool:
        """Whether the folder lies in no repository."""
        done = self._try(("rev-parse", "--git-dir"))
        return done.returncode != 0 and ABSENT in done.stderr.decode("utf-8", "replace")

    def is_bare(self) -> bool:
        """Whether it is a repository without a work tree. Raises UsageError where git refuses."""
        return self.run("rev-parse", "--is-bare-repository") == "true"

    def find(self, name: str) -> str | None:
        """The commit that a name stands for, if there is one."""
        done = self._try(("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"))
        return done.stdout.decode().strip() or None

    def none(self) -> str:
        """The name that stands for no object."""
        return "0" * len(self.run("hash-object", "--stdin", stdin=b""))

    def base_of(self, tip: str, study: str) -> str | None:
        """The newest commit of a branch that is not this study's; None where all are.

        One that was amended or rebased has the study's trailer, and another committer.
        """
        trailer = f"%(trailers:key={TRAILER},valueonly,unfold,separator=%x2C)"
        form = ("--encoding=UTF-8", f"--format=%H %cn <%ce> {trailer}")
        unsigned = ("-c", "log.showSignature=false")  # or lines about signatures stand between
        for line in self.run(*unsigned, "log", "--first-parent", *form, tip).splitlines():
            commit, _, written = line.partition(" ")
            if written != f"{WHO} {study}":
                return commit
        return None

    def modes(self, commit: str) -> dict[str, str]:
        """The mode of each file in a commit, by its path from the top."""
        listed = self.run("ls-tree", "-r", "-z", "--full-tree", commit).split("\0")
        heads = (line.partition("\t") for line in listed if line)
        return {name: head.split()[0] for head, _, name in heads}

    def blob(self, path: str, text: str) -> str:
        """Store a file's content as `git add` would, line ends and filters included."""
        raw = text.encode("utf-8", "surrogateescape")
        careless = (
            "-c",
            "core.safecrlf=false",
        )  # of line ends that would not come back as they are
        return self.run(*careless, "hash-object", "-w", f"--path={path}", "--stdin", stdin=raw)

    def write(self, chunks: Iterator[bytes]) -> str:
        """Import the commits, and return the last; no branch shows them yet."""
        return self.run("fast-import", "--quiet", "--done", stdin=b"".join(chunks))

    def elsewhere(self, branch: str) -> str | None:
        """A work tree other than this one in which the branch is checked out."""
        if self._shows(branch):
            return None
        for block in self.run("worktree", "list", "--porcelain").split("\n\n"):
            first, *lines = block.splitlines()
            is_gone = any(line.startswith("prunable") for line in lines)
            if f"branch refs/heads/{branch}" in lines and not is_gone:
                return first.removeprefix("worktree ")
        return None

    def _shows(self, branch: str) -> bool:
        """Whether the branch is checked out in this work tree."""
        head = self._try(("symbolic-ref", "--quiet", "HEAD")).stdout.decode().strip()
        return head == f"refs/heads/{branch}" and not self.is_bare()

    def move(self, branch: str, tip: str, before: str | None, *, checkout: bool) -> None:
        """Let the branch end there, with the work tree where it is checked out."""
        if checkout:
            self.run("checkout", "--quiet", "-b", branch, tip)
        elif self._shows(branch):
            self.run("reset", "--quiet", "--keep", tip)  # refuses where that would lose a change
        else:
            self.run("update-ref", f"refs/heads/{branch}", tip, before or "0" * len(tip))
