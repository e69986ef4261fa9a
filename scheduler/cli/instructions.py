"""The verbs `tell` and `instructions`: what a person asks for while the study runs."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from scheduler.cli.reading import JsonOption, StudyOption, choose, print_json, screen

if TYPE_CHECKING:
    from scheduler.cli.reading import Chosen
    from scheduler.study.records import InstructionRecord

TAKEN_UP_SECONDS = 5.0  # a running study looks into its mailbox once a second
POLL_SECONDS = 0.1


def tell(
    text: Annotated[
        str | None, typer.Argument(help="What the study should look into, in your words.")
    ] = None,
    priority: Annotated[int, typer.Option("--priority", help="Higher goes first. Default: 0.")] = 0,
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
    json: JsonOption = False,
) -> None:
    """Queue an instruction; the next briefing of a language model holds it.

    It stays open until an experiment that names it was kept or discarded. Also while the study
    does not run: then it waits.
    """
    from scheduler.errors import UsageError
    from scheduler.study.letters import LONGEST_TEXT, Instruct, Withdraw
    from scheduler.study.live import read_live
    from scheduler.study.mailbox import Mailbox

    if (text is None) == (withdraw is None):
        raise UsageError('say what to look into: autoresearch tell "try a larger batch"')
    if text is not None and not 1 <= len(text.strip()) <= LONGEST_TEXT:
        raise UsageError(
            f"an instruction has 1 to {LONGEST_TEXT} characters; more belongs into program.md"
        )
    with choose(study) as chosen:
        mailbox = Mailbox(chosen.folder.inbox)
        letter: Instruct | Withdraw
        if text is None:
            assert withdraw is not None
            _check_open(chosen, withdraw)
            letter = Withdraw(instruction=withdraw)
        else:
            letter = Instruct(text=text.strip(), priority=priority, lifetime=experiments)
        mailbox.post(letter)
        runs = read_live(chosen.folder.live) is not None
        taken_up = _await(chosen, letter.key, withdraw) if runs else None
        if taken_up is None:  # a killed study's live view looks alive for some seconds more
            runs = read_live(chosen.folder.live) is not None
        models = chosen.folder.load_config().agent.models
        if json:
            print_json({"key": letter.key, "instruction": taken_up})
            return
        screen().print(_answer(taken_up, runs=runs, models=bool(models)), soft_wrap=True)


def instructions(study: StudyOption = None, json: JsonOption = False) -> None:
    """List the instructions and what came of each."""
    from rich.table import Table
    from rich.text import Text

    from scheduler.cli import texts
    from scheduler.study.letters import Instruct
    from scheduler.study.mailbox import Mailbox

    with choose(study) as chosen:
        found = chosen.reader.instructions()
        waiting = [
            each for each in Mailbox(chosen.folder.inbox).waiting() if isinstance(each, Instruct)
        ]
        results = {n: chosen.reader.experiment(n) for each in found for n in each.experiments}
        if json:
            print_json({"instructions": found, "waiting": waiting})
            return
        console = screen()
        if not found and not waiting:
            console.print('none yet; queue one with: autoresearch tell "..."')
            return
        table = Table(box=None, padding=(0, 2, 0, 0), expand=True, header_style="dim")
        table.add_column("id", justify="right", no_wrap=True)
        table.add_column("state", no_wrap=True)
        table.add_column("instruction", ratio=2)
        table.add_column("experiments", ratio=1)
        for each in found:
            came = [results[n] for n in each.experiments]
            words = ", ".join(f"#{e.id} {e.state} {texts.metric(e.metric)}" for e in came if e)
            table.add_row(
                str(each.id), each.state.value, texts.block(each.text), words or texts.NONE
            )
        for letter in waiting:
            table.add_row(texts.NONE, "waiting", texts.block(letter.text), texts.NONE)
        console.print(table)
        if waiting:
            console.print(Text("waiting: the study takes them up when it runs", style="dim"))


def _check_open(chosen: "Chosen", number: int) -> None:
    from scheduler.errors import UsageError

    found = next((each for each in chosen.reader.instructions() if each.id == number), None)
    if found is None:
        raise UsageError(f"no instruction {number} in {chosen.folder.path}")
    if found.state.is_final:
        raise UsageError(f"instruction {number} is {found.state} already")


def _await(chosen: "Chosen", key: str, withdraw: int | None) -> "InstructionRecord | None":
    """The instruction once the running study has taken the letter up, or None if it is slow."""
    limit = time.monotonic() + TAKEN_UP_SECONDS
    while time.monotonic() < limit:
        if withdraw is None:
            if (found := chosen.reader.instruction(key)) is not None:
                return found
        else:
            every = chosen.reader.instructions()
            found = next((e for e in every if e.id == withdraw and e.state.is_final), None)
            if found is not None:
                return found
        time.sleep(POLL_SECONDS)
    return None


def _answer(taken_up: "InstructionRecord | None", *, runs: bool, models: bool) -> str:
    if taken_up is None:
        later = "it is busy and takes it up soon" if runs else "it takes it up when it runs again"
        return f"left in the study's mailbox: {later}"
    if taken_up.state.is_final:
        return f"instruction {taken_up.id} is {taken_up.state}"
    words = f"instruction {taken_up.id} is queued; what came of it: autoresearch instructions"
    if not models:
        words += "\nno language model is set, and the tuner reads none: resume with --model NAME"
    return words
