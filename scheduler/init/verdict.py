"""What the baseline of a repository showed, in words: the figure and its line, or what is wrong.

In: the configuration and the Outcome of one trial. Out: sentences for a person. Each fault comes
with the line that proves it and what to change. Pure.
"""

import re
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from scheduler.figures import figure
from scheduler.init.advice import advised, misplaced
from scheduler.init.draft import Key
from scheduler.init.metrics import WORDS, loosened
from scheduler.init.vocabulary import name_of
from scheduler.study.config import Config
from workers import Outcome, OutcomeStatus
from workers.command import Reading
from workers.errors import ReadingError
from workers.log import clean, sentence
from workers.number import APART, EXACT, FINITE, LOOSE
from workers.readings import ALL_SLOW_SECONDS, Scanner

LAST_LINES = 6  # of the output, where something is wrong
FIGURES = 6  # numbers that look like metrics
_FIGURE = re.compile(rf"(?<![A-Za-z])({WORDS})(\"?\s{{0,8}}[:=]?\s{{0,8}})({FINITE})(?=([\w.+-])?)")
SLACK_SECONDS = 30.0
"""Beside twice the baseline's time: a busier machine, an edit that compiles longer."""


@dataclass(frozen=True)
class Advice:
    """What became of the baseline."""

    good: bool
    lines: tuple[str, ...]


def verdict(config: Config, outcome: Outcome, names: Collection[str] = ()) -> Advice:
    """Say what a baseline showed; `names`: of the files that the trial took along."""
    if outcome.metric is not None:
        return Advice(True, tuple(_good(config, outcome)))
    return Advice(False, tuple(_bad(config, outcome, names)))


def unable(why: str) -> Iterator[str]:
    """What is said where the trial could not even begin, such as of a set-up that failed."""
    yield why
    if "task.setup" in why:
        yield (
            "what to do: try that line by hand, and give another with --setup and --force; what it "
            "printed stands in the log"
        )
    elif "task.mounts" in why:
        yield "what to do: make that folder, or take it out of task.mounts"


def fitting_limit(config: Config, outcome: Outcome) -> tuple[Key, float] | None:
    """A limit for a script that knows no seconds: its key and seconds; None if one is tight.

    Such a script may be edited to train longer. What stops it is the deadline, or the budget where
    that is enforced: then what it reported until then would count.
    """
    task, budget, took = config.task, config.budget.seconds, outcome.timings.train
    if outcome.metric is None or task.told or task.deadline is not None or budget is None:
        return None
    if took > budget * 0.5:
        return None  # it seems to keep to the budget by itself
    seconds = float(-(-(2 * took + SLACK_SECONDS) // 10) * 10)
    if task.budget != "enforced":
        return ("task", "deadline"), seconds
    return (("budget", "seconds"), seconds) if seconds < budget else None


def proof(config: Config, outcome: Outcome) -> str:
    """The last line of the log that says the metric, read as in a trial; "" where none does.

    A log is cut in the middle where it is long, and the line may be gone. A pattern that is slow
    is given up after as long as a trial gives it.
    """
    metric, until = config.task.metric, time.monotonic() + ALL_SLOW_SECONDS
    reading = Reading(metric.name, pattern=metric.pattern or "")
    for line in reversed(outcome.log.splitlines()):
        scanner = Scanner([reading])
        scanner.write(line.encode())
        scanner.close()
        try:
            if scanner.value(reading) == outcome.metric:
                return sentence(line, 160)
        except ReadingError:
            if time.monotonic() > until:
                break
    return ""


def figures(log: str) -> list[tuple[str, str, str]]:
    """What looks like a metric in an output: name, the last line that has it, a pattern for it."""
    found: dict[str, tuple[str, str, str]] = {}
    for line in clean(log).splitlines():
        if len(line) > 2000:
            continue
        for label, between, value, after in _FIGURE.findall(line):
            named = name_of(label)
            if named is None:
                continue
            found.pop(named.text, None)
            number = APART if "," in value else EXACT if after else LOOSE
            pattern = rf"\b{loosened(label + between)}\s*{number}"
            found[named.text] = (named.text, sentence(line, 120), pattern)
    ordered = sorted(found.values(), key=lambda each: -_weight(each[0]))
    return ordered[:FIGURES]


def _weight(text: str) -> int:
    named = name_of(text)
    return named.weight if named else -99


def _good(config: Config, outcome: Outcome) -> Iterator[str]:
    metric = config.task.metric
    assert outcome.metric is not None
    yield f"{metric.name} = {figure(outcome.metric)} after {outcome.timings.train:.1f} s"
    if metric.file is not None:
        yield (
            f"read from: key {metric.key} of {metric.file}"
            if metric.key
            else (f"read from: {metric.file}")
        )
    elif line := proof(config, outcome):
        yield f"read from the line: {line}"
    else:
        yield "read from a line of its output, which is cut out of the log: that was too long"
    others = ", ".join(f"{name} {value:.6g}" for name, value in outcome.metrics.items())
    if others:
        yield f"beside it: {others}"
    used = f"{outcome.peak_memory_bytes / 1e9:.2f} GB of memory"
    if outcome.peak_device_memory_bytes:
        used += f", {outcome.peak_device_memory_bytes / 1e9:.2f} GB on the device"
    yield f"it used {used}, on {outcome.device or 'this machine'}, sandbox {outcome.sandbox}"
    yield (
        "this was one run with one seed: how much of a difference is noise, nobody knows yet; the "
        "study repeats the baseline with further seeds"
    )
    if not config.task.told_seed:
        yield (
            "but the script is not told its seed: repeats differ by chance alone, or not at all. "
            "If it can take one, put {seed} into task.command or task.env"
        )
    yield f"{metric.name} is self-reported: it is what the code says of itself"
    seen = [name for name, _, _ in figures(outcome.log) if name != metric.name]
    if seen:
        yield f"also in its output, for task.metrics: {', '.join(seen)}"


def _bad(config: Config, outcome: Outcome, names: Collection[str]) -> Iterator[str]:
    yield f"the baseline has no {config.task.metric.name} ({outcome.status}): {outcome.reason}"
    lines = [line for line in clean(outcome.log).splitlines() if line.strip()]
    if lines:
        yield "the last that it printed:"
        yield from (f"    {sentence(line, 160)}" for line in lines[-LAST_LINES:])
    if outcome.status is OutcomeStatus.TIMEOUT:
        yield (
            "it ended not by itself: give it less to do or more time (--seconds), or, if it "
            "reports as it goes, set task.budget: enforced"
        )
        return
    if outcome.status is OutcomeStatus.OOM:
        yield "it needs more memory than there is: a smaller batch, or workers.memory_gb"
        return
    if re.search(r"matches the pattern|has no key|left no file|is no number", outcome.reason):
        yield from _unread(config, outcome)
        return
    said = f"{outcome.reason}\n{outcome.log[-8000:]}"
    if advice := misplaced(said, config.task.command, names) or advised(said):
        yield f"what to do: {advice}"


def _unread(config: Config, outcome: Outcome) -> Iterator[str]:
    """It ran, and its metric was not where it was looked for."""
    seen = figures(outcome.log)
    if not seen:
        yield (
            "nothing in its output looks like a metric: let it print one, such as "
            f"`{config.task.metric.name}: 0.5`, or name the file with --file and --key"
        )
        return
    yield "what looks like a metric in its output, and how to read it:"
    for name, line, pattern in seen:
        yield f"    {line}"
        yield f"        --metric {name} --pattern {_quoted(pattern)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
