"""What the baseline showed, in words: the figure with its line, or what is wrong and what to do."""

import re

import pytest

from scheduler.init.verdict import figures, fitting_limit, verdict
from scheduler.study.config import Config
from scheduler.study.sections import BudgetSection
from scheduler.study.task_section import MetricSection, TaskSection
from workers import Outcome, OutcomeStatus
from workers.outcome import Timings


def config(command: str = "python train.py", **keys: object) -> Config:
    metric = MetricSection(name="val_loss", pattern=r"val_loss: ([-+.\w]+)")
    task = TaskSection(source=".", command=command, metric=metric, **keys)  # type: ignore[arg-type]
    return Config(task=task, budget=BudgetSection(seconds=300.0))


def done(seconds: float, log: str = "val_loss: 0.7\nval_loss: 0.5\nacc: 0.9\n") -> Outcome:
    timings = Timings(train=seconds)
    return Outcome(1, OutcomeStatus.DONE, metric=0.5, timings=timings, log=log)


def test_a_figure_comes_with_the_last_line_that_has_it_and_with_its_doubts() -> None:
    said = verdict(config(), done(12.0))
    assert said.good
    text = "\n".join(said.lines)
    assert "val_loss = 0.500000 after 12.0 s" in text, "as everywhere else"
    assert "read from the line: val_loss: 0.5" in text
    assert "one run with one seed" in text
    assert "val_loss is self-reported" in text
    assert "the script is not told its seed" in text
    assert "for task.metrics: acc" in text


def test_the_line_is_found_by_whatever_pattern_a_trial_reads_with() -> None:
    for pattern in (r"val_loss: (?<value>\S++)", r"(?|val_loss: (\S+)|loss (\S+))"):
        metric = MetricSection(name="val_loss", pattern=pattern)
        told = Config(task=TaskSection(source=".", command="true", metric=metric))
        assert "read from the line: val_loss: 0.5" in verdict(told, done(1.0)).lines


def test_a_line_that_says_another_figure_is_not_shown_for_it() -> None:
    log = "val_loss: 0.7\n[9 bytes left out]\nbye\n"  # the last figure was among these
    said = verdict(config(), done(1.0, log)).lines
    assert "read from a line of its output, which is cut out of the log: that was too long" in said
    assert not any("0.7" in line or "None" in line for line in said)


def test_a_script_that_is_told_its_seed_is_not_doubted_for_it() -> None:
    said = verdict(config("python train.py --seed {seed}"), done(12.0))
    assert not any("not told its seed" in line for line in said.lines)


def test_numbers_that_look_like_metrics_come_with_a_pattern_that_reads_them() -> None:
    log = "epoch 3 lr 0.1 | valid/loss = 0.3125 | top1: 88.2%\ntime 4.2\n"
    log += "perplexity: 1,234.5\nval mse -9.8E-05s\n"
    found = {name: pattern for name, _, pattern in figures(log)}
    read = {"valid_loss": "0.3125", "top1": "88.2", "perplexity": "1,234.5", "val_mse": "-9.8E-05"}
    assert set(found) == set(read)
    for name, value in read.items():
        match = re.search(found[name], log)
        assert match is not None
        assert match[1] == value


@pytest.mark.parametrize(
    ("status", "reason", "log", "words"),
    [
        (OutcomeStatus.TIMEOUT, "it ran for more than 9 s", "step 1", "task.budget: enforced"),
        (OutcomeStatus.OOM, "its processes used 9 MB", "", "workers.memory_gb"),
        (OutcomeStatus.CRASH, "no line that it printed matches the pattern of val_loss", "bye",
         "nothing in its output looks like a metric"),
        (OutcomeStatus.CRASH, "x (exit code 2)",
         "usage: train.py\nerror: the following arguments are required: --data", "--command"),
        (OutcomeStatus.CRASH, "URLError: <urlopen error [Errno -3]>", "x", "--network"),
        (OutcomeStatus.CRASH, "RuntimeError: Found no NVIDIA driver", "x", "--gpus"),
        (OutcomeStatus.CRASH, "KeyError: 'DATASET'", "x", "set it in task.env"),
    ],
)  # fmt: skip
def test_each_failure_comes_with_what_to_do(
    status: OutcomeStatus, reason: str, log: str, words: str
) -> None:
    said = verdict(config(), Outcome(1, status, reason, log=log))
    assert not said.good
    assert reason in said.lines[0]
    assert words in "\n".join(said.lines)


def test_a_script_that_knows_no_seconds_gets_a_deadline_of_its_own_length() -> None:
    assert fitting_limit(config(), done(12.0)) == (("task", "deadline"), 60)
    assert fitting_limit(config(), done(295.0)) is None  # it keeps to the budget
    assert fitting_limit(config("x --seconds {seconds}"), done(12.0)) is None
    assert fitting_limit(config(deadline=99.0), done(12.0)) is None


def test_one_that_ends_before_its_enforced_budget_gets_a_budget_of_its_own_length() -> None:
    assert fitting_limit(config(budget="enforced"), done(12.0)) == (("budget", "seconds"), 60)
    assert fitting_limit(config(budget="enforced"), done(299.0)) is None  # the budget ended it
    assert fitting_limit(config(budget="enforced"), done(140.0)) is None  # it would be no less
