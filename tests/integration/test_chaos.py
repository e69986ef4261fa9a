"""A study through a storm: kill -9 of everything that it consists of, at random moments.

`make storm` and `make test` give it a minute, `make chaos` as long as CHAOS_SECONDS says;
CHAOS_SEED chooses the course. All is real (Ray with several nodes, the driver, its actors, the
tuner, the trials with their sandboxes) but what is trained, and four trials of five only sleep
(`tests/fixtures/simulated_study.py`). What must hold afterwards is in `tests/fixtures/books.py`.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from scheduler.errors import SchedulerError
from scheduler.rules.states import StudyState
from scheduler.study.folder import StudyFolder
from scheduler.study.letters import Instruct
from scheduler.study.mailbox import Mailbox
from scheduler.study.reader import Reader
from tests.fixtures.books import check_books
from tests.fixtures.cluster import Nodes, cluster_environment, marked, trials
from tests.fixtures.processes import command, wait_for
from tests.fixtures.scripted_study import metric_of

pytestmark = pytest.mark.whole_machine

SECONDS = float(os.environ.get("CHAOS_SECONDS", "60"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
PEACE = (0.2, 2.0)  # seconds between two blows
WHOLE_CLUSTER_SECONDS = 60.0  # and at least once
WORKERS, GPUS = 2, 2  # each slot is a process that every new driver has to start anew
CPUS = 1  # so many workers Ray starts on a node before anyone asks
WORTH_KILLING = 40  # experiments that a driver decides before it, or its cluster, is killed
CALM = 20  # experiments after the storm: the study is in full health


class Storm:
    """One study, its cluster, and what is done to them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.study = StudyFolder(folder / "study")
        self.counts: Counter[str] = Counter()
        self.letters: list[str] = []
        self._folder = folder
        self._luck = random.Random(seed)
        self._joining: list[threading.Thread] = []
        self.nodes = self._new_cluster()
        self.driver = self._start()

    def _new_cluster(self) -> Nodes:
        nodes = Nodes(head_gpus=2, cpus=CPUS)
        for _ in range(WORKERS):
            nodes.join(GPUS)
        return nodes

    def _decided(self) -> int:
        """How many experiments have been decided so far."""
        with suppress(SchedulerError), Reader(self.study.database) as reader:
            return sum(n for state, n in reader.study().counts.items() if state.is_final)
        return 0

    def _start(self, *overrides: str) -> "subprocess.Popen[bytes]":
        self._found = self._decided()
        arguments = [str(self.study.path), str(self._folder), *overrides]
        with (self._folder / "driver.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.fixtures.simulated_study", *arguments],
                env={**os.environ, "RAY_ADDRESS": self.nodes.address},
                stdout=log,
                stderr=log,
            )

    def ended(self) -> int:
        """How many trials have ended with an outcome so far."""
        with Reader(self.study.database) as reader:
            return sum(t.outcome is not None for t in reader.trials())

    # ---- blows ------------------------------------------------------------------------------

    def rage(self, seconds: float) -> None:
        """One blow after the other; whoever has ended the study takes it up again."""
        # What takes seconds of two cores to come back is hit less often than what is there again at
        # once: a storm over nothing is none.
        blows: list[tuple[int, Callable[[], bool]]] = [
            (4, self.kill_driver),
            (5, lambda: self._kill("ray::Results")),
            (3, lambda: self._kill("ray::AgentActor")),
            (1, lambda: self._kill("ray::Shares")),
            (14, lambda: self._kill("ray::trial-")),
            (14, self.kill_trial),
            (2, self.kill_raylet),
            (1, self.drain_node),
            (5, self.post_letter),
        ]
        now, next_end = 0.0, min(seconds / 2, WHOLE_CLUSTER_SECONDS)
        while now < seconds:
            pause = self._luck.uniform(*PEACE)
            time.sleep(pause)
            now += pause
            if now > next_end:
                next_end += WHOLE_CLUSTER_SECONDS
                self.kill_cluster()
                self._see_to_the_driver()
                self.wait_for_work()
            else:
                for _ in range(10):  # some of them find nothing to hit
                    (blow,) = self._luck.choices([b for _, b in blows], [w for w, _ in blows])
                    if blow():
                        break
            self._see_to_the_driver()

    def kill_driver(self) -> bool:
        """Once it has done something: a start takes seconds, of which most would be its last."""
        if self._decided() < self._found + WORTH_KILLING:
            return False
        self.driver.kill()
        self.driver.wait()
        self.counts["driver"] += 1
        return True

    def _kill(self, name: str) -> bool:
        found = [p for p in marked() if command(p).startswith(name)]
        if not found:
            return False
        with suppress(psutil.NoSuchProcess):
            self._luck.choice(found).kill()
        self.counts[name.removeprefix("ray::")] += 1
        return True

    def kill_trial(self) -> bool:
        found = trials()
        if not found:
            return False
        with suppress(psutil.NoSuchProcess):
            self._luck.choice(found).kill()
        self.counts["candidate, referee"] += 1
        return True

    def kill_raylet(self) -> bool:
        if not self.nodes.workers:
            return False
        self.nodes.kill(self._luck.choice(self.nodes.workers))
        self._join_later()
        self.counts["raylet"] += 1
        return True

    def drain_node(self) -> bool:
        if not self.nodes.workers:
            return False
        self.nodes.drain(self._luck.choice(self.nodes.workers))
        self._join_later()
        self.counts["drained"] += 1
        return True

    def _join_later(self) -> None:
        """A new node, which takes seconds: the storm does not wait for it."""

        def join() -> None:
            for _ in range(3):
                try:
                    self.nodes.join(GPUS)
                except Exception as error:  # noqa: BLE001 - Ray says so that a head was too busy
                    print(f"a node did not come up: {error}")
                else:
                    return

        joining = threading.Thread(target=join)
        joining.start()
        self._joining.append(joining)

    def post_letter(self) -> bool:
        if not self.study.exists:
            return False
        letter = Instruct(f"try something else, {len(self.letters)}")
        Mailbox(self.study.inbox).post(letter)
        self.letters.append(letter.key)
        self.counts["letters"] += 1
        return True

    def kill_cluster(self) -> None:
        """Everything of Ray at once; the driver has to find out by itself."""
        self.await_nodes()
        self.nodes.kill_all()
        self.counts["whole cluster"] += 1
        began = time.monotonic()
        if self._decided() == self._found:
            self.driver.kill()  # it may still be connecting, which takes Ray a minute to give up
        self.driver.wait(40)  # while it runs, Ray alone would take more than a minute too
        print(f"the driver ended {time.monotonic() - began:.1f} s after its cluster")
        self.nodes = self._new_cluster()

    def wait_for_work(self) -> None:
        """Until the driver that runs now has got something done."""
        wait_for(lambda: self._decided() >= self._found + 5, 90, "the study does not get going")

    def await_nodes(self) -> None:
        while self._joining:
            self._joining.pop().join()

    def _see_to_the_driver(self) -> None:
        code = self.driver.poll()
        if code is None:
            return
        self.counts[f"driver ended with {code}"] += 1
        self.driver = self._start()

    # ---- the end ----------------------------------------------------------------------------

    def settle(self) -> None:
        """Let the study decide what it has begun, and end."""
        self.await_nodes()
        with suppress(ProcessLookupError):
            self.driver.send_signal(signal.SIGINT)
        self.driver.wait(150)
        for _ in range(5):  # it may pause once more for what the storm has left behind
            with Reader(self.study.database) as reader:
                begun = sum(e.parent is not None for e in reader.experiments())
            self.driver = self._start(f"stop.max_experiments={begun + CALM}")
            self.driver.wait(240)
            with Reader(self.study.database) as reader:
                if reader.study().state is StudyState.STOPPED:
                    return
        raise AssertionError((self._folder / "driver.log").read_text()[-5000:])


