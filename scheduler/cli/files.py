"""The verbs `log`, `best`, `export` and `plot`: files that a study gives to people."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from scheduler.cli.reading import Chosen, JsonOption, StudyOption, choose, print_json, screen
from scheduler.cli.show import ExperimentArgument

POLL_SECONDS = 0.2
CHUNK = 1 << 16  # bytes
FORMATS = {"tsv": "results.tsv", "csv": "results.csv"}


def log(
    experiment: ExperimentArgument,
    study: StudyOption = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the experiment is decided.")
    ] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", min=0, help="Only the last so many lines.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Print what an experiment's trials printed."""
    from scheduler.cli import texts
    from scheduler.errors import UsageError

    if follow and json:
        raise UsageError("--follow prints lines as they come, --json one document: choose one")
    with choose(study) as chosen:
        chosen.experiment(experiment)
        text, position = _so_far(chosen, experiment)
        if tail is not None:
            text = "".join(text.splitlines(keepends=True)[-tail:] if tail else [])
        if json:
            print_json({"experiment": experiment, "log": text})
            return
        console = screen()
        console.print(texts.block(text), end="", soft_wrap=True)
        if follow:
            for fresh in _follow(chosen, experiment, position):
                console.print(texts.block(fresh), end="", soft_wrap=True)


def best(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the champion's code there.")
    ] = None,
    study: StudyOption = None,
    json: JsonOption = False,
) -> None:
    """Say where the champion's code is, or write it out."""
    from scheduler.cli import texts
    from scheduler.errors import UsageError

    with choose(study) as chosen:
        champion = chosen.reader.study().champion
        if champion is None:
            raise UsageError(f"{chosen.folder.path}: there is no champion yet")
        files = chosen.reader.files(champion.experiment)
        if output is None:
            paths = [chosen.folder.best / name for name in files]
        else:
            paths = _write(output, files)
        if json:
            document = {"experiment": champion.experiment, "metric": champion.metric}
            print_json({**document, "files": paths})
            return
        console = screen()
        words = f"experiment {champion.experiment}, {chosen.metric} {champion.metric:.6f}"
        console.print(texts.line(words))
        for path in paths:
            console.print(texts.block(str(path)), soft_wrap=True)


def export(
    formats: Annotated[
        str, typer.Option("--format", help="tsv, csv, or both with a comma between.")
    ] = "tsv",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file, or a folder for several.")
    ] = None,
    study: StudyOption = None,
    json: JsonOption = False,
) -> None:
    """Write tables of all experiments. Default: results.tsv in the study's folder."""
    from scheduler.errors import UsageError
    from scheduler.study.exports import write_csv, write_tsv

    names = [each.strip() for each in formats.split(",")]
    if unknown := [each for each in names if each not in FORMATS]:
        raise UsageError(f"--format {unknown[0]}: unknown; there are {' and '.join(FORMATS)}")
    if output is not None and len(names) > 1 and not output.is_dir():
        raise UsageError(f"--output {output}: several formats need a folder that exists")
    with choose(study) as chosen:
        place = chosen.folder.path if output is None else output
        paths = {n: place / FORMATS[n] if place.is_dir() else place for n in names}
        try:
            if "tsv" in paths:
                write_tsv(chosen.reader, paths["tsv"], metric=chosen.metric)
            if "csv" in paths:
                write_csv(chosen.reader, paths["csv"])
        except OSError as error:
            raise UsageError(f"{place}: can't be written ({error.strerror})") from error
    _tell(list(paths.values()), json=json)


def plot(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A PNG file.")] = None,
    study: StudyOption = None,
    json: JsonOption = False,
) -> None:
    """Draw all experiments and the best so far. Default: progress.png in the study's folder."""
    from scheduler.errors import UsageError
    from scheduler.study.plot import write_plot

    with choose(study) as chosen:
        path = chosen.folder.progress if output is None else output
        if path.is_dir():
            path /= chosen.folder.progress.name
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


def _so_far(chosen: Chosen, experiment: int) -> tuple[str, int]:
    """The log, and its length in bytes; the tail that the database keeps where it has no file."""
    try:
        data = chosen.folder.experiment(experiment).log.read_bytes()
    except FileNotFoundError:
        outcomes = [t.outcome for t in chosen.reader.trials(experiment) if t.outcome is not None]
        return outcomes[-1].log if outcomes else "", 0
    return data.decode("utf-8", "replace"), len(data)


def _follow(chosen: Chosen, experiment: int, position: int) -> Iterator[str]:
    """What is added to the log, until the experiment is decided or nothing runs the study."""
    from scheduler.study.live import read_live

    path = chosen.folder.experiment(experiment).log
    over = False
    while True:
        size = path.stat().st_size if path.exists() else 0
        if size < position:
            # Begun anew: by another trial, or to put the whole log in its place a moment later.
            time.sleep(POLL_SECONDS)
            position = 0 if path.stat().st_size < position else position
        while data := _read(path, position):
            position += len(data)
            yield data.decode("utf-8", "replace")
        if over:
            return
        # Decided before the last lines are written: one more round reads them.
        over = chosen.experiment(experiment).state.is_final or read_live(chosen.folder.live) is None
        time.sleep(POLL_SECONDS)


def _read(path: Path, position: int) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(position)
        return file.read(CHUNK)


def _write(output: Path, files: dict[str, str]) -> list[Path]:
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
