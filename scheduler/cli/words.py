"""What `run` says before it starts and when it has ended, in plain sentences.

In: the configuration, the capacity, the study's last state. Out: lines of text. Prints nothing.
"""

import math
import shlex
from collections.abc import Mapping, Sequence

from agent.tuner import tunable
from scheduler.figures import count, figure
from scheduler.reasons import REASONS
from scheduler.rules.states import ExperimentState, StopReason, StudyState
from scheduler.session import Capacity, Materials
from scheduler.study.config import Config
from scheduler.study.config_file import PREFIX
from scheduler.study.directions import MARK, places
from scheduler.study.records import Live, Study

# Seconds that a trial holds its slot beside the budget: start-up, warm-up, scoring. On two
# CPU cores 3 to 8 s were measured; on a GPU compilation makes it more (not measured yet).
OVERHEAD_CPU, OVERHEAD_GPU = 5.0, 45.0

WIDEST = 60  # of a command in a table: what a longer one is for stands after it, out of line

LONGER = {
    StopReason.MAX_EXPERIMENTS: "--set stop.max_experiments={}",
    StopReason.MAX_HOURS: "--set stop.max_hours={}",
    StopReason.PLATEAU: "--set stop.plateau={}",
    StopReason.MAX_DOLLARS: "--set agent.max_dollars={}",
    StopReason.MAX_TOKENS: "--set agent.max_tokens={}",
    StopReason.MAX_CALLS: "--set agent.max_calls={}",
}

UNSEEDED = (
    "seed    {seed} stands neither in task.command nor in task.env: the script is not told its",
    "        seed, so that repeats differ by chance alone, or not at all",
)


def forecast(
    config: Config,
    capacity: Capacity,
    materials: Materials,
    *,
    sandbox: str,
    done: Study | None,
    missing: Mapping[str, Sequence[str]],
) -> str:
    """What the study will take: slots, time, money."""
    resources = capacity.resources
    claims = [f"{resources.gpus:g} GPU"] if resources.gpus else []
    claims += (
        [f"{resources.cpus:g} CPU core{'' if resources.cpus == 1 else 's'}"]
        if resources.cpus
        else []
    )
    lines = [
        f"slots   {_slots(config, capacity)}, {' and '.join(claims)} each",
        *_what(config, materials),
        f"sandbox {sandbox}",
        *_agent(config, materials, missing),
        f"takes   {_duration(config, capacity, done)}",
    ]
    return "\n".join(lines)


def unfilled(program: str) -> str | None:
    """What is still to be written into the directions; None where nothing is."""
    if not (count := places(program)):
        return None
    words = "1 place" if count == 1 else f"{count} places"
    return f"program program.md has {words} to fill in ({MARK}); nobody is told what stands there"


def _slots(config: Config, capacity: Capacity) -> str:
    wanted = config.workers.slots
    if not capacity.local and isinstance(wanted, int) and capacity.slots < wanted:
        return f"{capacity.slots} of {wanted} now, the rest as nodes join (an autoscaler is asked)"
    return f"{capacity.slots} at a time"


def _what(config: Config, materials: Materials) -> list[str]:
    """The budget, and what is trained on or run."""
    if (packed := materials.packed) is not None:
        data = f"{config.data.source}: {packed.tokens['train']:,} tokens to train on, "
        data += f"{config.data.validation_tokens:,} to score"
        return [f"budget  {config.budget_words()} of training a trial", f"data    {data}"]
    fixed, task = materials.bundles.task, config.task
    size = sum(len(content) for _, content in fixed.files)
    how = {"script": "kept to by the script", "enforced": "then it is ended"}[task.budget]
    edited, others = len(materials.baseline.files), len(fixed.files)
    files = f"{edited} file{'s' * (edited != 1)} to edit, "
    files += "1 fixed one" if others == 1 else f"{others} fixed ones"
    most = f"at most {config.deadline_seconds():g} s in all"
    at = f" at commit {materials.commit[:12]}" if materials.commit else ""
    return [
        f"task    {task.source}{at}: {files} ({size / 1e6:.1f} MB)",
        f"budget  {config.budget_words()} a trial, {how}; {most}",
        f"metric  {task.label}: what the script says of itself, checked by nobody",
        *([] if task.told_seed else UNSEEDED),
        *(f"note    {note}" for note in materials.notes),
    ]


def _agent(config: Config, materials: Materials, missing: Mapping[str, Sequence[str]]) -> list[str]:
    """Who proposes, and what is missing for that."""
    agent = config.agent
    if not agent.models and not tunable(materials.baseline.files):
        where = ", ".join(config.task.editable)
        return [
            "agent   the tuner has nothing to move: no numeric constant in capitals stands at the",
            f"        top of {where}. This task needs a model: --model NAME, or edits",
            "        of your own: autoresearch submit",
        ]
    if not agent.models:
        return [
            "agent   the tuner: no key, no network, no cost. For a language model: --model NAME,",
            "        with its key in the environment or in agent.key_file",
        ]
    limits = [
        f"{value:g} {name}"
        for name, value in (
            ("$", agent.max_dollars),
            ("tokens", agent.max_tokens),
            ("calls", agent.max_calls),
        )
        if value is not None
    ]
    bound = f"at most {', '.join(limits)}" if limits else "no limit of cost (agent.max_dollars)"
    lines = [f"agent   {', '.join(agent.models)}, and the tuner; {bound}"]
    for model, keys in missing.items():
        lines.append(f"        {model} has no key: set {' or '.join(keys)}")
    return lines


