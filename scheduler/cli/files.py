"""The verbs `log`, `best`, `export` and `plot`: files that a study gives to people."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scheduler.cli.reading import (
    JsonOption,
    StudyOption,
    TokenFileOption,
    UrlOption,
    choose,
    choose_here,
    find_experiment,
    print_json,
    screen,
)
from scheduler.cli.show import ExperimentArgument
from scheduler.figures import count

if TYPE_CHECKING:
    from scheduler.cli.local import LocalSource

FORMATS = {
    "tsv": "results.tsv",
    "csv": "results.csv",
    "parquet": "results.parquet",
    "html": "report.html",
    "git": "repository",
}
TRACKERS = ("wandb", "mlflow", "tensorboard")


def log(
    experiment: ExperimentArgument,
    study: StudyOption = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the experiment is decided.")
    ] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", min=0, help="Only the last so many lines.")
    ] = None,
    trial: Annotated[
        int | None, typer.Option("--trial", min=0, help="Only this trial; show ID numbers them.")
    ] = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    json: JsonOption = False,
) -> None:
    """Print what an experiment's trials printed, one after the other."""
    from scheduler.cli import texts
    from scheduler.errors import UsageError

    if follow and json:
        raise UsageError("--follow prints lines as they come, --json one document: choose one")
    with choose(study, url, token_file) as source:
        find_experiment(source, experiment)
        if trial is not None:
            numbers = [each.id for each in source.trials(experiment)]
            if trial not in numbers:
                there = ", ".join(map(str, numbers)) or "none yet"
                raise UsageError(f"experiment {experiment} has no trial {trial}; it has: {there}")
        text, position = source.log(experiment, trial)
        if tail is not None:
            text = "".join(text.splitlines(keepends=True)[-tail:] if tail else [])
        if json:
            print_json({"experiment": experiment, "log": text})
            return
        console = screen()
        console.print(texts.block(text), end="", soft_wrap=True)
        if follow:
            for fresh in source.follow(experiment, position, trial):
                console.print(texts.block(fresh), end="", soft_wrap=True)


def best(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the champion's code there.")
    ] = None,
    study: StudyOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    json: JsonOption = False,
) -> None:
    """Say where the champion's code is, or write it out."""
    from scheduler.cli import texts
    from scheduler.errors import UsageError

    with choose(study, url, token_file) as source:
        champion = source.live()[0].study.champion
        if champion is None:
            raise UsageError(f"{source.where}: there is no champion yet")
        files = source.files(champion.experiment)
        if output is None:
            paths = [source.best_file(name) for name in files]
        else:
            paths = [str(path) for path in _write(output, files)]
        warnings = source.order().about(champion.experiment)
        repeats = find_experiment(source, champion.experiment).repeats
    if json:
        document = {
            "experiment": champion.experiment,
            "metric": champion.metric,
            "repeats": repeats,
            "self_reported": source.self_reported,
        }
        print_json({**document, "files": paths, "warnings": warnings})
        return
    console = screen()
    words = f"experiment {champion.experiment}, {source.metric} {texts.metric(champion.metric)}"
    words += f" ({repeats.words})" if repeats else ""
    console.print(texts.line(words))
    for name, doubt in texts.doubts(warnings):
        console.print(f"{name}: ", doubt, sep="")
    for path in paths:
        console.print(texts.block(path), soft_wrap=True)


