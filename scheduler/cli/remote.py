"""A study behind a URL, for the verbs: the same as in a folder, asked of its server.

In: the server's URL and a token. Out: a `Source` (see `source.py`). The paths are those of
`scheduler/api/routes/`; their answers are read into the very records that the server made them of,
but nothing of the server is imported: that would take longer than the answer.
"""

import re
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx

from agent.globs import Editable
from agent.proposal import NOT_MODELS
from scheduler.cli.connection import Connection, Missing, problem_detail
from scheduler.cli.source import Asked, Fate, Result, Sent
from scheduler.errors import StudyError, UsageError
from scheduler.rules.order import OrderCheck
from scheduler.rules.states import ExperimentState
from scheduler.study.calls import CallRecord
from scheduler.study.letters import (
    AnyLetter,
    Cancel,
    Instruct,
    Pause,
    Stop,
    Submit,
    Unpause,
    Withdraw,
)
from scheduler.study.records import (
    Experiment,
    InstructionRecord,
    Live,
    NotebookRecord,
    SlotView,
    Study,
    TrialRecord,
)
from scheduler.study.task_words import Measurement

if TYPE_CHECKING:
    from scheduler.study.timeline import Timeline

PAGE = 500  # the most that the server gives at a time ...
TRIALS = 5000  # ... and of a timeline
SHOWN = 10  # of the queue and of the latest decisions, as in a live view
PLAIN_NAME = re.compile(r"[a-z][a-z0-9-]*\.(?:html|md|png)")
MAY_BE_REFUSED = frozenset({409, 503})


# What the server answers, as far as it is used here. Fields that are new to it are passed over.


@dataclass(frozen=True)
class _Study:
    name: str
    metric: str
    goal: str
    budget: str
    running: bool
    event: int
    study: Study
    slots: tuple[SlotView, ...]
    queue: tuple[Experiment, ...]
    self_reported: bool = False
    measurement: Measurement = field(default_factory=Measurement)
    editable: Editable = field(default_factory=Editable)


@dataclass(frozen=True)
class _Experiment:
    experiment: Experiment
    trials: tuple[TrialRecord, ...]
    files: dict[str, str]


@dataclass(frozen=True)
class _Experiments:
    experiments: tuple[Experiment, ...]


@dataclass(frozen=True)
class _Result:
    id: int
    state: ExperimentState
    metric: float | None


@dataclass(frozen=True)
class _Instruction:
    instruction: InstructionRecord
    results: tuple[_Result, ...]


@dataclass(frozen=True)
class _Waiting:
    key: str
    text: str
    priority: int
    at: float


@dataclass(frozen=True)
class _Instructions:
    instructions: tuple[_Instruction, ...]
    waiting: tuple[_Waiting, ...]
    next: str | None


@dataclass(frozen=True)
class _Prompt:
    calls: tuple[CallRecord, ...]


@dataclass(frozen=True)
class _Notebook:
    notebook: NotebookRecord | None
    lessons: tuple[str, ...]


@dataclass(frozen=True)
class _Files:
    files: tuple[str, ...]


@dataclass(frozen=True)
class _Letter:
    key: str


@dataclass(frozen=True)
class _Numbered:
    """What the answer to a letter has of these."""

    experiment: "_Id | None" = None
    instruction: "_Id | None" = None


@dataclass(frozen=True)
class _Id:
    id: int


