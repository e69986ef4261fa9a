"""The verb `submit`: a person's own edit, or another program's, as an experiment."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scheduler.cli.reading import (
    JsonOption,
    StudyOption,
    TokenFileOption,
    UrlOption,
    choose,
    find_experiment,
)
from scheduler.cli.sending import finish

if TYPE_CHECKING:
    from agent.globs import Editable
    from scheduler.cli.source import Source
    from scheduler.study.letters import Submit


def submit(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Edited files, or a folder that holds them."),
    ],
    title: Annotated[str, typer.Option("--title", "-t", help="What is tried, in one line.")],
    hypothesis: Annotated[
        str, typer.Option("--hypothesis", help="Why it should lower the metric.")
    ] = "",
    expected: Annotated[
        str, typer.Option("--expected", help="Of the metric, to compare with what comes of it.")
    ] = "",
    parent: Annotated[
        int | None,
        typer.Option("--parent", metavar="ID", help="What was edited. Default: the champion."),
    ] = None,
    instruction: Annotated[
        int | None, typer.Option("--instruction", metavar="ID", help="The one that it serves.")
    ] = None,
    study: StudyOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    json: JsonOption = False,
) -> None:
    """Queue your own edit as an experiment, before all others.

    The files are taken whole, and only those that the study edits. Checked like any proposal: it
    must parse, define what the task calls, and be code that was not tried before.
    """
    with choose(study, url, token_file) as source:
        base, number = base_of(source, parent)
        letter = _letter(
            title=title,
            files=read_edit(files, base, source.editable),
            hypothesis=hypothesis,
            parent=parent,
            expected=expected,
            instruction=instruction,
        )
        if not source.live()[1]:  # what runs checks it itself, a moment later
            check_waiting(letter, base, source)
        sent = source.send(letter)
        done = (
            f"experiment {sent.number} is queued, before all others; it edits "
            f"{'the code of the task' if number is None else f'experiment {number}'}. "
            f"See it with: autoresearch show {sent.number}"
        )
        finish(source, sent, done, {"experiment": sent.number}, json=json)


def read_edit(
    paths: Sequence[Path], base: Mapping[str, str], editable: "Editable"
) -> dict[str, str]:
    """The edited files by the names that the study has for them. Raises UsageError.

    `base` are the files of what was edited. A folder is searched for these, and for new ones that
    are `editable`; a single file may have any name where the study edits just one.
    """
    from scheduler.errors import UsageError

    edit: dict[str, str] = {}
    for path in paths:
        found = (
            _in_folder(path, base, editable)
            if path.is_dir()
            else {_name(path, base, editable): path}
        )
        for name, place in found.items():
            if name in edit:
                raise UsageError(f"{place}: {name} is given twice")
            try:
                edit[name] = place.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or "not UTF-8 text"
                raise UsageError(f"{place}: can't be read ({why})") from error
    return edit


def _in_folder(folder: Path, base: Mapping[str, str], editable: "Editable") -> dict[str, Path]:
    from scheduler.errors import UsageError

    found = {name: folder / name for name in base if (folder / name).is_file()}
    if editable.patterns:
        inside = (path for path in sorted(folder.rglob("*")) if path.is_file())
        named = ((path.relative_to(folder).as_posix(), path) for path in inside)
        found |= {name: path for name, path in named if editable.allows(name)}
    if not found:
        raise UsageError(f"{folder}: holds none of the files that are edited: {', '.join(base)}")
    return found


def _name(path: Path, base: Mapping[str, str], editable: "Editable") -> str:
    """What the study calls a file."""
    from scheduler.errors import UsageError

    given = path.as_posix()
    if given not in base and editable.allows(given):
        return given
    if len(base) == 1:
        return next(iter(base))
    close = [name for name in base if given == name or given.endswith(f"/{name}")]
    close = close or [name for name in base if Path(name).name == path.name]
    if len(close) == 1 or not base:
        return close[0] if close else path.name
    raise UsageError(f"{path}: which file of the study is it? It edits {', '.join(base)}")


def base_of(source: "Source", parent: int | None) -> tuple[Mapping[str, str], int | None]:
    """The files that were edited, and the experiment whose they are: for now, without a parent."""
    if parent is not None:
        find_experiment(source, parent)
        return source.files(parent), parent
    champion = source.live()[0].study.champion
    number = champion.experiment if champion else 0
    if source.experiment(number) is None:
        return {}, None
    return source.files(number), number


def _letter(**fields: object) -> "Submit":
    """The letter, checked as the study will check it on reading. Raises UsageError."""
    from pydantic import TypeAdapter, ValidationError

    from scheduler.errors import UsageError
    from scheduler.study.letters import Submit

    try:
        return TypeAdapter(Submit).validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise UsageError(f"--{name}: {first['msg'].lower()}") from error


def check_waiting(letter: "Submit", base: Mapping[str, str], source: "Source") -> None:
    """Refuse what the study would refuse once it runs: nobody is there to see it then."""
    from agent.check import Refusal, same_code
    from scheduler.cli.local import LocalSource
    from scheduler.correspondence import check_edit
    from scheduler.errors import UsageError

    if not base:
        return
    whole = check_edit(
        letter, 0, base, self_reported=source.self_reported, editable=source.editable
    )
    if isinstance(whole, Refusal):
        raise UsageError(f"refused: {whole.reason}")
    tried = None
    if isinstance(source, LocalSource):
        tried = source.reader.same_code(whole.fingerprint)
    if tried is not None:
        raise UsageError(f"refused: {same_code(f'experiment {tried}')}")