def export(
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            help="tsv, csv, parquet, html (a report), git (a branch), wandb, mlflow, tensorboard;"
            " or several: tsv,csv.",
        ),
    ] = "tsv",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file, or a folder for several.")
    ] = None,
    study: StudyOption = None,
    json: JsonOption = False,
) -> None:
    """Write tables of all experiments, or a report. Default: results.tsv in the study's folder.

    git writes the branch autoresearch/NAME with one commit for each experiment that was kept, into
    the repository that --output names or lies in, from its HEAD on, or into a new one where it
    names a new or empty folder. With several formats that is OUTPUT/repository.
    Into wandb, mlflow and tensorboard go the trials that they don't have yet, one run each: with
    --output as files in that folder, otherwise where the study's configuration says (track.*).
    """
    from scheduler.cli import trackers as to_trackers
    from scheduler.errors import UsageError
    from scheduler.study.atomic import replacing
    from scheduler.study.exports import write_csv, write_parquet, write_tsv

    names = [each.strip() for each in formats.split(",")]
    known = (*FORMATS, *TRACKERS)
    if unknown := [each for each in names if each not in known]:
        raise UsageError(f"--format {unknown[0]}: unknown; there are {', '.join(known)}")
    trackers = [each for each in names if each in TRACKERS]
    to_trackers.check(trackers, output)
    names = [each for each in names if each in FORMATS]
    if output is not None and names:
        make_folder(output if len(names) > 1 else output.parent, f"--output {output}")
    with choose_here(study) as chosen:
        place = chosen.folder.path if output is None else output
        paths = {n: place / FORMATS[n] if place.is_dir() else place for n in names}
        if output is not None and names == ["git"]:
            paths["git"] = output
        try:
            if "tsv" in paths:
                write_tsv(chosen.reader, paths["tsv"], metric=chosen.metric)
            if "csv" in paths:
                write_csv(chosen.reader, paths["csv"])
            if "parquet" in paths:
                write_parquet(chosen.reader, paths["parquet"], metric=chosen.metric)
            if "html" in paths:
                with replacing(paths["html"]) as draft:
                    draft.write_bytes(chosen.report(["html"])[FORMATS["html"]])
            branch = _write_git(chosen, paths["git"]) if "git" in paths else {}
            sent = to_trackers.send(trackers, chosen, output)
        except OSError as error:
            raise UsageError(f"{place}: can't be written ({error.strerror})") from error
    if json:
        document = {"files": list(paths.values())}
        print_json(document | branch | ({"sent": sent} if sent else {}))
        return
    _tell(list(paths.values()), json=False)
    for name, each in sent.items():
        words = f"{name}: {each.runs} sent, {each.in_all} in all; {each.place}"
        screen().print(words, soft_wrap=True)


def _write_git(chosen: "LocalSource", folder: Path) -> dict[str, object]:
    """Write the branch, say so, and return what is told of it as JSON."""
    from scheduler.study.git_export import write_git
    from scheduler.study.task_section import BUNDLED

    task = chosen.config.task
    is_here = task.source != BUNDLED and not task.is_url
    branch = write_git(
        chosen.reader,
        folder,
        name=chosen.name,
        metric=chosen.metric,
        source=Path(task.source).expanduser().absolute() if is_here else None,
    )
    words = f"{branch.name}: {count(branch.commits, 'commit')}, the newest {branch.tip[:7]}"
    typer.echo(words, err=True)
    return {"branch": branch.name, "commits": branch.commits, "tip": branch.tip}


def check_png(path: Path) -> Path:
    """The path, where it names a PNG file or none. Raises UsageError."""
    from scheduler.errors import UsageError

    if path.suffix.lower() not in ("", ".png"):
        raise UsageError(f"{path}: pictures are PNG files; name it {path.with_suffix('.png')}")
    return path


def make_folder(folder: Path, wanted: str) -> None:
    """Make the folder that an option wants files in. Raises UsageError, which names the option."""
    from scheduler.errors import UsageError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "is a file" if folder.exists() else f"can't be made ({error.strerror})"
        raise UsageError(f"{wanted}: the folder {folder} {why}") from error


def plot(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A PNG file.")] = None,
    study: StudyOption = None,
    json: JsonOption = False,
) -> None:
    """Draw all experiments and the best so far. Default: progress.png in the study's folder."""
    from scheduler.errors import UsageError
    from scheduler.study.plot import write_plot

    with choose_here(study) as chosen:
        path = chosen.folder.progress if output is None else check_png(output)
        if path.is_dir():
            path /= chosen.folder.progress.name
        make_folder(path.parent, f"--output {path}")
        try:
            write_plot(chosen.reader, path, metric=chosen.metric, minimize=chosen.minimize)
        except OSError as error:
            raise UsageError(f"{path}: can't be written ({error.strerror})") from error
    _tell([path], json=json)


def _tell(paths: list[Path], *, json: bool) -> None:
    if json:
        print_json({"files": paths})
        return
    for path in paths:
        screen().print(str(path), soft_wrap=True)


def _write(output: Path, files: Mapping[str, str]) -> list[Path]:
    """Write the files into a folder, or a single one to a file; return where they are."""
    from scheduler.errors import UsageError

    single = len(files) == 1 and not output.is_dir()
    targets = {output if single else output / name: text for name, text in files.items()}
    try:
        for path, text in targets.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"{output}: can't be written ({error.strerror})") from error
    return list(targets)
