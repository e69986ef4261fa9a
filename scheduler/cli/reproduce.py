"""The verb `reproduce`: an experiment run again, and whether its figure is where it should be."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from scheduler.cli.reading import (
    JsonOption,
    StudyArgument,
    StudyOption,
    choose_here,
    one_name,
    print_json,
    screen,
)
from scheduler.cli.show import ExperimentArgument
from scheduler.figures import amount, change, count, degrees_of_freedom, figure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scheduler.reproduction import Recorded
    from scheduler.rules.reproducing import Comparison, Verdict
    from workers import Outcome, Progress


def reproduce(
    experiment: ExperimentArgument,
    argument: StudyArgument = None,
    study: StudyOption = None,
    trial: Annotated[
        int | None,
        typer.Option("--trial", min=1, help="With the seed of this trial of it. Default: 1."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="With this seed instead.")
    ] = None,
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, max=100, help="So many trials, each with its seed.")
    ] = 1,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also where task or data are not the study's.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Run an experiment again and say whether the figure is within its interval.

    On this machine, from what the study's folder holds; the study may be running and is not
    touched. Exit code 0: within, or it fails as it did; 1: not, or nobody can say.
    """
    from scheduler.cli import texts
    from scheduler.errors import UsageError
    from scheduler.reproduction import Bench, compare_with, pace, recorded, seeds_for
    from scheduler.study.live import read_live

    if trial is not None and seed is not None:
        raise UsageError("--trial and --seed: both choose the seed, give one")
    with choose_here(one_name(argument, study)) as source:
        held = recorded(source.reader, experiment)
        wanted = seeds_for(held, source.config, trial=trial, seed=seed, repeats=repeats)
        bench = Bench(source.config, lambda line: typer.echo(line, err=True))
        differences = bench.differences(held)
        if differences and not anyway:
            raise UsageError(
                f"{'; '.join(differences)}. Its figures would not compare with the study's; run "
                "it nevertheless with --anyway"
            )
        notes = bench.notes(held)
        if read_live(source.folder.live) is not None:
            notes.append("the study runs now: on the same machine each slows the other down")
        if not json:  # before the minutes that it takes: which study it is
            words = f"#{experiment} of {source.where}: {held.experiment.title}"
            screen().print(texts.line(words, "bold"))
        outcomes = {}
        try:
            for place, (number, chosen) in enumerate(wanted, 1):
                tell = _teller(f"trial {place} of {len(wanted)}, seed {chosen}")
                outcomes[number, chosen] = bench.run(held, number, chosen, tell)
        except KeyboardInterrupt as error:
            raise typer.Exit(130) from error
        found = compare_with(source.reader, source.config, held, outcomes, differences)
        verdict = _verdict(held, outcomes, found)
        if words := pace(source.config, held, outcomes.values()):
            notes.insert(0, words)
        metric, address = source.metric, source.address
    if json:
        print_json(_document(address, held, outcomes, found, verdict, differences, notes))
    else:
        _print(metric, held, outcomes, found, verdict, notes)
    if not verdict.is_reproduced:
        raise typer.Exit(1)


def _teller(what: str) -> "Callable[[Progress], None]":
    """Says on a terminal where a trial is; on a pipe, nothing."""
    shown = ""

    def tell(progress: "Progress") -> None:
        nonlocal shown
        words = f"{what}: {progress.phase} {100 * progress.fraction:.0f} %"
        if words != shown and sys.stderr.isatty():
            print(words, file=sys.stderr)  # noqa: T201
            shown = words

    return tell


def _verdict(
    held: "Recorded",
    outcomes: "Mapping[tuple[int, int], Outcome]",
    found: "Comparison | None",
) -> "Verdict":
    from scheduler.rules.reproducing import Verdict

    if found is not None:
        return found.verdict
    failed = [each for each in outcomes.values() if each.metric is None]
    if held.failure is not None and len(failed) == len(outcomes):
        again = all(each.status is held.failure.status for each in failed)
        return Verdict.FAILED_AGAIN if again else Verdict.FAILED
    return Verdict.FAILED if failed else Verdict.UNKNOWN


