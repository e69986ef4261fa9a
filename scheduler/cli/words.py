"""What `run` says before it starts and when it has ended, in plain sentences.

In: the configuration, the capacity, the study's last state. Out: lines of text. Prints nothing.
"""

import math

from scheduler.cli.texts import REASONS
from scheduler.rules.states import ExperimentState, StopReason, StudyState
from scheduler.session import Capacity, Materials
from scheduler.study.config import Config
from scheduler.study.records import Live, Study

# Seconds that a trial holds its slot beside the budget: start-up, warm-up, scoring. Measured with
# the presets: 5 to 8 s on two CPU cores; compilation makes it more on a GPU.
OVERHEAD_CPU, OVERHEAD_GPU = 7.0, 45.0

LONGER = {
    StopReason.MAX_EXPERIMENTS: "--set stop.max_experiments={}",
    StopReason.MAX_HOURS: "--set stop.max_hours={}",
    StopReason.PLATEAU: "--set stop.plateau={}",
}


def forecast(
    config: Config, capacity: Capacity, materials: Materials, sandbox: str, done: Study | None
) -> str:
    """What the study will take: slots, time, money."""
    resources = capacity.resources
    each = f"{resources.gpus:g} GPU" if resources.gpus else f"{resources.cpus:g} CPU core"
    data = f"{config.data.source}: {materials.packed.tokens['train']:,} tokens to train on, "
    data += f"{config.data.validation_tokens:,} to score"
    lines = [
        f"slots   {capacity.slots} at a time, {each} each",
        f"budget  {config.budget_words()} of training a trial",
        f"data    {data}",
        f"sandbox {sandbox}",
        "agent   tuner (no key, no network, no cost; language models are not in this version yet)",
        f"takes   {_duration(config, capacity, done)}",
    ]
    return "\n".join(lines)


def _duration(config: Config, capacity: Capacity, done: Study | None) -> str:
    before = sum(count for state, count in done.counts.items() if state.is_final) if done else 0
    repeats = 0 if before else config.keep.baseline_repeats
    total = config.stop.max_experiments
    if total is None:
        limit = config.stop.max_hours
        if limit is not None:
            return f"until {limit:g} hours have passed, or Ctrl-C; it can be resumed"
        return "until Ctrl-C; it can be resumed"
    left = max(0, total - max(0, before - 1))
    what = f"{left} experiments" if before else f"the baseline and {left} experiments"
    if config.budget.seconds is None:
        return what
    overhead = OVERHEAD_GPU if capacity.resources.gpus else OVERHEAD_CPU
    rounds = math.ceil((left + repeats) / capacity.slots)
    return f"{what} in about {_span(rounds * (config.budget.seconds + overhead))}; no money"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def ending(live: Live, name: str) -> str:
    """How the study ended, what came out of it, and what to do next."""
    study = live.study
    if study.state is StudyState.PAUSED:
        reason = study.text
        lines = [f"paused: {reason}"]
    else:
        reason = REASONS[study.reason] if study.reason else "it is over"
        lines = [f"stopped: {reason}"]
    lines += ["", _result(live), "", *_next_steps(study, name)]
    return "\n".join(lines)


def _result(live: Live) -> str:
    study, champion = live.study, live.champion
    counts = ", ".join(f"{study.counts[s]} {s}" for s in ExperimentState if s in study.counts)
    if champion is None or champion.metric is None or not study.baseline:
        return f"{study.experiments} experiments ({counts}); none has a metric yet"
    best = f"{live.metric} {study.baseline:.4f} (baseline)"
    if champion.metric != study.baseline:
        change = 100 * (champion.metric / study.baseline - 1)
        best += f" -> {champion.metric:.4f} (experiment {champion.id}, {change:+.1f} %)"
    busy = 100 * study.train_seconds / study.trial_seconds if study.trial_seconds else 0.0
    return (
        f"{best}\n{study.experiments} experiments: {counts}\n"
        f"{_span(study.seconds)} in all; {busy:.0f} % of the slots' busy time was training"
    )


def _next_steps(study: Study, name: str) -> list[str]:
    again = f"autoresearch run {name}"
    rows: list[tuple[str, str]] = []
    if study.champion is not None:
        rows += [
            (f"autoresearch status {name}", "the leaderboard"),
            (f"autoresearch diff {study.champion.experiment} -s {name}", "what the best changed"),
            (f"autoresearch best -s {name}", "the best code"),
            (f"{name}/progress.png", "the plot"),
        ]
    if study.reason is StopReason.BASELINE_FAILED:
        rows += [
            (f"autoresearch log 0 -s {name}", "what the baseline printed"),
            (again, "try again, once the task is mended"),
        ]
    elif study.reason in LONGER:
        more = LONGER[study.reason].format("N")
        rows.append((f"{again} {more}", "go on, with a higher limit"))
    else:
        rows.append((again, "go on where it stopped"))
    width = max(len(command) for command, _ in rows)
    return ["next:", *(f"  {command:<{width}}  {what}" for command, what in rows)]
