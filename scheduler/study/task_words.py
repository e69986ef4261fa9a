"""A task in words: what agents are told of a repository of one's own, how any task is measured,
and directions to begin with.

In: the configuration, which files there are. Out: Markdown. Nothing is read or decided here.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.study.config import Config
from scheduler.study.task_section import TaskSection
from workers.command import Reading

MEASURED_WORDS = "measured from outside: peaks of memory in 10^9 bytes, seconds of the run"
REFEREE_WORDS = "computed by a referee that the edited code can't reach, on text held out from it"
SHOWN_FILES = 60  # of those that can't be edited: enough to see how the repository is laid out


@dataclass(frozen=True)
class Figure:
    """What is known of each trial beside its metric, and what it must keep to."""

    name: str
    where: str  # it comes from, in words
    least: float | None = None  # a trial with less is rejected ...
    most: float | None = None  # ... and one with more


@dataclass(frozen=True)
class Measurement:
    """How trials are measured."""

    metric: str = ""  # where it comes from, in words
    figures: tuple[Figure, ...] = ()


def measurement(task: TaskSection) -> Measurement:
    """How the trials of a task are measured, the bundled one too."""
    where = {reading.name: _where(reading) for reading in task.readings()}
    limits = {limit.name: limit for limit in task.limits()}
    figures = []
    for name in task.metrics:
        limit = limits.get(name)
        least, most = (limit.least, limit.most) if limit else (None, None)
        figures.append(Figure(name, where.get(name, MEASURED_WORDS), least, most))
    metric = REFEREE_WORDS if task.command is None else _where(task.metric.reading)
    return Measurement(metric, tuple(figures))


def guide(config: Config, fixed: Sequence[str]) -> str:
    """The task's contract, for agents: the command, the measurement, what may be touched."""
    task = config.task
    assert task.command is not None, "the bundled task has a contract of its own"
    command = task.command if isinstance(task.command, str) else shlex.join(task.command)
    network = "may use the network" if task.network.trials else "has no network"
    figures = "".join(f"- {line}\n" for line in _figures(task))
    text = f"""\
This is a repository with a command of its own. A trial copies the repository, puts the edited files
in, and runs this in its top folder:

    {command}

- {_budget(config)}
- The metric, {task.metric.name}, is {_where(task.metric.reading)}. The script itself reports it: an
  edit must keep reporting it, computed as it is computed now, on the same data. An edit that
  changes what is measured, or how, is worth nothing.
{figures}- Files that fit {", ".join(task.editable)} can be edited, and new ones that fit it can be
  added: give a new file whole. Files can't be deleted or renamed. Everything else must stay as it
  is, and a run that changes it is rejected.
- A trial {network}.
"""
    if fixed:
        shown = ", ".join(fixed[:SHOWN_FILES])
        more = f" and {len(fixed) - SHOWN_FILES} more" if len(fixed) > SHOWN_FILES else ""
        text += f"- Files that are there and can't be edited: {shown}{more}.\n"
    return text


def directions(config: Config) -> str:
    """Research directions for a study that was given none."""
    metric = config.task.metric
    verb = "Lower" if metric.goal == "minimize" else "Raise"
    return f"""\
# Research directions

{verb} {metric.name} within the budget of a trial.

Look for changes of the model, of its optimisation and of the use of its data that gain more than
the noise between seeds. Prefer simple changes, and say why one should help. Keep the measurement as
it is.
"""


def _budget(config: Config) -> str:
    task, words = config.task, config.budget_words()
    if task.budget == "enforced":
        return f"It is ended after {words}; what it reported last counts."
    end = f"It must end by itself; after {config.deadline_seconds():g} s it counts as a timeout."
    if task.told:
        return f"Its budget is {words}, which the command tells it. {end}"
    return f"It keeps to a budget of its own. {end}"


def _where(reading: Reading) -> str:
    if reading.key:
        return f"read from the key {reading.key} of {reading.file}, which it leaves"
    if reading.file:
        return f"read from {reading.file}, which it leaves"
    return f"what the last line of its output that matches {reading.pattern!r} says"


def _figures(task: TaskSection) -> list[str]:
    lines = [f"{reading.name} is {_where(reading)}." for reading in task.readings()]
    for limit in task.limits():
        bounds = [f"at least {limit.least:g}"] if limit.least is not None else []
        bounds += [f"at most {limit.most:g}"] if limit.most is not None else []
        words = f"{limit.name} must be {' and '.join(bounds)}, whatever the metric"
        lines.append(f"{words}: a trial that breaks this is rejected.")
    return lines
