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
            made = next((e for e in source.instructions() if e.id == sent.number), None)
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
    from scheduler.study.letters import Instruct

    with choose(study, url, token_file) as source:
        found = source.instructions()
        waiting = [each for each in source.unread() if isinstance(each, Instruct)]
        if json:
            print_json({"instructions": found, "waiting": waiting})
            return
        results = {n: source.experiment(n) for each in found for n in each.experiments}
    console = screen()
    if not found and not waiting:
        console.print('none yet; queue one with: autoresearch tell "..."')
        return
    rows = [
        texts.InstructionRow(
            str(each.id),
            each.state.value,
            each.text,
            [e for n in each.experiments if (e := results[n])],
        )
        for each in found
    ]
    rows += [texts.InstructionRow(texts.NONE, "waiting", each.text, []) for each in waiting]
    console.print(texts.instructions(rows))
    if waiting:
        console.print(Text("waiting: the study takes them up when it runs", style="dim"))


def _check_open(source: "Source", number: int) -> None:
    from scheduler.errors import UsageError

    found: InstructionRecord | None = next(
        (each for each in source.instructions() if each.id == number), None
    )
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
