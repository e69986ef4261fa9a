"""The tools that write: an edit as an experiment, instructions, and what steers the study.

In: the study, and a server that they are added to. Out: what became of each letter, as the verbs of
the command line say it; what was refused, and what means nothing now, is an error of the tool.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp_types import ToolAnnotations
from pydantic import Field

from agent.errors import EditError
from agent.llm.draft import Replace
from agent.llm.edits import apply_edits
from scheduler.cli.reading import find_experiment
from scheduler.cli.sending import otherwise
from scheduler.cli.source import Fate, Source
from scheduler.cli.submit import base_of, check_waiting
from scheduler.errors import StudyError, UsageError
from scheduler.mcp import answers as out
from scheduler.mcp.access import Access
from scheduler.study.letters import (
    LONGEST_TEXT,
    LONGEST_TITLE,
    AnyLetter,
    Cancel,
    Instruct,
    Pause,
    Stop,
    Submit,
    Unpause,
    Withdraw,
)

ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
SETS = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
ENDS = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)
MOST_EDIT = 900_000  # characters: a study's server takes bodies of 1 MiB

Id = Annotated[int, Field(ge=0, lt=2**53)]


class Passage(out.Answer):
    """A passage of a file, and what goes in its place."""

    path: Annotated[str, Field(description="such as train.py")]
    search: Annotated[
        str, Field(description="whole lines as they stand in the parent; must occur exactly once")
    ]
    replace: str


def add_writing(server: MCPServer[Any], study: Access) -> None:
    """Every tool that changes something."""

    @server.tool(annotations=ADDS)
    def submit_edit(
        *,
        title: Annotated[
            str, Field(min_length=1, max_length=LONGEST_TITLE, description="what is changed")
        ],
        hypothesis: Annotated[
            str, Field(max_length=LONGEST_TEXT, description="the mechanism by which it should help")
        ],
        files: Annotated[
            Mapping[str, str] | None,
            Field(description="changed files, each whole, by path. Or give `edits`"),
        ] = None,
        edits: Annotated[
            Sequence[Passage] | None,
            Field(description="passages to replace in the parent's files, in this order"),
        ] = None,
        parent: Annotated[
            int | None,
            Field(ge=0, lt=2**53, description="whose code you edited. Default: the champion"),
        ] = None,
        expected: Annotated[
            str, Field(max_length=LONGEST_TITLE, description="effect on the metric, in your words")
        ] = "",
        instruction: Annotated[
            int | None, Field(ge=0, lt=2**53, description="the open one that it serves")
        ] = None,
    ) -> out.Delivered:
        """Queue an edit of the code as an experiment, before all others.

        Refused, with the reason, where it touches files that the study does not edit, does not
        parse, lacks what the task calls, or is code that was tried. It costs one trial or more.
        """

        def question(source: Source) -> out.Delivered:
            base, number = base_of(source, parent)
            letter = Submit(
                title=title,
                files=_whole(files or {}, edits or (), base),
                hypothesis=hypothesis,
                # Passages were found in this code. Whole files are of the champion of the moment:
                # that of the live view may be a second old.
                parent=number if edits else parent,
                expected=expected,
                instruction=instruction,
            )
            if not source.live()[1]:  # what runs checks it itself, a moment later
                check_waiting(letter, base, source)
            done = "experiment {} is queued, before all others"
            sent = _sent(source, letter, done, "wait_for_experiment with this number")
            if sent.number is None or (one := source.experiment(sent.number)) is None:
                return sent
            words = f"{sent.words}; its parent is experiment {one.parent}"
            return sent.model_copy(update={"words": words})

        return study.ask(question)

    @server.tool(annotations=ADDS)
    def queue_instruction(
        text: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)],
        priority: Annotated[int, Field(ge=-1000, le=1000, description="higher goes first")] = 0,
        give_up_after: Annotated[
            int | None, Field(ge=1, lt=2**31, description="experiments without serving it")
        ] = None,
    ) -> out.Delivered:
        """Ask the study's own language models to look into something, in your words.

        It stays open until an experiment that names it was kept or discarded.
        """

        def question(source: Source) -> out.Delivered:
            if not (words := text.strip()):
                raise UsageError("text: say what to look into")
            letter = Instruct(text=words, priority=priority, lifetime=give_up_after)
            hint = "read_instructions says what came of it"
            if not source.has_models():
                hint = (
                    "no language model is set, and the tuner reads no instructions: a person has "
                    "to resume the study with --model NAME. Or edit the code: submit_edit"
                )
            return _sent(source, letter, "instruction {} is queued", hint)

        return study.ask(question)

    @server.tool(annotations=ENDS)
    def withdraw_instruction(instruction: Id) -> out.Delivered:
        """Take an open instruction back."""

        def question(source: Source) -> out.Delivered:
            done, hint = "instruction {} is withdrawn", "read_instructions"
            return _sent(source, Withdraw(instruction=instruction), done, hint)

        return study.ask(question)

    @server.tool(annotations=ENDS)
    def cancel_experiment(experiment: Id) -> out.Delivered:
        """Give up an experiment that is not decided yet; a running trial of it is cut short."""

        def question(source: Source) -> out.Delivered:
            if find_experiment(source, experiment).state.is_final:
                raise StudyError(f"refused: experiment {experiment} is decided already")
            done = f"experiment {experiment} is cancelled"
            return _sent(source, Cancel(experiment=experiment), done, "read_study")

        return study.ask(question)

    @server.tool(annotations=SETS)
    def pause_study() -> out.Delivered:
        """Start nothing more until told otherwise; running trials end and count."""
        done = "paused: running trials end, nothing new starts"
        return study.ask(lambda source: _sent(source, Pause(), done, "unpause_study goes on"))

    @server.tool(annotations=SETS)
    def unpause_study() -> out.Delivered:
        """Go on, whatever the study paused for; what went wrong in a row is forgiven."""
        return study.ask(lambda source: _sent(source, Unpause(), "it goes on", "read_study"))

    @server.tool(annotations=ENDS)
    def stop_study(
        now: Annotated[
            bool, Field(description="cut running trials short; they run again on resume")
        ] = False,
    ) -> out.Delivered:
        """End the study's run. Only a person starts it again: ask them before."""

        def question(source: Source) -> out.Delivered:
            how = "cut short, and run again when it is resumed" if now else "awaited"
            hint = f"a person resumes it with: {source.resume}"
            return _sent(source, Stop(now=now), f"stopping: running trials are {how}", hint)

        return study.ask(question)