def _print(
    metric: str,
    held: "Recorded",
    outcomes: "Mapping[tuple[int, int], Outcome]",
    found: "Comparison | None",
    verdict: "Verdict",
    notes: list[str],
) -> None:
    from rich.text import Text

    from scheduler.cli import texts

    console = screen()
    for each in held.trials:
        if each.outcome is not None:
            words = _figure(each.outcome)
            console.print(texts.line(f"study  trial {each.number}, seed {each.seed}: {words}"))
    for (_, seed), outcome in outcomes.items():
        console.print(texts.line(f"here   seed {seed}: {_figure(outcome)}"))
    for line in _sentences(metric, found, verdict):
        console.print(Text(texts.block(line).plain), soft_wrap=True)
    for note in notes:
        console.print(texts.block(f"note: {note}"), soft_wrap=True)


def _figure(outcome: "Outcome") -> str:
    if outcome.metric is None:
        return f"{outcome.status}: {outcome.reason}" if outcome.reason else str(outcome.status)
    steps = (
        f" in {count(outcome.steps, 'step')}" if outcome.steps else ""
    )  # a command does not tell
    return f"{figure(outcome.metric)}{steps} on {outcome.hardware or 'unknown'}"


def _sentences(metric: str, found: "Comparison | None", verdict: "Verdict") -> list[str]:
    """What it amounts to."""
    from scheduler.rules.reproducing import Verdict

    if found is None:
        return {
            Verdict.FAILED_AGAIN: ["it fails here as it did in the study"],
            Verdict.FAILED: ["it fails here, and not so in the study: not reproduced"],
        }.get(verdict, ["it failed in the study, and has a figure here: nothing to compare with"])
    difference = f"difference {change(found.difference)}"
    lines = []
    if found.interval is not None:
        noise, (low, high) = found.noise, found.interval
        over = f"{count(found.counted, 'trial')} of the study"
        lines.append(
            f"expected {metric} {figure(found.expected)} over {over}; 95 % of new means lie "
            f"between {figure(low)} and {figure(high)} (sigma {amount(noise.sigma or 0.0)}, "
            f"{degrees_of_freedom(noise.degrees)}"
            f"{', from the trials made here' * found.own_noise})"
        )
    endings = {
        Verdict.WITHIN: "within the interval: reproduced"
        + ", as far as such an interval can tell" * bool(found.caution),
        Verdict.OUTSIDE: "outside of the interval: not reproduced",
    }
    if found.identical and verdict is Verdict.WITHIN:
        ending = "the same to the last digit: reproduced"
    else:
        ending = endings.get(verdict, f"no verdict: {found.why}")
    lines.append(f"{difference}; {ending}")
    if found.caution and verdict is Verdict.WITHIN:
        lines.append(f"note: {found.caution}")
    if found.why and verdict is not Verdict.UNKNOWN:
        lines.append(f"note: {found.why}")
    return lines


def _document(
    address: str,
    held: "Recorded",
    outcomes: "Mapping[tuple[int, int], Outcome]",
    found: "Comparison | None",
    verdict: "Verdict",
    differences: list[str],
    notes: list[str],
) -> object:
    interval = None
    if found is not None and found.interval is not None:
        interval = {
            "low": found.interval[0],
            "high": found.interval[1],
            "sigma": found.noise.sigma,
            "degrees": found.noise.degrees,
            "from": "here" if found.own_noise else "study",
        }
    here = [
        {
            "seed": seed,
            "status": each.status,
            "metric": each.metric,
            "reason": each.reason,
            "steps": each.steps,
            "hardware": each.hardware,
        }
        for (_, seed), each in outcomes.items()
    ]
    study = [
        {
            "trial": each.number,
            "seed": each.seed,
            "status": each.outcome.status,
            "metric": each.outcome.metric,
            "hardware": each.outcome.hardware,
        }
        for each in held.trials
        if each.outcome is not None
    ]
    return {
        "path": address,
        "experiment": held.experiment.id,
        "verdict": verdict,
        "why": found.why if found else "",
        "caution": found.caution if found and verdict is verdict.WITHIN else "",
        "expected": found.expected if found else None,
        "measured": found.measured if found else None,
        "difference": found.difference if found else None,
        "interval": interval,
        "identical": found.identical if found else False,
        "comparable": bool(found)
        and {e["hardware"] for e in here} <= {e["hardware"] for e in study}
        and not differences,
        "study": study,
        "here": here,
        "differences": differences,
        "notes": notes,
    }
