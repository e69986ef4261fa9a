"""What the tools ask of a study, as their answers.

In: a study, by the seam that the verbs of the command line stand on. Out: typed answers of bounded
size. Raises UsageError and StudyError, with what to do.
"""

from collections.abc import Mapping

from scheduler.cli.reading import find_experiment
from scheduler.cli.source import Source
from scheduler.errors import UsageError
from scheduler.mcp import answers as out
from scheduler.mcp.quoting import LONGEST_CODE, code, quoted_diff, quoted_log
from scheduler.study.exports import notebook_text
from scheduler.study.patch import unified_diff
from scheduler.study.records import Experiment

MOST_INSTRUCTIONS = 50


def goal(source: Source) -> str:
    """In which direction better lies."""
    return "minimize" if source.minimize else "maximize"


def limits(source: Source) -> tuple[out.Figure, ...]:
    """What is known of each trial beside its metric, with what it must keep to."""
    return tuple(map(out.Figure.of, source.measurement.figures))


def study_answer(source: Source) -> out.StudyAnswer:
    """From the live view."""
    live, running = source.live()
    study = live.study
    best = live.champion.id if live.champion else 0
    return out.StudyAnswer(
        name=source.name,
        where=source.where,
        running=running,
        resume="" if running else source.resume,
        state=study.state,
        why=study.reason or "",
        about=study.text,
        metric=source.metric,
        self_reported=source.self_reported,
        measured=source.measurement.metric,
        limits=limits(source),
        goal=goal(source),
        budget=live.budget,
        champion=out.Brief.of(live.champion) if live.champion else None,
        baseline=study.baseline,
        experiments=study.experiments,
        counts=study.counts,
        editable=tuple(sorted(source.files(best))),
        may_write=str(source.editable),
        slots=tuple(slot for one in live.slots if (slot := out.Slot.of(one))),
        queue=tuple(map(out.Brief.of, live.queue[:10])),
        recent=tuple(map(out.Brief.of, live.recent[:10])),
        open_instructions=study.open_instructions,
        troubles=study.troubles,
        calls=study.calls,
        dollars=study.dollars,
    )


def champion_answer(source: Source) -> out.ChampionAnswer:
    """The champion with its files. Raises UsageError where there is none."""
    live, _ = source.live()
    champion = live.study.champion
    if champion is None:
        raise UsageError(
            "there is no champion yet: the baseline is not measured. Its code is that of "
            "experiment 0: read_file"
        )
    one = find_experiment(source, champion.experiment)
    files = source.files(one.id)
    whole = _that_fit(files)
    return out.ChampionAnswer(
        experiment=out.Brief.of(one),
        number=champion.number,
        metric=champion.metric,
        self_reported=source.self_reported,
        baseline=live.study.baseline,
        figures=next((out.figures_beside(t) for t in source.trials(one.id) if t.outcome), {}),
        limits=limits(source),
        hypothesis=one.hypothesis,
        evidence=one.reason or ("the baseline" if one.parent is None else ""),
        doubts=source.order().about(one.id),
        files=whole,
        left_out=tuple(sorted(files.keys() - whole.keys())),
    )


def _that_fit(files: Mapping[str, str]) -> dict[str, str]:
    """The files that may come along: the smallest first, until there is no more room."""
    fit, room = {}, LONGEST_CODE
    for path, text in sorted(files.items(), key=lambda each: len(each[1])):
        if (room := room - len(text)) >= 0:
            fit[path] = code(text)
    return fit


def leaders_answer(source: Source, limit: int) -> out.Leaders:
    """The best."""
    leaders = tuple(map(out.Brief.of, source.leaders(limit)))
    return out.Leaders(
        metric=source.metric,
        self_reported=source.self_reported,
        goal=goal(source),
        leaders=leaders,
    )


