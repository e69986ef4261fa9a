"""What a whole study costs beside Ray, by its slots: rules, results actor and database.

Virtual time: trials of 300 s and answers of 150 s, on 1 to 10,000 slots that never fail. The class
of the results actor is used as it is: it briefs, takes answers and outcomes in, decides, writes
database and files, hands out trials. Prints milliseconds of an event in the second and in the last
tenth of the study (medians; the first tenth fills the slots), the CPU time of all that for each
experiment, what share of one core that is at the pace of trials of 300 s, milliseconds of a view,
and memory.

    python -m benchmarks [--full] simulation
"""

import heapq
import itertools
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from agent import Answer, Proposal
from benchmarks.goals import Figure
from scheduler.results import Answered, Ended, Item, Plan, Results
from scheduler.rules import events as ev
from scheduler.study.config_file import load_config
from scheduler.study.folder import StudyFolder
from workers import Outcome, OutcomeStatus, Resources, Timings

TRIAL_SECONDS, ANSWER_SECONDS = 300.0, 150.0
CASES = (
    (1, 500, "disk"),
    (100, 1_500, "disk"),
    (100, 1_500, "memory"),
)
LARGE = (
    (1_000, 4_000, "memory"),
    (10_000, 20_000, "memory"),
)
"""Slots, experiments, where the study lies: on disk or in /dev/shm."""
TEXT = (Path(__file__).parent.parent / "train_template" / "train.py").read_text("utf-8")


class Simulation:
    """One study in virtual time."""

    def __init__(self, path: Path, slots: int, experiments: int) -> None:
        settings = [
            f"stop.max_experiments={experiments}",
            "agent.models=[m]",
            "agent.fill=false",
            "keep.most_seeds=0",
        ]
        settings.append(f"agent.calls_in_flight={max(4, slots // 8)}")
        config = load_config("cluster", settings, {})
        folder = StudyFolder(path)
        folder.create(config, "# Sleep\n")
        first = Proposal("baseline", "", 0, {"train.py": TEXT}, "baseline", "0", "s", {"N": 0})
        self.results = Results(folder.path, config, Plan(first, "task", "data", Resources()))
        self.results.begin_session(os.getpid(), "here")
        self.events: list[float] = []  # seconds of each event with what it led to
        self.held = 0.0
        self._slots = slots
        self._chance = random.Random(0)
        self._order = itertools.count()
        self._agenda: list[tuple[float, int, Item]] = []

    def run(self) -> None:
        """Run it to its end."""
        now = 1.75e9
        self._plan(now, ev.Opened(now))
        self._plan(now, ev.SlotsCounted(now, self._slots))
        for number in itertools.count(1):
            now, _, item = heapq.heappop(self._agenda)
            began = time.perf_counter()
            actions = self.results.handle(number, item)
            for action in actions:
                self._carry_out(now, action)
            self.events.append(time.perf_counter() - began)
            if ev.Finish() in actions:
                break

    def _plan(self, at: float, item: Item) -> None:
        heapq.heappush(self._agenda, (at, next(self._order), item))

    def _carry_out(self, now: float, action: ev.Action) -> None:
        match action:
            case ev.StartTrial(number):
                trial = self.results.trial(number)
                seconds = TRIAL_SECONDS * self._chance.uniform(0.95, 1.05)
                outcome = Outcome(
                    trial.id,
                    OutcomeStatus.DONE,
                    metric=self._chance.gauss(1.0, 0.01),
                    timings=Timings(train=seconds),
                    started_at=now,
                    finished_at=now + seconds,
                    log="step 1 loss 2.3\n" * 100,
                )
                self._plan(now + seconds, Ended(now + seconds, outcome))
            case ev.RequestProposals():
                briefing = self.results.briefing(action)
                answer = _answer(action, briefing.champion.experiment)
                seconds = ANSWER_SECONDS * self._chance.uniform(0.8, 1.2)
                self._plan(now + seconds, Answered(now + seconds, answer, seconds))


def _answer(request: ev.RequestProposals, parent: int) -> Answer:
    proposals = tuple(
        Proposal(
            title=f"try number {number} of request {request.request}",
            hypothesis="it makes no difference",
            parent=parent,
            files={"train.py": f"N = {request.request}, {number}\n" + TEXT},
            origin="m",
            fingerprint=f"{request.request}-{number}",
            skeleton="s",
            constants={"N": number},
        )
        for number in range(request.count)
    )
    return Answer(request.request, proposals, arm="m")


def measure(slots: int, experiments: int, where: str) -> str:
    """One line of the table."""
    disk = None if where == "disk" else "/dev/shm"
    with tempfile.TemporaryDirectory(dir=disk) as place:
        study = Simulation(Path(place, "study"), slots, experiments)
        began, cpu = time.perf_counter(), time.process_time()
        study.run()
        took, used = time.perf_counter() - began, time.process_time() - cpu
        began = time.perf_counter()
        study.results.live()
        view = time.perf_counter() - began
        study.results.close()
    tenth = len(study.events) // 10
    early, late = study.events[tenth : 2 * tenth], study.events[-tenth:]
    each = used / experiments
    return (
        f"{slots:>7,} {experiments:>11,} {where:>7} {1e3 * median(early):>8.2f} "
        f"{1e3 * median(late):>8.2f} {len(study.events) / took:>9.0f} {1e3 * each:>8.2f} "
        f"{each * slots / TRIAL_SECONDS:>8.2%} {1e3 * view:>8.1f} "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:>8.0f}"
    )


def main(*, full: bool = False) -> list[Figure]:
    """Print the table. Each line comes from a process of its own."""
    figures = []
    print(f"load average before: {os.getloadavg()[0]:.2f}, cores: {os.cpu_count()}")
    print(
        f"{'slots':>7} {'experiments':>11} {'study in':>7} {'ms early':>8} {'ms late':>8} "
        f"{'events/s':>9} {'CPU ms':>8} {'core':>8} {'view, ms':>8} {'MB':>8}"
    )
    for case in (*CASES, *LARGE) if full else CASES:
        line = [sys.executable, "-m", "benchmarks.simulation", *map(str, case)]
        printed = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout
        print(printed, end="", flush=True)
        core = float(printed.split()[7].rstrip("%"))
        figures.append(Figure(f"loop and results at {case[0]:,} slots of 300 s", core, "% core", 5))
    return figures[-1:]


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        print(measure(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]), flush=True)
