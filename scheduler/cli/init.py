"""The verb `init`: a repository becomes a configuration, directions, and one baseline that ran."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from scheduler.cli.stage import Stage
    from scheduler.init.draft import Found, Place
    from scheduler.init.offer import Offer
    from scheduler.session import Materials
    from scheduler.study.config import Config


def init(
    repository: Annotated[
        str, typer.Argument(metavar="FOLDER", help="A repository: a folder, or a git address.")
    ],
    revision: Annotated[
        str | None, typer.Option("--revision", help="Commit, tag or branch. Default: the newest.")
    ] = None,
    script: Annotated[
        str | None, typer.Option("--script", metavar="FILE", help="The training script.")
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            "--command",
            metavar="LINE",
            help="How a training is started. {seed}, {seconds}, {gpus} and {python} stand for the "
            "trial's own.",
        ),
    ] = None,
    editable: Annotated[
        list[str] | None,
        typer.Option("--editable", metavar="GLOB", help="What may be edited; repeatable."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", metavar="NAME", help="What ranks.")
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            "--pattern", metavar="RE", help="Regular expression for the line that has it."
        ),
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="JSON file that has it.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="KEY", help="Where in it: validation.loss")
    ] = None,
    maximize: Annotated[
        bool | None,
        typer.Option("--maximize/--minimize", help="Which is better. Default: by its name."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=1, help="Budget of a trial.")
    ] = None,
    setup: Annotated[
        str | None,
        typer.Option("--setup", metavar="LINE", help="Run once on each node; '' for none."),
    ] = None,
    network: Annotated[
        bool | None, typer.Option("--network/--no-network", help="Whether trials may use it.")
    ] = None,
    gpus: Annotated[
        float | None, typer.Option("--gpus", min=0, help="Of a trial. Default: as it looks.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for both files. Default: NAME-research."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take what fits.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    baseline: Annotated[
        bool, typer.Option("--baseline/--no-baseline", help="Run it once, and say what it shows.")
    ] = True,
) -> None:
    """Look at a repository, write a configuration and program.md for it, run the baseline once.

    Asks for the script, the metric and the budget, with what was found as the answer; on a pipe,
    or with --yes, it takes that. Exit code 1: the files are written, and the baseline failed.
    """
    from scheduler.cli.asking import ask
    from scheduler.cli.stage import Stage
    from scheduler.errors import UsageError
    from scheduler.init.draft import Wishes, find
    from scheduler.init.offer import locate, make_offer, output_folder
    from scheduler.init.snapshot import take_snapshot
    from scheduler.init.sources import read_sources

    wishes = Wishes(
        script=script,
        command=command,
        editable=tuple(editable or ()),
        metric=metric,
        pattern=pattern,
        file=file,
        key=key,
        goal=None if maximize is None else "maximize" if maximize else "minimize",
        seconds=seconds,
        setup=setup,
        network=network,
        gpus=gpus,
    )
    if (pattern is not None or file is not None) and metric is None and key is None:
        raise UsageError("--metric: name what --pattern or --file reads, such as --metric val_loss")
    stage = Stage(plain=False)
    folder, place = locate(repository, revision)
    with stage.wait("looking at the repository"):
        found = find(read_sources(take_snapshot(folder)))
    _report(stage, found, folder, by_preset=not wishes.changes_the_task)
    asks = sys.stdin.isatty() and not yes
    if asks:
        wishes = ask(found, wishes)
    offer = make_offer(found, wishes, place, folder)
    target = output_folder(out, folder, offer.name)
    _check_free(offer.paths(target), asks=asks, force=force)
    with stage.wait("reading the files that a trial takes along"):
        config, materials = offer.checked()
    offer.write(target, config, materials)
    _tell(stage, offer, target)
    for note in materials.notes:
        stage.say(f"note    {note}")
    good = True
    if baseline:
        good = _baseline(stage, offer, target, config, materials, place)
    _end(stage, offer, target, materials, folder, good=good)
    if not good:
        raise typer.Exit(1)


def _report(stage: "Stage", found: "Found", folder: Path, *, by_preset: bool) -> None:
    from scheduler.figures import count
    from scheduler.init.known import known_preset

    names = found.sources.snapshot.names
    stage.say(
        f"found   {count(len(names), 'file')} in {folder}, {len(found.sources.modules)} of Python"
    )
    if preset := known_preset(found.sources.snapshot):
        taken = "" if by_preset else ", and is not taken, since the flags say otherwise"
        stage.say(f"known   by its files: the preset {preset} fits{taken}")
        if by_preset:
            return
    for script in found.scripts[:3]:
        stage.say(f"script  {script.name}: {script.why}")


def _check_free(paths: tuple[Path, ...], *, asks: bool, force: bool) -> None:
    from scheduler.cli.asking import may_overwrite
    from scheduler.errors import UsageError

    there = [path for path in paths if path.exists() or path.is_symlink()]
    if not there or force:
        return
    names = ", ".join(map(str, there))
    if not (asks and may_overwrite(names)):
        raise UsageError(f"{names}: there already; overwrite with --force, or choose another --out")


def _tell(stage: "Stage", offer: "Offer", target: Path) -> None:
    for line in offer.summary():
        stage.say(line)
    for note in offer.draft.notes:
        stage.say(f"note    {note}")
    for path in offer.paths(target):
        stage.say(f"wrote   {path}")


def _baseline(
    stage: "Stage",
    offer: "Offer",
    target: Path,
    config: "Config",
    materials: "Materials",
    place: "Place",
) -> bool:
    """Run it, and say what it showed; whether it is good, or can't be known here."""
    from scheduler.errors import StudyError
    from scheduler.init.baseline import run_baseline
    from scheduler.init.verdict import fitting_limit, unable, verdict

    wanted = config.workers.gpus_per_trial
    if wanted > place.gpus:
        stage.say(
            f"the baseline is not run: a trial claims {wanted:g} GPU, and {place.gpus or 'none'} "
            "is here. Run init again where there is one, or with --gpus 0 if it can do without"
        )
        return True
    words = "setting up, and running the baseline once" if config.task.setup else (
        "running the baseline once"
    )  # fmt: skip
    stage.say(f"{words} (at most {config.deadline_seconds():g} s; Ctrl-C ends it)")
    try:
        with stage.wait(words):
            outcome = run_baseline(config, materials)
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error
    except StudyError as error:
        for line in unable(str(error)):
            stage.say(f"wrong   {line}")
        return False
    files = {*materials.baseline.files, *(name for name, _ in materials.bundles.task.files)}
    seen = verdict(config, outcome, files)
    for line in seen.lines:
        stage.say(f"{'saw' if seen.good else 'wrong':<7} {line}")
    limit = fitting_limit(config, outcome)
    took = outcome.timings.train
    if limit is not None and offer.amend(target, limit, took, config, materials):
        stage.say(
            f"wrote   {'.'.join(limit[0])}: {limit[1]:g}, since the script knows no seconds; an "
            "edit that trains for longer is stopped there"
        )
    return seen.good


def _end(
    stage: "Stage",
    offer: "Offer",
    target: Path,
    materials: "Materials",
    folder: Path,
    *,
    good: bool,
) -> None:
    from agent.source import constants_of

    if not good:
        stage.say("Put that right in the configuration, or give flags and --force. And then:")
    start = offer.start(target, folder)
    if not constants_of(materials.baseline.files):
        stage.say("no constants in capitals stand in the editable files: the study needs a model")
        start += " --model NAME"
    stage.say(f"start   {start}")
