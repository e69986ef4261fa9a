"""What a trial of a repository of one's own runs, and how its metric is read. Plain data.

In: nothing. Out: a `Command`, part of a Trial: the command line with its placeholders, the
environment, what it may see, how long it may take, where its metric stands. The bundled task has
none: there the harness trains and the referee measures.
"""

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SELF_REPORTED = "self-reported"  # who computed the metric, as every view shows it
SHELL = "/bin/sh"
PLACEHOLDERS = ("seed", "gpus", "seconds", "steps", "python")
# Not after a dollar sign: `${seed}` is the shell's own.
_PLACEHOLDER = re.compile(r"(?<!\$)\{(" + "|".join(PLACEHOLDERS) + r")\}")


@dataclass(frozen=True)
class Reading:
    """Where a number stands: in the output, in a file, or under a key of a JSON file.

    With `pattern` alone the last match of a line of the output counts; with `file` and `pattern`
    the last in that file; with `file` and `key` the value there; with `file` alone its only word.
    """

    name: str
    pattern: str = ""
    file: str = ""
    key: str = ""  # dotted; a part that is a whole number also counts along a list


@dataclass(frozen=True)
class Limit:
    """What a figure of a trial must keep to. `memory_gb` and the like are measured here."""

    name: str
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Mount:
    """A path of the node that a trial sees. `~` is the user's home there, and the trial's here."""

    host: str
    inside: str
    writable: bool = False


@dataclass(frozen=True)
class Setup:
    """What is run once on each node, in the repository without its editable files."""

    argv: tuple[str, ...]
    network: bool = True
    seconds: float = 1800.0  # limit


@dataclass(frozen=True)
class Command:
    """How a repository of one's own is run and measured."""

    argv: tuple[str, ...]  # with placeholders; a line for a shell is ("/bin/sh", "-c", line)
    metric: Reading
    environment: Mapping[str, str] = field(default_factory=dict)  # beside the usual; placeholders
    metrics: tuple[Reading, ...] = ()  # read beside the one that ranks
    may_change: tuple[str, ...] = ()  # files of the repository that a run may alter
    mounts: tuple[Mount, ...] = ()
    network: bool = False
    enforced: bool = False  # the supervisor ends it when the budget's seconds are over
    deadline_seconds: float = 600.0  # of the whole run; what is longer is a timeout
    most_seconds: float | None = None  # of a run that is told its budget: the baseline's and grace
    artifacts: tuple[str, ...] = ()  # globs of files to keep from the work folder
    artifact_bytes: int = 10_000_000  # of all of them together
    setup: Setup | None = None


@dataclass(frozen=True)
class Values:
    """What stands in the place of the placeholders; those of set-up are empty."""

    seed: int = 0
    gpus: int = 0
    seconds: float | None = None
    steps: int | None = None


def command_line(command: str | Sequence[str]) -> tuple[str, ...]:
    """The arguments of a command that is written as a list, or as a line for the shell."""
    return (SHELL, "-c", command) if isinstance(command, str) else tuple(command)


def used_placeholders(texts: Sequence[str]) -> frozenset[str]:
    """The placeholders that stand in these texts."""
    return frozenset(found for text in texts for found in _PLACEHOLDER.findall(text))


def fill(text: str, trial: Values, *, shell: bool = False) -> str:
    """The text with the trial's own values in the place of its placeholders.

    `shell`: it is a line for one, and what is put in stays one word there.
    """
    values = {
        "seed": str(trial.seed),
        "gpus": str(trial.gpus),
        "seconds": "" if trial.seconds is None else _decimal(trial.seconds),
        "steps": "" if trial.steps is None else str(trial.steps),
        "python": shlex.quote(sys.executable) if shell else sys.executable,
    }
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)


def fill_line(argv: Sequence[str], trial: Values) -> tuple[str, ...]:
    """The same for a whole command line."""
    shell = tuple(argv[:-1]) == (SHELL, "-c")
    return tuple(fill(each, trial, shell=shell) for each in argv)


def _decimal(number: float) -> str:
    """Without an exponent, which a script's own parser may not know, to the microsecond."""
    return f"{number:.6f}".rstrip("0").rstrip(".")
