"""The states of an experiment, a trial and a study: one enum each, with its questions.

Names and meaning are those of the plan; every table, page and export uses these words.
"""

from enum import StrEnum


class ExperimentState(StrEnum):
    """Where an experiment stands."""

    QUEUED = "queued"
    RUNNING = "running"
    CONFIRMING = "confirming"  # more trials decide; also: its outcome waits for the baseline's
    KEEP = "keep"  # better than the champion of its day
    DISCARD = "discard"
    CRASH = "crash"
    TIMEOUT = "timeout"
    OOM = "oom"
    REJECTED = "rejected"  # the preflight or the referee refused it
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self not in (self.QUEUED, self.RUNNING, self.CONFIRMING)

    @property
    def is_failure(self) -> bool:
        """Whether it ended without a metric by its own fault."""
        return self in (self.CRASH, self.TIMEOUT, self.OOM, self.REJECTED)


class TrialState(StrEnum):
    """Where a trial stands. A lost trial is planned again under a new id."""

    PLANNED = "planned"
    RUNNING = "running"
    DONE = "done"  # it has an outcome, whatever its status
    LOST = "lost"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self not in (self.PLANNED, self.RUNNING)


class TrialKind(StrEnum):
    """What a trial is for."""

    USUAL = "usual"  # its metric decides
    LONG = "long"  # a leader with a longer budget: does the order hold? It decides nothing


class InstructionState(StrEnum):
    """Where a person's instruction stands."""

    QUEUED = "queued"  # no model has been told yet
    IN_USE = "in use"  # a model has answered a briefing that held it
    SERVED = "served"  # an experiment that names it was kept or discarded
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"  # so many experiments were decided without serving it

    @property
    def is_final(self) -> bool:
        """Whether no briefing holds it any more."""
        return self not in (self.QUEUED, self.IN_USE)


class StudyState(StrEnum):
    """Where a study stands."""

    RUNNING = "running"
    PAUSED = "paused"  # starts nothing until it is resumed; the reason is recorded
    DRAINING = "draining"  # running trials end, nothing new starts
    STOPPED = "stopped"  # for a typed reason; can be resumed
    FAILED = "failed"  # the scheduler itself could not go on

    @property
    def is_over(self) -> bool:
        """Whether the loop has nothing left to do."""
        return self in (self.STOPPED, self.FAILED)

    @property
    def is_open(self) -> bool:
        """Whether its time counts: the hours of a study are those in which it could work."""
        return self in (self.RUNNING, self.DRAINING)


class StopReason(StrEnum):
    """Why a study stopped or paused."""

    MAX_EXPERIMENTS = "max_experiments"
    MAX_HOURS = "max_hours"
    MAX_DOLLARS = "max_dollars"  # these three only where agent.when_spent says so
    MAX_TOKENS = "max_tokens"
    MAX_CALLS = "max_calls"
    PLATEAU = "plateau"
    SIGNAL = "signal"
    INSTRUCTION = "instruction"  # a person asked for it, over the command line or HTTP
    NO_PROPOSALS = "no_proposals"  # the agent has no more ideas
    AGENT_FAILED = "agent_failed"  # request after request came to nothing
    BASELINE_FAILED = "baseline_failed"
    FAILURES = "failures"  # many experiments in a row failed, or the baseline with other seeds
    INFRASTRUCTURE = "infrastructure"  # trials are lost again and again
