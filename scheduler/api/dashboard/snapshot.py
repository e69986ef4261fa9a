"""The study as the overview shows it, read once for all who look at it.

In: the Context. Out: a Snapshot for each version of the study, made when somebody first asks for
it; a hundred open pages cost as much as one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from scheduler.api.context import Context
from scheduler.api.dashboard.drawing import Drawing, draw
from scheduler.errors import SchedulerError
from scheduler.study.letters import Instruct
from scheduler.study.points import collect
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment, InstructionRecord, NotebookRecord, SlotView, Study
from scheduler.study.timeline import Timeline, read_timeline

LEADERS, LATEST, QUEUE, INSTRUCTIONS = 10, 10, 8, 30
TRIALS = (
    150  # the newest ones, whose slots' time is drawn: some milliseconds however long the study
)
NAMED = 5  # experiments of an instruction whose results are shown, the newest ones


@dataclass(frozen=True)
class Snapshot:
    """One study at one moment."""

    study: Study
    at: float
    runs: bool
    slots: tuple[SlotView, ...] = ()
    curves: Mapping[int, Sequence[tuple[int, float]]] = field(default_factory=dict)
    budget: str = ""
    queue: Sequence[Experiment] = ()
    recent: Sequence[Experiment] = ()
    leaders: Sequence[Experiment] = ()
    champion: Experiment | None = None
    kept: Sequence[Experiment] = ()
    drawing: Drawing = field(default_factory=Drawing)
    newest_time: Timeline | None = None  # of the newest trials
    notebook: NotebookRecord | None = None
    instructions: Sequence[InstructionRecord] = ()  # newest first
    waiting: Sequence[Instruct] = ()  # in the mailbox, oldest first
    results: Mapping[int, Experiment] = field(default_factory=dict)  # that these name


class Snapshots:
    """Makes them."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._newest: Snapshot | None = None
        self._version = -1
        self._events = -1
        self._lock = asyncio.Lock()

    async def newest(self) -> tuple[int, Snapshot | None]:
        """The study now, and its version; None where nothing is recorded yet."""
        follower = self.context.follower
        async with self._lock:
            version = follower.version
            if version != self._version or self._newest is None:
                # Read before the version is noted: what comes meanwhile is another one.
                try:
                    self._newest = await self.context.read(self._read)
                except SchedulerError:
                    return version, None
                self._version = version
            return version, self._newest

    def _read(self, reader: Reader) -> Snapshot:
        context, live, before = self.context, self.context.follower.live, self._newest
        study = live.study if live else reader.study()
        events = reader.newest_event()
        if before is None or events != self._events:  # else only the progress of trials is new
            before = self._read_all(reader, study)
            self._events = events
        letters = context.desk.waiting()
        return replace(
            before,
            study=study,
            waiting=tuple(each for each in letters if isinstance(each, Instruct)),
            at=live.at if live else study.opened_at,
            runs=live is not None,
            slots=live.slots if live else (),
            curves=dict(context.follower.curves),
        )

    def _read_all(self, reader: Reader, study: Study) -> Snapshot:
        told = reader.latest_instructions(INSTRUCTIONS)
        named = {number for each in told for number in each.experiments[-NAMED:]}
        champion, context, points = study.champion, self.context, collect(reader)
        return Snapshot(
            study=study,
            at=study.opened_at,
            runs=False,
            budget=context.config.budget_words(),
            queue=reader.queue(QUEUE),
            recent=reader.recent(LATEST),
            leaders=reader.leaders(LEADERS, minimize=context.minimize),
            champion=reader.experiment(champion.experiment) if champion else None,
            kept=points.kept,
            drawing=draw(points, reader.spread(), context.metric, minimize=context.minimize),
            newest_time=self._time(reader),
            notebook=reader.notebook(),
            instructions=told,
            results={n: e for n in named if (e := reader.experiment(n)) is not None},
        )

    def _time(self, reader: Reader) -> Timeline:
        config, live = self.context.config, self.context.follower.live
        return read_timeline(
            reader,
            now=None if live is None else live.at,
            budget=config.budget.seconds,
            gpus=config.workers.gpus_per_trial,
            most=TRIALS,
        )
