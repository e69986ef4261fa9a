"""A command line of a repository of one's own, as a Program under the same supervision.

In: words, a work folder that is there already, what else of the node it may see. Out: a Program
that both kinds of Process start (`sandboxed.py`, `kept.py`), and a loop that attends to it until it
has ended.
"""

import selectors
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workers.command import Mount
from workers.errors import SetupError
from workers.listener import Listener
from workers.log import BoundedLog
from workers.process import Process, Program
from workers.sandbox import WORK, Level

POLL_SECONDS = 0.1  # so soon is a cancellation heard


@dataclass(frozen=True)
class CommandProgram(Program):
    """Words to run in a folder of the node."""

    words: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)  # beside the usual ones

    def check(self) -> None:
        """Raise OSError where the work folder is not there."""
        if self.folder is None or not self.folder.is_dir():
            raise FileNotFoundError(f"no work folder {self.folder}")

    def settled(self, environment: Mapping[str, str]) -> Mapping[str, str]:
        """The usual environment without what is the bundled task's own, and with the task's."""
        ours = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
        kept = {name: value for name, value in environment.items() if name not in ours}
        return {**kept, **self.variables}

    def argv(self, *, socket: int, work: str, data: str) -> list[str]:  # noqa: ARG002
        """The command line. `env` looks the first word up in PATH, and says so if it is nowhere."""
        return [shutil.which("env") or "/usr/bin/env", *self.words]


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    by_itself: bool  # False: it was told to
    status: int | None = None  # the wait status, where it is known


def attend(process: Process, log: BoundedLog, turn: Callable[[float], bool]) -> Ended:
    """Listen to a process until it ends or `turn`, asked ten times a second, says False.

    Nothing of the process is left afterwards, and all that it printed is in the log.
    """
    ended = Ended(by_itself=False)
    with selectors.DefaultSelector() as selector:
        heard = Listener(selector, process, log)
        while turn(time.monotonic()):
            ready = {key.fd for key, _ in selector.select(POLL_SECONDS)}
            for _ in heard.hear(ready):
                pass  # it has a channel as every program has, and nothing to say on it
            if heard.just_ended:
                ended = Ended(by_itself=True, status=process.ended())
                break
        process.kill()
        heard.drain_log()
    return ended


Shown = tuple[tuple[str, str, bool], ...]
"""What a sandbox shows of the node: path, path inside, writable."""


def mounted(mounts: Sequence[Mount], level: Level, link: Callable[[str, Path], None]) -> Shown:
    """What the sandbox is to show; at the basic level, links in the work folder take its place.

    Raises SetupError for a path that this node does not have, and for one that only a sandbox can
    show where there is none.
    """
    shown = []
    for mount in mounts:
        host = Path(mount.host).expanduser().absolute()
        if not host.exists():
            raise SetupError(f"task.mounts: {host} is not there; make it, or take the mount out")
        home = mount.inside.removeprefix("~/") if mount.inside.startswith("~/") else None
        if level is Level.STRICT:
            inside = mount.inside if home is None else f"{WORK}/{home}"
            shown.append((str(host), inside, mount.writable))
        elif home is not None:
            link(home, host)
        elif Path(mount.inside) != host:
            raise SetupError(
                f"task.mounts: {host} can be shown as {mount.inside} in the strict sandbox only; "
                "install bubblewrap, or give a path below ~"
            )
    return tuple(shown)