def _sent(source: Source, letter: AnyLetter, done: str, hint: str) -> out.Delivered:
    """What became of a letter. `{}` in `done` is the number of what it made or moved."""
    sent = source.send(letter)
    if sent.fate is Fate.DONE:
        words = done.format(sent.number)
        return out.Delivered(fate=sent.fate, number=sent.number, words=words, next=hint)
    words = otherwise(source, sent)
    if sent.fate in (Fate.REFUSED, Fate.NOT_RUNNING):
        raise StudyError(words)
    later = "read_study says whether it runs; what it made is then in its queue"
    return out.Delivered(fate=sent.fate, number=sent.number, words=words, next=later)


def _whole(
    files: Mapping[str, str], edits: Sequence[Passage], base: Mapping[str, str]
) -> Mapping[str, str]:
    """The changed files, each whole. Raises UsageError where passages don't fit."""
    if bool(files) == bool(edits):
        raise UsageError("give either `files`, each whole, or `edits`; not both, and not neither")
    if edits:
        passages = [Replace(each.path, each.search, each.replace) for each in edits]
        try:
            files = apply_edits(base, passages)
        except EditError as error:
            raise UsageError(f"refused: {error}") from error
    if (size := sum(map(len, files.values()))) > MOST_EDIT:
        raise UsageError(f"{size:,} characters of code, and {MOST_EDIT:,} are the most")
    return files
