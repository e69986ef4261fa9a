"""The verbs `tell` and `instructions`: what a person asks for while the study runs."""

from typing import TYPE_CHECKING, Annotated

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
from scheduler.cli.sending import finish
from scheduler.cli.source import Fate

if TYPE_CHECKING:
    from scheduler.cli.source import Source
    from scheduler.study.letters import Instruct, Withdraw
    from scheduler.study.records import InstructionRecord


def tell(
    text: Annotated[
        str | None, typer.Argument(help="What the study should look into, in your words.")
    ] = None,
    priority: Annotated[
        int, typer.Option("--priority", min=-1000, max=1000, help="Higher goes first.")
    ] = 0,
    experiments: Annotated[
        int | None,
        typer.Option(
            "--for", min=1, metavar="N", help="Give up after N experiments without serving it."
        ),
    ] = None,
    withdraw: Annotated[
        int | None, typer.Option("--withdraw", metavar="ID", help="Take an instruction back.")
    ] = None,
    study: StudyOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    json: JsonOption = False,
) -> None:
    """Queue an instruction; the next briefing of a language model holds it.

    It stays open until an experiment that names it was kept or discarded. Also while the study
    does not run: then it waits.
    """
    from scheduler.errors import UsageError
    from scheduler.study.letters import LONGEST_TEXT, Instruct, Withdraw

    if (text is None) == (withdraw is None):
        raise UsageError('say what to look into: autoresearch tell "try a larger batch"')
    if text is not None and not 1 <= len(text.strip()) <= LONGEST_TEXT:
        raise UsageError(
            f"an instruction has 1 to {LONGEST_TEXT} characters; more belongs into program.md"
        )
    with choose(study, url, token_file) as source:
        letter: Instruct | Withdraw
        if text is None:
            assert withdraw is not None
            _check_open(source, withdraw)
            letter = Withdraw(instruction=withdraw)
        else:
            letter = Instruct(text=text.strip(), priority=priority, lifetime=experiments)
        sent = source.send(letter)
        made = None
        if sent.fate is Fate.DONE:
            made = _find(source, sent.number)
        finish(source, sent, _done(source, letter, sent.number), {"instruction": made}, json=json)


def instructions(
    study: StudyOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    json: JsonOption = False,
) -> None:
    """List the instructions and what came of each."""
    from rich.text import Text

    from scheduler.cli import texts

    with choose(study, url, token_file) as source:
        found, waiting = source.instructions(), source.unread()
    if json:
        print_json({"instructions": [each.instruction for each in found], "waiting": waiting})
        return
    console = screen()
    if not found and not waiting:
        console.print('none yet; queue one with: autoresearch tell "..."')
        return
    console.print(texts.instructions(found, [each.text for each in waiting]))
    if source.self_reported and any(each.results for each in found):
        console.print(Text(f"figures: {texts.line(source.metric).plain}", style="dim"))
    if waiting:
        console.print(Text("waiting: the study takes them up when it runs", style="dim"))


def _find(source: "Source", number: int | None) -> "InstructionRecord | None":
    every = (each.instruction for each in source.instructions())
    return next((each for each in every if each.id == number), None)


def _check_open(source: "Source", number: int) -> None:
    from scheduler.errors import UsageError

    found = _find(source, number)
    if found is None:
        raise UsageError(f"no instruction {number} in {source.where}")
    if found.state.is_final:
        raise UsageError(f"instruction {number} is {found.state} already")


def _done(source: "Source", letter: "Instruct | Withdraw", number: int | None) -> str:
    if letter.kind == "withdraw":
        return f"instruction {number} is withdrawn"
    words = f"instruction {number} is queued; what came of it: autoresearch instructions"
    if not source.has_models():
        words += "\nno language model is set, and the tuner reads none: resume with --model NAME"
    return words
