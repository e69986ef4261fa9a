"""How git is called: which of the user's variables it gets, and a question to a folder.

In: words for git. Out: what it says. It asks nobody for a password, and speaks English, which is
looked at here and there.
"""

import functools
import os
import shutil
import subprocess
from pathlib import Path

GIT_SECONDS = 600.0  # for a clone
# What git itself takes along into another repository, of the variables that belong to one.
_SETTINGS = frozenset({"GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS"})


def program() -> str:
    """git, wherever PATH names it."""
    return shutil.which("git") or "git"


def environment() -> dict[str, str]:
    """For git in a folder that it is told.

    A hook of another repository, or one's shell, may have set which repository is meant.
    """
    left = {name: value for name, value in os.environ.items() if name not in _of_a_repository()}
    return left | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}


@functools.cache
def _of_a_repository() -> frozenset[str]:
    """The variables that belong to one repository; none where there is no git."""
    try:
        ask = [program(), "rev-parse", "--local-env-vars"]
        done = subprocess.run(ask, capture_output=True, text=True, check=False)
    except OSError:
        return frozenset()
    return frozenset(done.stdout.split()) - _SETTINGS


def asked(folder: Path, *words: str) -> str | None:
    """What git answers in a folder; None where it is not there, or fails."""
    try:
        done = subprocess.run(
            [program(), "-C", str(folder), *words],
            capture_output=True,
            check=False,
            env=environment(),
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout.decode("utf-8", "surrogateescape")
