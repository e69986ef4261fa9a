"""What the verbs share: choosing a study, here or behind a URL, and printing as text or as JSON.

In: the name, path or URL that a person gave. Out: the study as a `Source`, which may be running. On
a pipe, text is as wide as 80 columns and has no colours.
"""

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from scheduler.cli.local import LocalSource
    from scheduler.cli.source import Source
    from scheduler.study.records import Experiment

URL = "AUTORESEARCH_URL"
TOKEN, READ_TOKEN = "AUTORESEARCH_TOKEN", "AUTORESEARCH_READ_TOKEN"

StudyOption = Annotated[
    str | None,
    typer.Option("--study", "-s", help="Name (below studies/) or folder. Default: the latest."),
]
StudyArgument = Annotated[
    str | None, typer.Argument(help="Name (below studies/) or folder. Default: the latest.")
]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help=f"Ask a study's server instead, with the token in {TOKEN}. Default: {URL}, if set.",
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option("--token-file", metavar="FILE", help=f"Read the token here instead of {TOKEN}."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def one_name(argument: str | None, study: str | None) -> str | None:
    """The study that a person named, as the argument or as --study. Raises UsageError for two."""
    from scheduler.errors import UsageError

    if argument is not None and study is not None and argument != study:
        raise UsageError(f"{argument} and --study {study}: these are two studies, name one")
    return study if argument is None else argument


@contextmanager
def choose(wanted: str | None, url: str | None, token_file: Path | None) -> "Iterator[Source]":
    """Open a study by its name or path, the latest one, or the one behind a URL.

    A study that is named goes before the URL of the environment. Raises UsageError, StudyError.
    """
    address = check_choice(wanted, url, token_file)
    if address is None:
        with choose_here(wanted) as here:
            yield here
        return
    from scheduler.cli.remote import open_url

    with open_url(address, _token(token_file)) as there:
        yield there


def check_choice(wanted: str | None, url: str | None, token_file: Path | None) -> str | None:
    """The URL to ask, or None where the study is here. Raises UsageError where both are meant."""
    from scheduler.errors import UsageError

    if wanted is not None and url is not None:
        raise UsageError("--study and --url: a study is here or there, choose one")
    address = url or (os.environ.get(URL) if wanted is None else None) or None
    if address is None and token_file is not None:
        raise UsageError(f"--token-file: for a study behind a URL; name it with --url or {URL}")
    return address


@contextmanager
def choose_here(wanted: str | None) -> "Iterator[LocalSource]":
    """Open a study of this machine by its name or path, or the latest one.

    Raises UsageError where none is named and the environment means one behind a URL: the latest
    study of this machine is another one.
    """
    from scheduler.cli.local import open_folder
    from scheduler.errors import UsageError
    from scheduler.study.folder import StudyFolder
    from scheduler.study.names import latest_study, resolve_study

    if wanted is None and os.environ.get(URL):
        raise UsageError(
            f"{URL} is set, and this verb reads a study's folder: name the study, or unset {URL}"
        )
    folder = latest_study() if wanted is None else StudyFolder(resolve_study(wanted))
    if wanted is not None and not folder.exists and StudyFolder(Path(wanted)).exists:
        folder = StudyFolder(Path(wanted))  # a folder's bare name, from the folder above it
    with open_folder(folder) as source:
        yield source


def _token(file: Path | None) -> str | None:
    from scheduler.errors import UsageError

    if file is None:
        return os.environ.get(TOKEN) or os.environ.get(READ_TOKEN) or None
    try:
        token = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {file}: can't be read ({error})") from error
    if not token:
        raise UsageError(f"--token-file {file}: it is empty")
    return token


def find_experiment(source: "Source", number: int) -> "Experiment":
    """An experiment by its id; raises UsageError where there is none."""
    from scheduler.errors import UsageError

    experiment = source.experiment(number)
    if experiment is None:
        count = source.live()[0].study.experiments
        there = f"0 to {count - 1}" if count else "none yet"
        raise UsageError(f"no experiment {number} in {source.where} (there are: {there})")
    return experiment


def screen() -> "Console":
    """Where text goes."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def print_json(value: object) -> None:
    """Print one JSON document: numbers as numbers, what there is not as null."""
    json.dump(plain(value), sys.stdout, indent=2, allow_nan=False, ensure_ascii=False)
    sys.stdout.write("\n")


def plain(value: Any) -> Any:
    """Records as what JSON knows. NaN and infinity are no JSON: null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return value
