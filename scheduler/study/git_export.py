"""A branch of git with one commit for each experiment that was kept.

In: a study's reader and a folder. Out: the branch `autoresearch/NAME` of the repository there, or
of a new one: kept experiments in the order in which that was decided, each with the editable files
as it has them, so that a commit's diff is against the one kept before it. In a repository of one's
own the branch begins at its HEAD, and nothing else of it is touched: what the study found can be
read and merged as any branch.

A second export writes the branch anew from where it began, as figures of kept experiments are
refined by later trials. One that somebody else has committed to is left as it is.
"""

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scheduler.errors import UsageError
from scheduler.figures import figure
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment
from workers.log import clean, sentence

WHO = "autoresearch <autoresearch@localhost>"
TRAILER = "Autoresearch-Study"
TITLE = 72  # characters of a commit's first line
PLAIN = "100644"  # the mode of a file that the repository doesn't have yet


@dataclass(frozen=True)
class Branch:
    """What was written."""

    name: str
    commits: int
    tip: str  # of the newest commit


def write_git(reader: Reader, folder: Path, *, name: str, metric: str) -> Branch:
    """Write the branch of the study that is called so.

    `metric` is the metric's name, which says so where that is self-reported. Raises UsageError
    where git is missing or refuses, where nothing was kept yet, and where the branch has commits
    that are not the study's; OSError.
    """
    kept = sorted(reader.kept(), key=lambda each: (each.decided_at or 0.0, each.id))
    if not kept:
        raise UsageError("nothing was kept yet: there is nothing to commit")
    folder.mkdir(parents=True, exist_ok=True)
    git, study = _Git(folder), f"{name} {reader.identity()}"
    fresh = not git.is_repository()
    if fresh:
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is no repository and not empty: name a new folder")
        git.run("init", "--quiet")
    branch = f"autoresearch/{_ref(name)}"
    before = git.find(f"refs/heads/{branch}")
    base = git.find("HEAD") if before is None else git.base_of(before, study)
    if before is not None and base == before:
        raise UsageError(
            f"{folder}: the newest commit of the branch {branch} is not the study's; rename it "
            f"(git -C {folder} branch -m {branch} NAME) and export again"
        )
    modes = git.modes(base) if base else {}
    stream = _Stream(reader, modes, study, metric)
    tip = git.write(stream.chunks(kept, base))
    git.move(branch, tip, before, checkout=fresh)
    return Branch(branch, len(kept), tip)


def _ref(name: str) -> str:
    """A name that git takes for a part of a branch's."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in name)
    while ".." in kept:
        kept = kept.replace("..", ".")
    return kept.strip("-.").removesuffix(".lock") or "study"


@dataclass(frozen=True)
class _Stream:
    """The commits, as `git fast-import` reads them."""

    reader: Reader
    modes: Mapping[str, str]  # of the files that the branch begins with
    study: str
    metric: str

    def chunks(self, kept: Iterable[Experiment], base: str | None) -> Iterator[bytes]:
        """One commit after the other, for the reference that the import writes to."""
        there: dict[str, str] = {}
        for number, experiment in enumerate(kept):
            files = self.reader.files(experiment.id)
            when = int(experiment.decided_at or experiment.created_at)
            yield f"commit {_Git.DRAFT}\nmark :{number + 1}\n".encode()
            yield f"author {WHO} {when} +0000\ncommitter {WHO} {when} +0000\n".encode()
            yield _data(self._message(experiment))
            if number == 0 and base:
                yield f"from {base}\n".encode()
            for name in sorted(there.keys() - files.keys()):
                yield f"D {_quoted(name)}\n".encode()
            for name, text in sorted(files.items()):
                if there.get(name) != text:
                    mode = self.modes.get(name, PLAIN)
                    yield f"M {mode} inline {_quoted(name)}\n".encode() + _data(text)
            there = files
        yield b"done\n"

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


def _data(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return b"data %d\n%b\n" % (len(raw), raw)


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class _Git:
    """git in one folder."""

    DRAFT = "refs/autoresearch/draft"  # where a branch is made before it is shown

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}

    def run(self, *arguments: str, stdin: bytes | None = None) -> str:
        """What git says. Raises UsageError with its last line where it fails."""
        done = self._try(arguments, stdin)
        if done.returncode:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            said = lines[-1] if lines else f"exit code {done.returncode}"
            raise UsageError(f"{self._folder}: git {arguments[0]} fails: {sentence(said)}")
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def _try(
        self, arguments: tuple[str, ...], stdin: bytes | None = None
    ) -> "subprocess.CompletedProcess[bytes]":
        try:
            return subprocess.run(
                ["git", "-C", str(self._folder), *arguments],  # noqa: S607 - whichever PATH names
                input=stdin,
                stdin=None if stdin is not None else subprocess.DEVNULL,
                capture_output=True,
                check=False,
                env=self._environment,
            )
        except FileNotFoundError as error:
            raise UsageError("git is not installed (on Debian: apt install git)") from error

    def is_repository(self) -> bool:
        """Whether the folder is the top of a work tree."""
        done = self._try(("rev-parse", "--show-cdup"))
        return done.returncode == 0 and not done.stdout.strip()

    def find(self, name: str) -> str | None:
        """The commit that a name stands for, if there is one."""
        done = self._try(("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"))
        return done.stdout.decode().strip() or None

    def base_of(self, tip: str, study: str) -> str | None:
        """The newest commit of a branch that is not this study's; None where all are."""
        form = f"--format=%H %(trailers:key={TRAILER},valueonly,separator=%x2C)"
        for line in self.run("log", "--first-parent", form, tip).splitlines():
            commit, _, written = line.partition(" ")
            if written != study:
                return commit
        return None

    def modes(self, commit: str) -> dict[str, str]:
        """The mode of each file in a commit."""
        listed = self.run("ls-tree", "-r", "-z", commit).split("\0")
        heads = (line.partition("\t") for line in listed if line)
        return {name: head.split()[0] for head, _, name in heads}

    def write(self, chunks: Iterator[bytes]) -> str:
        """Import the commits, and return the last; no branch shows them yet."""
        self._try(("update-ref", "-d", self.DRAFT))
        try:
            self.run("fast-import", "--quiet", "--done", stdin=b"".join(chunks))
            tip = self.find(self.DRAFT)
        finally:
            self._try(("update-ref", "-d", self.DRAFT))
        assert tip is not None
        return tip

    def move(self, branch: str, tip: str, before: str | None, *, checkout: bool) -> None:
        """Let the branch end there, with the work tree where it is checked out."""
        if checkout:
            self.run("checkout", "--quiet", "-b", branch, tip)
        elif self._try(("symbolic-ref", "--quiet", "HEAD")).stdout.decode().strip() == (
            f"refs/heads/{branch}"
        ):
            self.run("reset", "--quiet", "--keep", tip)  # refuses where that would lose a change
        else:
            self.run("update-ref", f"refs/heads/{branch}", tip, before or "0" * len(tip))
