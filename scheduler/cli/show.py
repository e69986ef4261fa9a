"""The verbs `show` and `diff`: one experiment, and what it changed."""

from typing import TYPE_CHECKING, Annotated

import typer

from scheduler.cli.reading import (
    JsonOption,
    StudyOption,
    TokenFileOption,
    UrlOption,
    choose,
    find_experiment,
    print_json,
    screen,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from scheduler.cli.source import Source
    from scheduler.cli.texts import Fitted
    from scheduler.study.records import Experiment, TrialRecord

LOG_LINES = 15
GIB = 2**30
DIFF_STYLES = (("+++", "bold"), ("---", "bold"), ("@@", "cyan"), ("+", "green"), ("-", "red"))

ExperimentArgument = Annotated[int, typer.Argument(metavar="ID", help="An experiment's id.")]


def show(
    experiment: ExperimentArgument,
    prompt: Annotated[
        bool, typer.Option("--prompt", help="The call that it came from: prompt, answer, cost.")
    ] = False,
    study: StudyOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    json: JsonOption = False,
) -> None:
    """Show everything about one experiment."""
    from rich.text import Text

    from scheduler.cli import texts
    from scheduler.rules.states import ExperimentState

    with choose(study, url, token_file) as source:
        found = find_experiment(source, experiment)
        if prompt:
            _show_call(source, found, json=json)
            return
        trials = source.trials(experiment)
        constants = _changed(source, found)
        kept = found.state is ExperimentState.KEEP
        warnings = source.order().about(experiment) if kept else ()
        if json:
            document = {"experiment": found, "changed_constants": constants, "trials": trials}
            told = {"warnings": warnings, "self_reported": source.self_reported}
            print_json({**document, **told})
            return
        console = screen()
        facts = _facts(source, found, constants)
        for name, doubt in texts.doubts(warnings):
            facts.add_row(name, doubt)
        console.print(facts)
        if trials:
            console.print(Text("\ntrials", style="bold"))
            console.print(_trials(trials))
        for trial in trials:
            console.print(texts.block(_details(trial)))
        failed = [t.outcome for t in trials if t.outcome is not None and t.outcome.metric is None]
        if failed and failed[-1].log:
            tail = "\n".join(failed[-1].log.splitlines()[-LOG_LINES:])
            console.print(Text("\nend of the log", style="bold"))
            console.print(texts.block(tail), soft_wrap=True)


def diff(
    experiment: ExperimentArgument,
    other: Annotated[
        int | None, typer.Argument(metavar="[OTHER]", help="Compare with this one instead.")
    ] = None,
    study: StudyOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    json: JsonOption = False,
) -> None:
    """Show what an experiment changed in its parent.

    With a second id: the way from the first experiment to the second.
    """
    from scheduler.cli import texts
    from scheduler.errors import UsageError
    from scheduler.study.patch import unified_diff

    with choose(study, url, token_file) as source:
        found = find_experiment(source, experiment)
        before, after = (found.parent, found.id) if other is None else (found.id, other)
        if before is None:
            raise UsageError(
                f"experiment {experiment} is a baseline, without a parent; "
                f"name another one: autoresearch diff {experiment} ID"
            )
        find_experiment(source, after)
        text = unified_diff(source.files(before), source.files(after))
    if json:
        print_json({"from": before, "to": after, "diff": text})
        return
    console = screen()
    for each in texts.block(text).plain.splitlines():
        style = next((style for start, style in DIFF_STYLES if each.startswith(start)), "")
        console.print(each, style=style, soft_wrap=True)


def _show_call(source: "Source", experiment: "Experiment", *, json: bool) -> None:
    """The call to a model that an experiment came from."""
    from rich.text import Text

    from scheduler.cli import texts
    from scheduler.errors import UsageError

    call = source.call(experiment)
    if call is None:
        raise UsageError(
            f"experiment {experiment.id} came from no model, but from: {experiment.origin}"
        )
    if json:
        print_json({"experiment": experiment.id, "call": call})
        return
    console = screen()
    dollars = "price not known" if call.dollars is None else f"{call.dollars:.4f} $"
    tokens = f"{call.input_tokens:,} tokens in, {call.output_tokens:,} out"
    console.print(
        texts.line(
            f"{call.model}, call {call.id} ({call.purpose}): {tokens}, {dollars}, "
            f"{call.seconds:.1f} s"
        )
    )
    for message in call.prompt:
        console.print(Text(f"\n--- {message.role}", style="bold"))
        console.print(texts.block(message.text), soft_wrap=True)
    console.print(Text("\n--- answer", style="bold"))
    console.print(texts.block(call.answer), soft_wrap=True)


def _changed(
    source: "Source", experiment: "Experiment"
) -> dict[str, dict[str, int | float | None]]:
    """The constants that differ from the parent's, before and after."""
    parent = None if experiment.parent is None else source.experiment(experiment.parent)
    if parent is None:
        return {}
    names = [*parent.constants, *(n for n in experiment.constants if n not in parent.constants)]
    pairs = {n: (parent.constants.get(n), experiment.constants.get(n)) for n in names}
    return {n: {"before": old, "after": new} for n, (old, new) in pairs.items() if old != new}


def _facts(
    source: "Source", experiment: "Experiment", constants: dict[str, dict[str, int | float | None]]
) -> "Table":
    from rich.table import Table
    from rich.text import Text

    from scheduler.cli import texts
    from scheduler.reasons import decision

    live, _ = source.live()
    champion = live.study.champion
    reference = champion.metric if champion else None
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("experiment", Text(f"#{experiment.id}", style="bold"))
    grid.add_row("title", texts.block(experiment.title))
    state = texts.state(experiment)
    if reason := decision(experiment):
        state = Text.assemble(state, f": {texts.block(reason).plain}")
    grid.add_row("state", state)
    if experiment.metric is not None:
        compares = live.champion is None or live.champion.hardware == experiment.hardware
        away = texts.difference(experiment.metric, reference if compares else None)
        grid.add_row(
            texts.line(source.metric), f"{texts.metric(experiment.metric)} ({away} to the champion)"
        )
        if experiment.repeats is not None:
            grid.add_row("", experiment.repeats.words)
        if len(live.study.hardware) > 1:
            grid.add_row("measured on", texts.block(experiment.hardware))
    elif source.self_reported and experiment.state.is_final:
        # The reason may say what its metric was: of one that is rejected for its memory.
        grid.add_row(texts.line(source.metric), texts.NONE)
    parent = texts.NONE if experiment.parent is None else f"#{experiment.parent}"
    grid.add_row("parent", parent)
    grid.add_row("origin", texts.line(experiment.origin))
    grid.add_row("hypothesis", texts.block(experiment.hypothesis))
    for name, value in (("expected", experiment.expected), ("lesson", experiment.lesson)):
        if value:
            grid.add_row(name, texts.block(value))
    for name, words in _kin(experiment).items():
        grid.add_row(name, words)
    if experiment.staleness:
        grid.add_row(
            "staleness", f"new champions between its briefing and its start: {experiment.staleness}"
        )
    for number, (name, pair) in enumerate(constants.items()):
        values = (texts.NONE if value is None else f"{value:g}" for value in pair.values())
        words = f"{texts.line(name).plain} {' -> '.join(values)}"
        grid.add_row("constants" if number == 0 else "", words)
    return grid


def _trials(trials: "Sequence[TrialRecord]") -> "Fitted":
    """Trials with the seconds of each phase; where it is narrow, of the training alone."""
    from rich.table import Table

    from scheduler.cli import texts

    def make(width: int) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        phases = ("startup", "warm-up", "train", "eval", "teardown")
        shown = phases if width >= texts.NARROW else ("train",)
        for title in ("trial", "state", "metric", *shown):
            table.add_column(title, justify="left" if title == "state" else "right", no_wrap=True)
        for trial in trials:
            outcome = trial.outcome
            if outcome is None:
                row = [trial.state.value, texts.NONE, *[texts.NONE] * len(shown)]
            else:
                took = outcome.timings
                seconds = (took.startup, took.warm_up, took.train, took.eval, took.teardown)
                by_phase = dict(zip(phases, seconds, strict=True))
                row = [outcome.status.value, texts.metric(outcome.metric)]
                words = {phase: f"{by_phase[phase]:.1f} s" for phase in shown}
                if outcome.warm and "startup" in words:  # in a process that was started before
                    words["startup"] += " warm"
                row += [words[phase] for phase in shown]
            table.add_row(str(trial.id), *row)
        return table

    return texts.Fitted(make)


def _kin(experiment: "Experiment") -> dict[str, str]:
    """What else of the study it has to do with."""
    edits = ", ".join(f"#{number}" for number in experiment.rebases)
    were = "it was" if len(experiment.rebases) == 1 else "they were"
    words = {
        "mends": (experiment.mends, f"#{experiment.mends}, which crashed"),
        "rebases": (edits or None, f"{edits}, overtaken before {were} confirmed"),
        "ablates": (experiment.ablates, f"its parent without the edit of #{experiment.ablates}"),
        "combines": (experiment.combines, f"its parent with #{experiment.combines}"),
        "serves": (experiment.instruction, f"instruction {experiment.instruction}"),
        "call": (experiment.call, f"{experiment.call} (see it with --prompt)"),
    }
    return {name: text for name, (of, text) in words.items() if of is not None}


def _details(trial: "TrialRecord") -> str:
    """What stands in no column of the table, in one line."""
    from scheduler.figures import count, figure
    from scheduler.rules.states import TrialKind
    from workers.command import SELF_REPORTED

    parts = [f"trial {trial.id}: seed {trial.seed}"]
    if trial.kind is not TrialKind.USUAL:
        parts.append("with the longer budget, decides nothing")
    if trial.slot is not None:
        parts.append(f"slot {trial.slot}")
    if trial.reason:
        parts.append(trial.reason)
    if (outcome := trial.outcome) is not None:
        if outcome.steps:  # a program of one's own does not tell
            parts += [count(outcome.steps, "step"), f"{outcome.tokens:,} tokens"]
            parts.append(f"{outcome.parameters:,} parameters")
        parts += [f"{name} {value:.6g}" for name, value in outcome.metrics.items()]
        if outcome.audit_metric is not None:
            parts.append(f"{figure(outcome.audit_metric)} on the audit split")
        if outcome.hardware:
            parts.append(f"on {outcome.hardware}{_pinned(outcome.gpu_ids)}")
        parts.append(f"memory {outcome.peak_memory_bytes / GIB:.2f} GiB")
        if outcome.peak_device_memory_bytes:
            parts.append(f"device memory {outcome.peak_device_memory_bytes / GIB:.2f} GiB")
        if outcome.sandbox:
            parts.append(f"sandbox {outcome.sandbox}")
        if outcome.judge:
            told = "its metric is" if outcome.judge == SELF_REPORTED else "judged by the"
            parts.append(f"{told} {outcome.judge}")
        if outcome.reason:
            parts.append(outcome.reason)
    return ", ".join(parts)


def _pinned(gpu_ids: tuple[str, ...]) -> str:
    return f" ({', '.join(gpu_ids)})" if gpu_ids else ""