class RemoteSource:
    """One study's server."""

    def __init__(self, connection: Connection) -> None:
        """Ask for the study, so that what is wrong with URL or token is known at once."""
        self._connection = connection
        self._event = -1  # the place in the journal to which the next two belong
        self._recent: tuple[Experiment, ...] = ()
        self._champion: Experiment | None = None
        self._known: _Experiment | None = None  # the last that was asked for
        self.where = self.address = connection.url
        study, _ = self._study()
        self.name, self.metric, self.minimize = study.name, study.metric, study.goal == "minimize"
        self.self_reported, self.editable = study.self_reported, study.editable
        self.measurement = study.measurement
        self.resume = f"autoresearch run {shlex.quote(study.name)}, where its folder is"

    def _study(self) -> tuple[_Study, float]:
        """The study, and the time on the server's clock."""
        answer = self._connection.send("GET", "/study")
        return self._connection.read(answer, _Study), _date(answer)

    def live(self) -> tuple[Live, bool]:
        """GET /study, and the lists beside it where anything has happened since."""
        now, at = self._study()
        study = now.study
        if now.event != self._event:
            self._recent = self._listed(sort="decided_at", order="desc")
            best = study.champion
            self._champion = self.experiment(best.experiment) if best else None
            self._event = now.event
        queue = now.queue if now.running else self._listed(state="queued")
        live = Live(
            at=at if now.running else study.opened_at,
            study=study,
            slots=now.slots,
            queue=queue,
            recent=self._recent,
            champion=self._champion,
            metric=self.metric,
            budget=now.budget,
        )
        return live, now.running

    def _listed(self, **wanted: str) -> tuple[Experiment, ...]:
        get = self._connection.get
        return get("/experiments", _Experiments, limit=SHOWN, **wanted).experiments

    def _whole(self, number: int) -> _Experiment | None:
        """An experiment with its trials and files; asked for once where one verb needs all."""
        if self._known is None or self._known.experiment.id != number:
            try:
                self._known = self._connection.get(f"/experiments/{number}", _Experiment)
            except Missing:
                return None
        return self._known

    def experiment(self, number: int) -> Experiment | None:
        """GET /experiments/{id}."""
        self._known = None  # it may have moved since
        whole = self._whole(number)
        return whole.experiment if whole else None

    def trials(self, experiment: int) -> Sequence[TrialRecord]:
        """GET /experiments/{id}."""
        whole = self._whole(experiment)
        return whole.trials if whole else ()

    def files(self, experiment: int) -> dict[str, str]:
        """GET /experiments/{id}."""
        whole = self._whole(experiment)
        return whole.files if whole else {}

    def best_file(self, name: str) -> str:
        """GET /champion/files/{path}."""
        return f"{self.address}/champion/files/{name}"

    def call(self, experiment: Experiment) -> CallRecord | None:
        """GET /experiments/{id}/prompt."""
        calls = self._connection.get(f"/experiments/{experiment.id}/prompt", _Prompt).calls
        return next((each for each in calls if each.id == experiment.call), None)

    def leaders(self, count: int) -> Sequence[Experiment]:
        """GET /leaderboard."""
        return self._connection.get("/leaderboard", tuple[Experiment, ...], limit=count)

    def order(self) -> OrderCheck:
        """GET /champion/order; a server that is older has measured nothing."""
        try:
            return self._connection.get("/champion/order", OrderCheck)
        except Missing:
            return OrderCheck()

    def instructions(self, *, open_only: bool = False) -> list[Asked]:
        """GET /instructions, page by page."""
        found: list[Asked] = []
        wanted: dict[str, str | int | list[str]] = {"limit": PAGE}
        if open_only:
            wanted["state"] = ["queued", "in use"]
        while True:
            page = self._connection.get("/instructions", _Instructions, **wanted)
            for each in page.instructions:
                results = tuple(Result(e.id, e.state, e.metric) for e in each.results)
                found.append(Asked(each.instruction, results))
            if page.next is None:
                break
            wanted["cursor"] = page.next
        if open_only:
            found.sort(key=lambda each: (-each.instruction.priority, each.instruction.id))
        return found

    def unread(self) -> list[Instruct]:
        """GET /instructions."""
        page = self._connection.get("/instructions", _Instructions, limit=1)
        return [
            Instruct(key=e.key, at=e.at, text=e.text, priority=e.priority) for e in page.waiting
        ]

    def take_back(self, letter: Instruct) -> bool:
        """There is no request for it: it would race with a study that starts."""
        raise UsageError(
            f"{self.where}: an instruction that waits is taken back where the study's folder is: "
            f"autoresearch tell --withdraw {letter.name} -s FOLDER"
        )

    def notebook(self) -> NotebookRecord | None:
        """GET /notebook."""
        return self._notes(limit=1).notebook

    def lessons(self, *, after: int, limit: int) -> Sequence[str]:
        """GET /notebook."""
        return self._notes(after=after, limit=limit).lessons

    def _notes(self, **wanted: int) -> _Notebook:
        try:
            return self._connection.get("/notebook", _Notebook, **wanted)
        except Missing as error:
            raise StudyError(
                f"{self.where}: this server does not tell what the study has learned; "
                "notebook.md in its folder does"
            ) from error

    def program(self) -> str:
        """GET /program."""
        try:
            return self._connection.send("GET", "/program").text
        except Missing as error:
            raise StudyError(
                f"{self.where}: this server does not tell the research directions; "
                "program.md in its folder does"
            ) from error

    def log(self, experiment: int, trial: int | None = None) -> tuple[str, int]:
        """GET /experiments/{id}/log."""
        path, values = f"/experiments/{experiment}/log", _of(trial)
        data = self._connection.send("GET", path, values=values).content
        return data.decode("utf-8", "replace"), len(data)

    def follow(self, experiment: int, position: int, trial: int | None = None) -> Iterator[str]:
        """GET /experiments/{id}/log?follow=true, from there on."""
        path = f"/experiments/{experiment}/log"
        with self._connection.stream(
            path, {"follow": True, "offset": position, **_of(trial)}
        ) as pieces:
            yield from pieces

    def has_models(self) -> bool:
        """Whether any but the tuner has an arm; as long as none has, nobody knows."""
        arms = self._study()[0].study.arms
        return not arms or any(arm.name not in NOT_MODELS for arm in arms)

    def report(self, formats: Sequence[str]) -> dict[str, bytes]:
        """GET /report/files, and those that are wanted."""
        get, read = self._connection.send, self._connection.read
        try:
            answer = get("GET", "/report/files", values={"format": list(formats)})
            # The names are another machine's words: what is no plain name of a file is left alone.
            names = [name for name in read(answer, _Files).files if PLAIN_NAME.fullmatch(name)]
            return {name: get("GET", f"/report/files/{name}").content for name in names}
        except Missing as error:
            raise StudyError(f"{self.where}: this server makes no reports; it is older") from error

    def timeline(self, hours: float | None) -> "Timeline":
        """GET /timeline: as many trials as the server gives at a time, the newest ones."""
        from scheduler.study.timeline import Timeline

        wanted: dict[str, str | int | list[str]] = {"limit": TRIALS}
        if hours is not None:
            wanted["hours"] = f"{hours:g}"
        try:
            return self._connection.get("/timeline", Timeline, **wanted)
        except Missing as error:
            raise StudyError(
                f"{self.where}: this server does not tell where the slots' time went; it is older"
            ) from error

    def send(self, letter: AnyLetter) -> Sent:
        """The request that stands for the letter. Its key makes a repeated one count once."""
        method, path, body = _request(letter)
        answer = self._connection.send(method, path, body=body, key=letter.key, also=MAY_BE_REFUSED)
        key, kind, status = letter.key, letter.kind, answer.status_code
        if status == 202:
            fate = Fate.BUSY if self._study()[0].running else Fate.WAITING
            return Sent(self._connection.read(answer, _Letter).key, kind, fate)
        if answer.is_success:
            return Sent(key, kind, Fate.DONE, _number(letter, self._connection, answer))
        why = problem_detail(answer)
        if why is None:
            raise StudyError(f"{self.where}: refused, without a reason (status {status})")
        if not self._study()[0].running:
            return Sent(key, kind, Fate.NOT_RUNNING, why=why)
        if status == 409:
            return Sent(key, kind, Fate.REFUSED, why=why)
        raise StudyError(why)


