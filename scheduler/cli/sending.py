"""What the verbs that write share: send a letter, say what came of it, and with which exit code.

In: a letter and the study that it is for. Out: a sentence or a JSON document. Exit codes: 0 where
it is done or will be; 1 where the study refused it, or does not run and it means nothing then.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from scheduler.cli.reading import print_json, screen
from scheduler.cli.source import Fate, Sent

if TYPE_CHECKING:
    from scheduler.cli.source import Source
    from scheduler.study.letters import AnyLetter

NOTHING_TO = {
    "pause": "there is nothing to pause",
    "unpause": "there is nothing to go on with",
    "stop": "there is nothing to stop",
}


def deliver(source: "Source", letter: "AnyLetter", done: str, *, json: bool) -> None:
    """Send a letter and say what came of it; `done` where it was done, `{}` being the number."""
    sent = source.send(letter)
    finish(source, sent, done.format(sent.number), {}, json=json)


def finish(
    source: "Source",
    sent: Sent,
    done: str,
    more: Mapping[str, object],
    *,
    json: bool,
    also: Sequence[str] = (),
) -> None:
    """Say what came of a letter that was sent. `more` is for the JSON document alone.

    `also`: lines that follow where it was done or will be.
    """
    from scheduler.cli import texts
    from scheduler.errors import StudyError

    failed = sent.fate in (Fate.REFUSED, Fate.NOT_RUNNING)
    words = done if sent.fate is Fate.DONE else otherwise(source, sent)
    if json:
        facts = {"key": sent.key, "fate": sent.fate, "number": sent.number, "why": sent.why}
        print_json({**facts, **more})
        if failed:
            raise typer.Exit(1)
        return
    if failed:
        raise StudyError(words)
    for each in (words, *also):
        screen().print(texts.block(each), soft_wrap=True)


def otherwise(source: "Source", sent: Sent) -> str:
    """What to say where a letter was not done."""
    match sent.fate:
        case Fate.REFUSED:
            return f"refused: {sent.why}"
        case Fate.NOT_RUNNING if sent.why:
            return sent.why
        case Fate.NOT_RUNNING:
            why = (
                f"{source.where} does not run: {NOTHING_TO.get(sent.kind, 'it means nothing now')}"
            )
            return f"{why}. To make it run: {source.resume}"
        case Fate.WAITING:
            return (
                "left in the study's mailbox: it takes it up when it runs again. "
                f"To make it run: {source.resume}"
            )
        case _:
            return "left in the study's mailbox: it is busy and takes it up soon"
