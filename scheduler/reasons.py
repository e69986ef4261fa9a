"""Why a study stopped or paused, and why the best figure need not be the champion's, in words.

In: a study's state with its reason, the first of its leaderboard. Out: text for a person. Shared by
the command line, the pages and the webhook, so that all of them say the same. Decides nothing.
"""

import re
from collections.abc import Sequence
from itertools import takewhile

from scheduler.rules.states import ExperimentState, StopReason
from scheduler.study.records import Experiment, Study

SAID = re.compile(r"^(?:kept|discarded):? |(?<=^the baseline), over \d+ trials?$")
"""What a state says already; and of a baseline the trials that it had when it was decided, as
others come after."""

REASONS = {
    StopReason.MAX_EXPERIMENTS: "stop.max_experiments is reached",
    StopReason.MAX_HOURS: "the hours of stop.max_hours are used up",
    StopReason.PLATEAU: "stop.plateau experiments in a row brought no new champion",
    StopReason.MAX_DOLLARS: "the dollars of agent.max_dollars are spent",
    StopReason.MAX_TOKENS: "the tokens of agent.max_tokens are used up",
    StopReason.MAX_CALLS: "the calls of agent.max_calls are used up",
    StopReason.SIGNAL: "it was interrupted",
    StopReason.INSTRUCTION: "a person asked for it",
    StopReason.NO_PROPOSALS: "the agent has no more ideas that were not tried before",
    StopReason.AGENT_FAILED: "the agent failed again and again",
    StopReason.BASELINE_FAILED: "the baseline failed",
    StopReason.FAILURES: "too many experiments in a row failed",
    StopReason.INFRASTRUCTURE: "trials are lost again and again",
}


def why(study: Study) -> str:
    """Why the study is in its state, as far as there is something to say; else ""."""
    return study.text or (REASONS[study.reason] if study.reason else "")


def decision(experiment: Experiment) -> str:
    """Why it was decided so, to stand after the word for its state: that is not said twice."""
    return SAID.sub("", experiment.reason)


def above(leaders: Sequence[Experiment], champion: int | None) -> str:
    """Which of these, the best first, stand above the champion and were not kept; else ""."""
    if champion is None:
        return ""
    before = takewhile(lambda each: each.id != champion, leaders)
    passed = [f"#{each.id}" for each in before if each.state is ExperimentState.DISCARD]
    if not passed:
        return ""
    names = ", ".join(passed)
    return f"above the champion, and not kept: {names}; by one trial, or not shown to be better"