@pytest.fixture
def storm(tmp_path: Path) -> Iterator[Storm]:
    with cluster_environment(tmp_path):
        yield Storm(tmp_path, SEED)


@pytest.mark.timeout(SECONDS + 900)
def test_nothing_is_lost_or_counted_twice_whatever_is_killed(storm: Storm, tmp_path: Path) -> None:
    storm.wait_for_work()
    began = time.monotonic()
    storm.rage(SECONDS)
    print(f"in the storm of {time.monotonic() - began:.0f} s: {storm.ended()} trials ended")
    storm.settle()
    with Reader(storm.study.database) as reader:
        experiments = list(reader.experiments())
        instructions = reader.instructions()
        print(f"seed {SEED}: {len(experiments)} experiments, {len(reader.trials())} trials")
        print(dict(reader.study().counts), dict(storm.counts))
    check_books(storm.study, metric_of)
    # Every letter was taken up once.
    assert len(instructions) == len(storm.letters)
    assert Mailbox(storm.study.inbox).waiting() == []
    assert len(experiments) > CALM + 10
    # Nothing of ours is left running, and no actor but the one that all studies share.
    wait_for(lambda: not trials(), 20, "processes of trials are left")
    wait_for(lambda: set(storm.nodes.living_actors()) <= {"Shares"}, 20)
