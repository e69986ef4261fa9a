"""The verb `report`: what a scientist wants to know of a study, as a page and as Markdown."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from scheduler.cli.files import make_folder
from scheduler.cli.reading import (
    JsonOption,
    StudyArgument,
    StudyOption,
    TokenFileOption,
    UrlOption,
    choose,
    one_name,
    print_json,
    screen,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def report(
    argument: StudyArgument = None,
    study: StudyOption = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="A file, or a folder: one that exists, or OUT/."),
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", help="html, md, or both with a comma between.")
    ] = "html",
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    json: JsonOption = False,
) -> None:
    """Write a report of a study, running or not.

    Question, method, noise, progress, what was kept and on what evidence, what failed, who
    proposed, cost, how to reproduce. Default: report.html in the study's folder; of a study behind
    a URL, in the current one. HTML is one file, Markdown has its pictures beside it.
    """
    from scheduler.errors import UsageError
    from scheduler.study.report import FORMATS

    wanted = [each.strip() for each in formats.split(",")]
    if unknown := [each for each in wanted if each not in FORMATS]:
        raise UsageError(f"--format {unknown[0]}: unknown; there are {' and '.join(FORMATS)}")
    target = None if output is None else Path(output)
    # As with export, a new name is a folder's where several formats go there.
    is_folder = target is None or target.is_dir() or len(set(wanted)) > 1
    is_folder = is_folder or str(output).endswith("/")
    with choose(one_name(argument, study), url, token_file) as source:
        files = dict(source.report(wanted))
        place = _home(source.where) if target is None else target
    if not is_folder:
        assert target is not None
        files, place = _named(files, FORMATS[wanted[0]], target.name), target.parent
    if target is not None:
        make_folder(place, f"--output {output}")
    paths = _write(files, place)
    if json:
        print_json({"files": paths})
        return
    for path in paths:
        screen().print(str(path), soft_wrap=True)


def _home(where: str) -> Path:
    """Where it goes if nobody says: a study's own folder, or for one behind a URL the current."""
    return Path() if "://" in where else Path(where)


def _named(files: "Mapping[str, bytes]", whole: str, name: str) -> dict[str, bytes]:
    """The same under the name that a person gave; pictures, and where they are named, too."""
    stem, chosen = Path(whole).stem, Path(name).stem
    pictures = [each for each in files if each != whole]
    text = files[whole]
    for each in pictures:
        new = each.replace(stem, chosen, 1)
        text = text.replace(f"]({each})".encode(), f"]({quote(new)})".encode())
    renamed = {each.replace(stem, chosen, 1): files[each] for each in pictures}
    return {name: text, **renamed}


def _write(files: "Mapping[str, bytes]", place: Path) -> list[Path]:
    from scheduler.errors import UsageError
    from scheduler.study.report import write_report

    try:
        return write_report(files, place)
    except OSError as error:
        hint = "; name another place with --output"
        raise UsageError(f"{place}: can't be written ({error.strerror}){hint}") from error
