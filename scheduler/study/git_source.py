"""A git repository at an address: which commit a name stands for there, and a checkout of it.

In: an address, the name of a revision, a cache folder. Out: a folder of the cache, which holds
that very commit, and the commit. A branch is asked for anew each time: where it leads changes. A
commit that is in the cache needs no network. Nothing of the repository is run here.
"""

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from scheduler.errors import UsageError
from scheduler.study.git_call import GIT_SECONDS, environment, program

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")  # in full: the same code anywhere, at any time
MISSING = "not our ref"  # how a server says that it does not have a commit
WAY_OUT = "Check task.source and task.revision, or clone it yourself and name the folder"


def checkout(address: str, revision: str, cache: Path) -> tuple[Path, str]:
    """The checkout of what a revision stands for now, and its commit. Raises UsageError."""
    if shutil.which("git") is None:
        raise UsageError(
            "task.source: git is not installed here, and the address of a git repository needs it; "
            "install it, or clone the repository elsewhere and name the folder"
        )
    commit = named(address, revision)
    if commit is not None and (place := _place(address, commit, cache)).is_dir():
        return place, commit
    sources = cache / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    with FileLock(sources / f"{hashlib.sha256(address.encode()).hexdigest()[:24]}.lock"):
        if commit is not None and (place := _place(address, commit, cache)).is_dir():
            return place, commit
        fresh = Path(tempfile.mkdtemp(dir=sources, prefix=".new-"))
        try:
            git("clone", "--quiet", "--no-checkout", "--", address, str(fresh), what=address)
            # What is no name there may be the beginning of a commit.
            parsed = ("rev-parse", "--verify", "--quiet", f"{commit or revision}^{{commit}}")
            what = f"{address}, revision {revision}"
            commit = git("-C", str(fresh), *parsed, what=what, silent="it has no such revision")
            quiet = ("-c", "advice.detachedHead=false", "checkout", "--quiet")
            git("-C", str(fresh), *quiet, commit, what=what)
            if (fresh / ".gitmodules").is_file():
                parts = ("submodule", "--quiet", "update", "--init", "--recursive")
                git("-C", str(fresh), *parts, what=f"{address}, its submodules")
            if not (place := _place(address, commit, cache)).is_dir():
                fresh.rename(place)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return place, commit


def named(address: str, revision: str, seconds: float = GIT_SECONDS) -> str | None:
    """The commit that a name stands for at an address now; None where it is no name there.

    A tag goes before a branch, as for git itself. Raises UsageError where git can't be asked.
    """
    if COMMIT.fullmatch(revision):
        return revision
    peeled = f"{revision}^{{}}"  # of a tag with a message: the commit that it points to
    asked = ("ls-remote", "--", address, revision, peeled)
    said = git(*asked, what=address, seconds=seconds)
    lines = (line.partition("\t") for line in said.splitlines())
    found = {ref: commit for commit, _, ref in lines}
    refs = [f"refs/tags/{peeled}", f"refs/tags/{revision}", f"refs/heads/{revision}"]
    return next((found[ref] for ref in (*refs, peeled, revision) if ref in found), None)


def has_commit(address: str, commit: str, seconds: float = GIT_SECONDS) -> bool | None:
    """Whether an address has a commit, by its full hash; None: it answers, and does not say.

    Raises UsageError where it does not answer. The commit alone is fetched, and none of its files.
    """
    with tempfile.TemporaryDirectory(prefix="autoresearch-") as scratch:
        git("init", "--quiet", "--bare", scratch, what=address)
        least = ("fetch", "--quiet", "--depth=1", "--filter=tree:0", "--", address, commit)
        try:
            git("-C", scratch, *least, what=address, seconds=seconds)
        except UsageError as error:
            if MISSING in str(error):
                return False
            named(address, "HEAD", seconds)
            return None
    return True


def git(*words: str, what: str, seconds: float = GIT_SECONDS, silent: str = "nothing") -> str:
    """Run git and return what it prints; it asks nobody for a password.

    Raises UsageError with git's last line, or with `silent` where it said nothing.
    """
    try:
        done = subprocess.run(
            [program(), *words],
            capture_output=True,
            text=True,
            errors="replace",
            env=environment() | {"GIT_LFS_SKIP_SMUDGE": "1"},
            stdin=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _failed(what, f"it took longer than {seconds:g} s") from None
    except OSError as error:
        raise _failed(what, str(error)) from error
    if done.returncode != 0:
        raise _failed(what, _last(done.stderr.splitlines()) or silent)
    return done.stdout.strip()


def _failed(what: str, said: str) -> UsageError:
    return UsageError(f"task.source: {what}: git says: {said}. {WAY_OUT}")


def _last(lines: Sequence[str]) -> str:
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _place(address: str, commit: str, cache: Path) -> Path:
    key = hashlib.sha256(f"{address}\n{commit}".encode()).hexdigest()[:24]
    return cache / "sources" / key