def difference(source: Source, before: int, after: int) -> out.TextAnswer:
    """The difference between two experiments' code. Raises UsageError."""
    for number in (before, after):
        find_experiment(source, number)
    text = unified_diff(source.files(before), source.files(after))
    return out.TextAnswer(text=quoted_diff(text, before, after))


def log_answer(source: Source, number: int, lines: int | None) -> out.TextAnswer:
    """What an experiment's trials printed. Raises UsageError."""
    find_experiment(source, number)
    return out.TextAnswer(text=quoted_log(source.log(number)[0], number, lines))


def experiment_answer(
    source: Source, number: int, diff: bool, log_lines: int
) -> out.ExperimentAnswer:
    """An experiment with what belongs to it. Raises UsageError."""
    one = find_experiment(source, number)
    changes = log = ""
    if diff and one.parent is not None:
        text = unified_diff(source.files(one.parent), source.files(number))
        changes = quoted_diff(text, one.parent, number)
    if log_lines and (printed := source.log(number)[0]):
        log = quoted_log(printed, number, log_lines)
    return out.ExperimentAnswer(
        **out.Brief.of(one).model_dump(),
        self_reported=source.self_reported,
        hypothesis=one.hypothesis,
        expected=one.expected,
        lesson=one.lesson,
        to_champion=to_champion(source, one),
        instruction=one.instruction,
        doubts=source.order().about(number),
        trials=tuple(map(out.Trial.of, source.trials(number)[-out.MOST_TRIALS :])),
        diff=changes,
        log=log,
    )


def to_champion(source: Source, one: Experiment) -> float | None:
    """How far its metric is from the champion's; None where they can't be compared."""
    champion = source.live()[0].champion
    if champion is None or champion.metric is None or one.metric is None:
        return None
    return one.metric - champion.metric if champion.hardware == one.hardware else None


def file_answer(
    source: Source, path: str, experiment: int | None, first_line: int, lines: int
) -> out.FileAnswer:
    """Lines of a file. Raises UsageError where there is no such experiment or file."""
    if experiment is None:
        champion = source.live()[0].study.champion
        experiment = champion.experiment if champion else 0
    find_experiment(source, experiment)
    files = source.files(experiment)
    if (text := files.get(path)) is None:
        raise UsageError(
            f"experiment {experiment} has no editable file {path}; it has {', '.join(files)}"
        )
    every = text.splitlines(keepends=True)
    found, room = [], LONGEST_CODE
    for line in every[first_line - 1 :][:lines]:
        if (room := room - len(line)) < 0:
            break
        found.append(line)
    if not found and first_line <= len(every):
        raise UsageError(f"{path}: line {first_line} alone is too long to be shown")
    return out.FileAnswer(
        experiment=experiment,
        path=path,
        text=code("".join(found)),
        first_line=first_line,
        lines=len(every),
        complete=len(found) == len(every),
    )


def instructions_answer(source: Source, open_only: bool) -> out.Instructions:
    """The newest instructions, with what came of each."""
    found = source.instructions(open_only=open_only)
    shown = found[:MOST_INSTRUCTIONS] if open_only else found[-MOST_INSTRUCTIONS:]
    return out.Instructions(
        metric=source.metric,
        self_reported=source.self_reported,
        instructions=tuple(
            out.Asked(
                id=each.instruction.id,
                text=each.instruction.text,
                priority=each.instruction.priority,
                state=each.instruction.state,
                results=tuple(
                    out.Result(experiment=one.id, state=one.state, metric=one.metric)
                    for one in each.results[-MOST_INSTRUCTIONS:]
                ),
            )
            for each in shown
        ),
        unread=tuple(each.text for each in source.unread()[:MOST_INSTRUCTIONS]),
        left_out=len(found) - len(shown),
    )


def notebook(source: Source) -> str:
    """The notebook and the lessons since."""
    return notebook_text(source, source.metric if source.self_reported else "")


def report(source: Source) -> str:
    """The report's Markdown."""
    files = source.report(["md"])
    return next(text for name, text in files.items() if name.endswith(".md")).decode("utf-8")
