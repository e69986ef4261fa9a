"""The verb `notebook`: what the study has learned, readable for people."""

from pathlib import Path
from typing import Annotated

import typer

from scheduler.cli.reading import (
    JsonOption,
    StudyOption,
    TokenFileOption,
    UrlOption,
    choose,
    print_json,
    screen,
)

NEWEST = 25  # lessons that the notebook does not cover yet


def notebook(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it to a Markdown file.")
    ] = None,
    study: StudyOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    json: JsonOption = False,
) -> None:
    """Show what the study has learned: its notebook, and the lessons since."""
    from scheduler.cli import texts
    from scheduler.errors import UsageError
    from scheduler.study.exports import notebook_text

    with choose(study, url, token_file) as source:
        found = source.notebook()
        after = found.upto if found else 0
        lessons = source.lessons(after=after, limit=NEWEST)
        if json:
            print_json({"notebook": found, "lessons": lessons})
            return
        text = notebook_text(source, source.metric if source.self_reported else "")
    if output is None:
        screen().print(texts.block(text), soft_wrap=True)
        return
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"{output}: can't be written ({error.strerror})") from error
    screen().print(str(output), soft_wrap=True)
