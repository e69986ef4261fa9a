"""What one event costs the rules, by the number of slots and the length of the study.

Virtual time: trials of 300 s (with 10 % of spread) and answers of 150 s on 1 to 10,000 slots.
Prints microseconds of CPU per event in the first and in the last tenth of the study, which must
be equal if the cost does not grow with its length, and the share of slot time that was used.
"""

import heapq
import itertools
import random
import time

from benchmarks.goals import Figure
from scheduler.rules import events as ev
from scheduler.rules.machine import step
from scheduler.rules.policy import Policy
from scheduler.rules.state import State
from workers import OutcomeStatus

TRIAL_SECONDS, ANSWER_SECONDS = 300.0, 150.0


def simulate(slots: int, experiments: int) -> tuple[float, float, float]:
    """Run a study in virtual time: (us/event early, us/event late, occupancy of the slots)."""
    chance = random.Random(0)
    state = State(Policy(max_experiments=experiments, calls_in_flight=10**6))
    order = itertools.count()
    agenda: list[tuple[float, int, ev.Event]] = []
    durations: list[float] = []
    held = 0.0

    def plan(event: ev.Event) -> None:
        heapq.heappush(agenda, (event.at, next(order), event))

    plan(ev.Opened(0.0))
    plan(ev.SlotsCounted(0.0, slots))
    now = first_start = 0.0
    while agenda:
        now, _, event = heapq.heappop(agenda)
        began = time.perf_counter()
        turn = step(state, event)
        durations.append(time.perf_counter() - began)
        state = turn.state
        for action in turn.actions:
            if isinstance(action, ev.StartTrial):
                seconds = TRIAL_SECONDS * chance.uniform(0.95, 1.05)
                held += seconds
                metric = chance.gauss(1.0, 0.01)
                plan(
                    ev.Reported(
                        now + seconds, action.trial, OutcomeStatus.DONE, metric, "", seconds
                    )
                )
            elif isinstance(action, ev.RequestProposals):
                drafts = (ev.Draft(0, state.champions),) * action.count
                seconds = ANSWER_SECONDS * chance.uniform(0.8, 1.2)
                plan(ev.Answered(now + seconds, action.request, drafts, seconds))
    tenth = max(1, len(durations) // 10)
    early, late = durations[:tenth], durations[-tenth:]
    return (
        1e6 * sum(early) / len(early),
        1e6 * sum(late) / len(late),
        held / ((now - first_start) * slots),
    )


CASES = ((1, 2_000), (16, 2_000), (16, 50_000))
LARGE = ((1_000, 50_000), (10_000, 100_000))
"""Slots, experiments."""
LONGEST = CASES[-1]


def main(*, full: bool = False) -> list[Figure]:
    """Print the table."""
    figures = []
    print(f"{'slots':>7} {'experiments':>12} {'us/event early':>15} {'late':>7} {'occupancy':>10}")
    for slots, experiments in (*CASES, *LARGE) if full else CASES:
        early, late, occupancy = simulate(slots, experiments)
        print(f"{slots:>7,} {experiments:>12,} {early:>15.0f} {late:>7.0f} {occupancy:>10.1%}")
        if (slots, experiments) == LONGEST:
            what = f"a decision's cost, last tenth of {experiments:,} against the first"
            figures = [Figure(what, late / early, "x", 1.2)]
    return figures


if __name__ == "__main__":
    main()
