"""What a study's configuration tells the rules. Plain data, the same for the whole session."""

from dataclasses import dataclass

from scheduler.rules.evidence import Criteria


@dataclass(frozen=True)
class Policy:
    """The part of the configuration that decides."""

    minimize: bool = True
    seed: int = 0
    baseline_repeats: int = 1
    max_experiments: int | None = None  # beside the baseline
    max_seconds: float | None = None  # of time in which the study was open, all sessions
    plateau: int | None = None  # experiments in a row without a new champion
    failures_in_row: int = 8  # pause after so many; a broken task should not burn a night
    proposals_per_call: int = 4
    calls_in_flight: int = 4
    fill: bool = False  # ask the tuner for what an idle slot would wait for
    mends: int = 0  # times that an early crash in one line goes back to who wrote it
    stop_when_spent: bool = False  # stop at a limit of the agent's; else the tuner goes on
    criteria: Criteria | None = None  # of what is kept; None: a plain comparison
    wait_when_paused: bool = False  # for a person to unpause it; else the loop ends
    audit: bool = False  # what may become champion is measured on the audit split too
    long_leaders: int = 0  # that are run with a longer budget, beside the baseline; 0: none
    ablate: bool = False  # take each kept edit out of the champion, once nothing else is to be run
    reference: str | None = None  # the kind of slot on which is kept; None: the first largest
    baseline_first: bool = False  # nothing is asked for before the baseline has a metric
