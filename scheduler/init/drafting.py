"""From what was found and what a person said to the configuration: keys, each with its reason.

In: `Found`, `Wishes`, `Place`. Out: a `Draft`. Raises UsageError where something is missing that
nobody but a person can know, with the flag that says it. Pure.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from scheduler.errors import UsageError
from scheduler.init.draft import SECONDS, Draft, Entry, Found, Key, Place, Wishes
from scheduler.init.files import Setup, editable_files, find_setup, protected_files, with_data
from scheduler.init.metrics import Metric
from scheduler.init.running import Length, Running, find_running
from scheduler.init.sources import Sources
from scheduler.init.vocabulary import goal_of, knows


def from_preset(name: str, values: Mapping[str, Any], place: Place, wishes: Wishes) -> Draft:
    """The preset of a known repository, of this copy of it."""
    entries = [
        Entry(path, value)
        for path, value in _leaves(values, ())
        if path not in (("task", "source"), ("task", "revision"))
    ]
    draft = Draft((*_source(place), *entries), preset=name)
    if wishes.seconds is not None:
        draft = draft.having(("budget", "seconds"), wishes.seconds, "as you said")
    if wishes.setup is not None:
        draft = draft.having(("task", "setup"), wishes.setup or None, "as you said")
    if wishes.network is not None:
        draft = draft.having(("task", "network", "trials"), wishes.network, "as you said")
    if wishes.gpus is not None:
        draft = draft.having(("workers", "gpus_per_trial"), wishes.gpus, "as you said")
    return draft


def make_draft(found: Found, wishes: Wishes, place: Place) -> Draft:
    """The configuration for a repository that nobody knew before."""
    sources = found.sources
    script = _script(found, wishes)
    metric = choose_metric(found.metrics(script), wishes)
    if metric is None:
        raise UsageError(_no_metric(found, script, wishes))
    notes: list[str] = []
    missing = [n for n in sources.foreign(script) if not place.has(n)] if script else []
    setup = find_setup(sources, missing)
    if wishes.setup is not None:
        setup = Setup(wishes.setup or None, "as you said", setup.python if wishes.setup else
                      "{python}", setup.paths if ".deps" in wishes.setup else ())  # fmt: skip
    elif missing and setup.command is None:
        notes.append(setup.why)
    running = None
    gpus = 0.0
    if script is not None:
        wanted = int(wishes.gpus) if wishes.gpus is not None and wishes.gpus > 1 else 1
        running = find_running(sources, found.usages, script, python=setup.python, gpus=wanted)
        gpus = 1.0 if running.needs_gpu or (running.wants_gpu and place.gpus) else 0.0
    command, why = wishes.command, "as you said"
    if command is None:
        assert running is not None
        command, why = running.command, running.why
        notes += [
            f"{script} must be given {each}: say how with --command" for each in running.unknown
        ]
    if wishes.setup is None:
        setup = with_data(setup, found.usages, command)
    editable = wishes.editable or (
        editable_files(sources, script, metric) if script is not None else ()
    )
    if not editable:
        raise UsageError(
            "what may be edited can't be told from a command alone: name files or globs with "
            "--editable, such as --editable 'src/**/*.py'"
        )
    entries = [
        *_budget(wishes, running, metric, editable, notes),
        *_source(place),
        Entry(("task", "editable"), list(editable), _editable_words(sources, script, editable)),
        Entry(("task", "command"), command, why),
        *_setup(setup, running if wishes.command is None else None, sources),
        *_network(wishes),
        *_mounts(sources, script, place, notes),
        *_metric(metric, wishes, notes),
    ]
    chosen = gpus if wishes.gpus is None else wishes.gpus
    reason = "as you said" if wishes.gpus is not None else _gpu_words(running, chosen)
    entries.append(Entry(("workers", "gpus_per_trial"), chosen, reason))
    return Draft(tuple(entries), tuple(notes))


def _script(found: Found, wishes: Wishes) -> str | None:
    if wishes.script is not None:
        if wishes.script in found.sources.modules:
            return wishes.script
        if wishes.script in found.sources.snapshot.names and wishes.command is not None:
            return None
        there = ", ".join(s.name for s in found.scripts) or "none was found"
        what = (
            "is no Python file that can be read: say how it is started with --command"
            if wishes.script in found.sources.snapshot.names
            else "is no file of the repository"
        )
        raise UsageError(f"--script {wishes.script}: {what} (scripts: {there})")
    if wishes.command is not None:
        named = [n for n in found.sources.modules if re.search(_word(n), wishes.command)]
        return named[0] if named else None
    if not found.scripts:
        broken = [
            n for n in found.sources.snapshot.texts
            if n.endswith(".py") and n not in found.sources.modules
        ]  # fmt: skip
        said = f" ({', '.join(broken[:3])} can't be parsed)" if broken else ""
        raise UsageError(
            f"no Python script was found that trains something{said}: say how a training is "
            "started with --command, such as --command './train --seed {seed}', what is edited "
            "with --editable, and what it reports with --metric NAME --pattern RE"
        )
    return found.scripts[0].name


def _word(name: str) -> str:
    return rf"(?<![\w/.]){re.escape(name)}(?![\w/])"


def choose_metric(found: Sequence[Metric], wishes: Wishes) -> Metric | None:
    """The metric that a person named, else the likeliest."""
    name = wishes.metric
    if wishes.reading:
        text = name or (wishes.key or "").replace(".", "_") or "metric"
        return Metric(text, goal_of(text), "", "", 0.0, wishes.pattern, wishes.file, wishes.key)
    if name is None:
        return found[0] if found else None
    return next((m for m in found if m.name == name), None)


def _no_metric(found: Found, script: str | None, wishes: Wishes) -> str:
    there = ", ".join(m.name for m in found.metrics(script)[:8])
    flags = r"--metric NAME --pattern 'val_loss: ([-+.\w]+)', or --file FILE --key KEY"
    what = f"{script} reports nothing" if script else "nothing tells what the command reports"
    if wishes.metric is not None:
        listed = f" (found: {there})" if there else ""
        return f"--metric {wishes.metric}: not found in what is printed{listed}; say how: {flags}"
    return f"{what} that looks like a metric: say what it reports with {flags}"


def _source(place: Place) -> list[Entry]:
    if place.revision is None:
        return [Entry(("task", "source"), place.source)]
    why = "as you said" if place.chosen else "the newest when this was written"
    return [
        Entry(("task", "source"), place.source),
        Entry(("task", "revision"), place.revision, why),
    ]


def _budget(
    wishes: Wishes,
    running: Running | None,
    metric: Metric,
    editable: Sequence[str],
    notes: list[str],
) -> list[Entry]:
    told = "{seconds}" in (wishes.command or "") or (running is not None and running.told_seconds)
    lengths = running.lengths if running is not None else ()
    timed = next((each for each in lengths if each.seconds and each.value), None)
    usual = running.usual if running is not None and wishes.command is None else None
    own = usual if told else timed
    seconds = wishes.seconds or (own and own.value) or SECONDS
    why = "as you said" if wishes.seconds is not None else "the usual five minutes of a trial"
    if told:
        if usual is not None and wishes.seconds is None:
            why = f"{usual.name} in {usual.where}"
        why += "; the script is told"
    elif timed is not None and wishes.seconds is None:
        why = f"{timed.name} in {timed.where}, which the script keeps to by itself"
    entries = [Entry(("budget", "seconds"), float(seconds), why)]
    if wishes.command is None:
        notes += [
            f"{each.name} ({each.where}) counts no seconds, and is not told the budget: to set "
            f"it, give the whole command with --command"
            for each in lengths
            if each.unit != 1.0 and each.name.startswith("-") and each.value != seconds
        ]
    if not told and timed is None:
        steps = next((each for each in lengths if not each.seconds), None)
        if metric.looped:
            words = (
                "reports as it goes and knows no seconds: ended then, and the last report counts"
            )
            entries.append(Entry(("task", "budget"), "enforced", words))
            if steps is not None:
                notes.append(
                    f"{_length(steps)} says when it ends: an edit that trains for longer is ended "
                    "by the budget alone, which is to fit what it takes now"
                )
        else:
            notes.append(_untold(steps, editable))
    elif not told and timed is not None and timed.where.partition(":")[0] in editable:
        notes.append(
            f"{timed.name} ({timed.where}) stands in a file that may be edited: an edit may raise "
            "it, up to task.deadline"
        )
    return entries


def _untold(steps: Length | None, editable: Sequence[str]) -> str:
    length, risk = "the script itself", ""
    if steps is not None:
        length = _length(steps)
        if steps.where.partition(":")[0] in editable:
            risk = ", and an edit may raise it"
    return (
        f"its length is no time: {length} says when it ends{risk}. task.deadline alone stops what "
        "takes longer"
    )


def _length(steps: Length) -> str:
    value = f" = {steps.value:g}" if steps.value is not None else ""
    return f"{steps.name}{value} ({steps.where})"


def _editable_words(sources: Sources, script: str | None, editable: Sequence[str]) -> str:
    why = "what may be edited; all else is protected, and compared after each run"
    if script is None:
        return why
    fixed = [n for n in protected_files(sources, script, editable) if sources.modules[n].text]
    return why + (f", such as {', '.join(fixed[:4])}" if fixed else "")


def _setup(setup: Setup, running: Running | None, sources: Sources) -> list[Entry]:
    entries = []
    if setup.command is not None:
        entries.append(Entry(("task", "setup"), setup.command, setup.why))
    env = dict(running.env) if running is not None else {}
    paths = [*setup.paths, *(["src"] if "src/" in sources.roots else [])]
    paths += ["."] if running is not None and running.from_top else []
    if paths:
        env["PYTHONPATH"] = ":".join(paths)
    if env:
        entries.append(Entry(("task", "env"), env, "what it reads from its environment"))
    return entries


def _network(wishes: Wishes) -> list[Entry]:
    if not wishes.network:
        return []
    why = "as you said: edited code can then fetch and send what it likes"
    return [Entry(("task", "network", "trials"), True, why)]


def _mounts(sources: Sources, script: str | None, place: Place, notes: list[str]) -> list[Entry]:
    """Folders that git ignores, so that they don't travel, and that the sources name."""
    if script is None or place.revision is not None:
        return []
    texts = [sources.modules[n].text for n in sources.reached(script) if n in sources.modules]
    named = [
        folder
        for folder in sources.snapshot.ignored
        if re.search(r"data|cache|corpus|input|token", folder)
        and any(re.search(rf"['\"/]{re.escape(folder)}['\"/]", text) for text in texts)
    ]
    if not named:
        return []
    notes.append(f"{', '.join(named)}: ignored by git, so each node must have it at the same path")
    mounts = [f"{place.source}/{folder}:~/{folder}" for folder in named]
    return [Entry(("task", "mounts"), mounts, "read by the script, and ignored by git")]


