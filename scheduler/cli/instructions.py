"""The verbs `tell` and `instructions`: what a person asks for while the study runs."""

from dataclasses import replace
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
from scheduler.cli.source import Fate, Sent

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
        str | None, typer.Option("--withdraw", metavar="ID", help="Take an instruction back.")
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

    if text is not None and withdraw is not None:
        raise UsageError(
            "a text and --withdraw: one queues an instruction, one takes one back; do one at a time"
        )
    if text is None and withdraw is None:
        raise UsageError('say what to look into: autoresearch tell "try a larger batch"')
    if text is not None and not 1 <= len(text.strip()) <= LONGEST_TEXT:
        raise UsageError(
            f"an instruction has 1 to {LONGEST_TEXT} characters; more belongs into program.md"
        )
    with choose(study, url, token_file) as source:
        letter: Instruct | Withdraw
        if text is None:
            assert withdraw is not None
            if not withdraw.isdecimal():
                _take_back(source, withdraw, json=json)
                return
            _check_open(source, int(withdraw))
            letter = Withdraw(instruction=int(withdraw))
        else:
            letter = Instruct(text=text.strip(), priority=priority, lifetime=experiments)
        sent = source.send(letter)
        made = None
        if sent.fate is Fate.DONE:
            made = _find(source, sent.number)
        done, also = _words(source, letter, sent)
        finish(source, sent, done, {"instruction": made}, json=json, also=also)


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
    console.print(texts.instructions(found, [(each.name, each.text) for each in waiting]))
    if source.self_reported and any(each.results for each in found):
        console.print(Text(f"figures: {texts.line(source.metric).plain}", style="dim"))
    if waiting:
        words = "waiting: the study takes them up when it runs"
        console.print(Text(f"{words} (autoresearch tell --withdraw ID)", style="dim"))


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


def _take_back(source: "Source", name: str, *, json: bool) -> None:
    """Take an instruction back that no running study has taken up."""
    from scheduler.errors import UsageError

    letter = next((each for each in source.unread() if name in (each.name, each.key)), None)
    if letter is None or not source.take_back(letter):
        raise UsageError(
            f"no instruction {name} waits in {source.where}; "
            "their ids are in: autoresearch instructions"
        )
    sent = Sent(letter.key, "withdraw", Fate.DONE)
    done = f"instruction {letter.name} is taken back: the study is not told of it"
    finish(source, sent, done, {"instruction": None}, json=json)


def _words(
    source: "Source", letter: "Instruct | Withdraw", sent: Sent
) -> tuple[str, tuple[str, ...]]:
    """What to say where it was done, and what else is to be known of it."""
    if letter.kind == "withdraw":
        return f"instruction {sent.number} is withdrawn", ()
    also = []
    if sent.fate is Fate.WAITING:
        name = replace(letter, key=sent.key).name  # a server gives it a key of its own
        also.append(f"its id until then: {name}, as in: autoresearch tell --withdraw {name}")
    if not source.has_models():
        also.append("no language model is set, and the tuner reads none: resume with --model NAME")
    done = f"instruction {sent.number} is queued; what came of it: autoresearch instructions"
    return done, tuple(also)