def _request(letter: AnyLetter) -> tuple[str, str, object]:
    """Method, path and body."""
    match letter:
        case Instruct(text=text, priority=priority, lifetime=lifetime):
            body = {"text": text, "priority": priority, "lifetime": lifetime}
            return "POST", "/instructions", body
        case Withdraw(instruction=number):
            return "DELETE", f"/instructions/{number}", None
        case Submit():
            edit = {
                "title": letter.title,
                "files": dict(letter.files),
                "hypothesis": letter.hypothesis,
                "parent": letter.parent,
                "expected": letter.expected,
                "instruction": letter.instruction,
            }
            return "POST", "/experiments", edit
        case Cancel(experiment=number):
            return "DELETE", f"/experiments/{number}", None
        case Stop(now=now):
            return "POST", "/study/stop", {"now": now}
        case Pause() | Unpause():
            return "POST", f"/study/{letter.kind}", None


def _number(letter: AnyLetter, connection: Connection, answer: httpx.Response) -> int | None:
    """The number of what the letter made or moved."""
    if isinstance(letter, Pause | Unpause | Stop):
        return None
    numbered = connection.read(answer, _Numbered)
    found = numbered.instruction if isinstance(letter, Instruct | Withdraw) else numbered.experiment
    return None if found is None else found.id


def _of(trial: int | None) -> dict[str, str | int | list[str]]:
    """The part of a query that asks for one trial."""
    return {} if trial is None else {"trial": trial}


def _date(answer: httpx.Response) -> float:
    """The server's clock: durations of the study are counted by it."""
    try:
        return parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return time.time()


@contextmanager
def open_url(url: str, token: str | None) -> Iterator[RemoteSource]:
    """The study behind a URL. Raises UsageError, StudyError."""
    connection = Connection(url, token)
    try:
        try:
            source = RemoteSource(connection)
        except Missing as error:
            raise UsageError(f"{connection.url}: {error}") from error
        yield source
    finally:
        connection.close()