def _duration(config: Config, capacity: Capacity, done: Study | None) -> str:
    """How many experiments, how long, and what it costs."""
    before = done.proposed if done and done.champion else 0
    repeats = 0 if done and done.champion else config.keep.baseline_repeats
    total, hours = config.stop.max_experiments, config.stop.max_hours
    limits = [] if hours is None else [f"at most {count(hours, 'hour')}"]
    if total is None:
        if config.budget.seconds is not None:
            rate = 3600 * max(1, capacity.slots) / _trial_seconds(config, capacity)
            limits.insert(0, f"about {count(round(rate), 'experiment')} an hour")
        limits.append("until Ctrl-C; it can be resumed")
    elif before > total and done is not None:
        limits.insert(0, _nothing_new(done, total))
    else:
        left = max(0, total - before)
        begun = sum(n for s, n in done.counts.items() if not s.is_final) if done and before else 0
        limits.insert(0, f"{'the baseline and ' if repeats else ''}{count(left, 'experiment')}")
        limits[0] += f", beside {begun} that wait to be decided," * (begun > 0)
        if config.budget.seconds is not None:
            rounds = math.ceil((left + begun + repeats) / max(1, capacity.slots))
            limits[0] += f" in about {_span(rounds * _trial_seconds(config, capacity))}"
        if config.keep.most_seeds:
            limits[0] += ", and what it takes to confirm those that win"
    if config.keep.long_budget:
        leaders, factor = config.keep.long_leaders + 1, config.keep.long_budget
        limits.append(f"then up to {leaders} leaders with {factor:g} times the budget")
    return "; ".join(limits if config.agent.models else [*limits, "no money"])


def _nothing_new(done: Study, total: int) -> str:
    """What a study still does that has more experiments than its limit."""
    words = f"no new experiments (stop.max_experiments is {total}, and {done.proposed} are there)"
    if confirming := done.counts.get(ExperimentState.CONFIRMING, 0):
        words += f"; {confirming} being confirmed {'is' if confirming == 1 else 'are'} decided"
    waiting = [done.counts.get(s, 0) for s in (ExperimentState.QUEUED, ExperimentState.RUNNING)]
    if count := sum(waiting):
        words += f"; {count} in the queue wait{'s' * (count == 1)} for a higher limit"
    return words


def _trial_seconds(config: Config, capacity: Capacity) -> float:
    """For which a trial holds its slot, roughly."""
    overhead = OVERHEAD_GPU if capacity.resources.gpus else OVERHEAD_CPU
    return (config.budget.seconds or 0.0) + overhead


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def given(
    config: str | None,
    models: Sequence[str] | None,
    overrides: Sequence[str] | None,
    environ: Mapping[str, str],
) -> str:
    """The options that a configuration was given with, to be given again.

    Without an address that is told of news: it may be as good as a password.
    """
    source = config or environ.get(f"{PREFIX}CONFIG")
    kept = [each for each in overrides or () if not each.startswith("notify.")]
    pairs = [("--config", source)] if source else []
    pairs += [*(("--model", model) for model in models or ()), *(("--set", each) for each in kept)]
    return shlex.join(word for pair in pairs for word in pair)


def ending(live: Live, name: str, options: str = "") -> str:
    """How the study ended, what came out of it, and what to do next.

    `options`: with which its configuration was given, where that is read anew to mend the task.
    """
    study = live.study
    if study.state is StudyState.PAUSED:
        reason = study.text
        lines = [f"paused: {reason}"]
    else:
        reason = REASONS[study.reason] if study.reason else "it is over"
        lines = [f"stopped: {reason}"]
    lines += ["", _result(live), "", *_next_steps(study, name, options)]
    return "\n".join(lines)


def _result(live: Live) -> str:
    study, champion = live.study, live.champion
    counts = ", ".join(f"{study.counts[s]} {s}" for s in ExperimentState if s in study.counts)
    if champion is None or champion.metric is None or not study.baseline:
        return f"{count(study.experiments, 'experiment')} ({counts}); none has a metric yet"
    best = f"{live.metric} {figure(study.baseline)} (baseline)"
    if champion.metric != study.baseline:
        change = 100 * (champion.metric / study.baseline - 1)
        best += f" -> {figure(champion.metric)} (experiment {champion.id}, {change:+.1f} %)"
    busy = 100 * study.train_seconds / study.trial_seconds if study.trial_seconds else 0.0
    return (
        f"{best}\n{count(study.experiments, 'experiment')}: {counts}\n"
        f"{_span(study.seconds)} in all; {busy:.0f} % of the slots' busy time was training"
    )


def _next_steps(study: Study, name: str, options: str) -> list[str]:
    plot, name = shlex.quote(f"{name}/progress.png"), shlex.quote(name)
    again = f"autoresearch run {name}"
    rows: list[tuple[str, str]] = []
    if study.champion is not None:
        rows += [
            (f"autoresearch status {name}", "the leaderboard"),
            (f"autoresearch best -s {name}", "the best code"),
            (plot, "the plot"),
        ]
        if study.champion.number > 1:
            number = study.champion.experiment
            rows.insert(1, (f"autoresearch diff {number} -s {name}", "what the best changed"))
    if study.reason is StopReason.BASELINE_FAILED:
        rows += [
            (f"autoresearch log 0 -s {name}", "what the baseline printed"),
            # Without them the study's own copy counts, in which nothing is mended.
            (f"{again} {options}".rstrip(), "try again, once the task is mended"),
        ]
    elif study.reason in LONGER:
        more = LONGER[study.reason].format("N")
        rows.append((f"{again} {more}", "go on, with a higher limit"))
    else:
        rows.append((again, "go on where it stopped"))
    if not study.calls:
        rows.append((f"{again} --model NAME", "let a language model read program.md and propose"))
    width = min(WIDEST, max(len(command) for command, _ in rows))
    return ["next:", *(f"  {command:<{width}}  {what}" for command, what in rows)]
