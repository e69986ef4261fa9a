"""What the agent hands over: an edit with the thought behind it. Plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.briefing import Constants


@dataclass(frozen=True)
class Cost:
    """What an answer cost. `dollars` is None where the model's price is not known."""

    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: float | None = 0.0


@dataclass(frozen=True)
class Proposal:
    """One edit of the parent's code that is worth a trial."""

    title: str  # one line
    hypothesis: str  # what is expected, and why
    parent: int  # the experiment whose code was edited
    files: Mapping[str, str]  # the changed files whole: relative path -> text
    origin: str  # "tuner", "person", or a model's name
    fingerprint: str = ""  # see agent.source
    skeleton: str = ""
    constants: Constants = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """The proposals that one briefing led to, and what they cost together."""

    request: int
    proposals: tuple[Proposal, ...]
    cost: Cost = field(default_factory=Cost)
    refused: tuple[str, ...] = ()  # proposals that failed their check: "title: reason"