def _metric(metric: Metric, wishes: Wishes, notes: list[str]) -> list[Entry]:
    goal = wishes.goal or metric.goal
    if wishes.goal is None and not knows(metric.name):
        notes.append(f"lower {metric.name} is taken to be better; if not, say --maximize")
    shown = metric.shown if len(metric.shown) <= 70 else f"{metric.shown[:67]}..."
    why = f"{metric.where}: {shown}" if metric.where else "as you said"
    entries = [Entry(("task", "metric", "name"), metric.name, why)]
    if goal == "maximize":
        entries.append(Entry(("task", "metric", "goal"), goal, "higher is better"))
    where = {"pattern": metric.pattern, "file": metric.file, "key": metric.key}
    said = (Entry(("task", "metric", key), value) for key, value in where.items() if value)
    return [*entries, *said]


def _gpu_words(running: Running | None, gpus: float) -> str:
    if gpus:
        return "the sources speak of CUDA"
    if running is not None and running.wants_gpu:
        return "this machine has no GPU; with 1 on one that has"
    return "nothing in the sources asks for a GPU"


def _leaves(values: Mapping[str, Any], path: Key) -> list[tuple[Key, Any]]:
    found: list[tuple[Key, Any]] = []
    for name, value in values.items():
        here = (*path, name)
        if isinstance(value, Mapping) and here not in (("task", "env"), ("task", "metrics")):
            found += _leaves(value, here)
        else:
            found.append((here, value))
    return found
