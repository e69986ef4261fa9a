"""What the agent hands over: an edit with the thought behind it. Plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.briefing import Constants

BASELINE, TUNER, PERSON = "baseline", "tuner", "person"
REBASE, ABLATION = "rebase", "ablation"
NOT_MODELS = frozenset({BASELINE, TUNER, PERSON, REBASE, ABLATION})
"""Origins of proposals that are no model's name."""


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
    origin: str  # "tuner", "person", "rebase" (wins of several), "ablation", or a model's name
    fingerprint: str = ""  # see agent.source
    skeleton: str = ""
    constants: Constants = field(default_factory=dict)
    size: int = 0  # of all its code, the unchanged files too; 0: not counted
    expected: str = ""  # the effect on the metric that its author expects, in the author's words
    instruction: int | None = None  # the instruction that it serves
    combines: int | None = None  # another experiment whose change it brings to the parent's code
    mends: int | None = None  # the crashed experiment whose idea it carries on
    call: int | None = None  # the call of the model that it came from, by the ledger's number
    ablates: int | None = None  # the kept experiment whose edit it takes out of its parent's code
    rebases: tuple[int, ...] = ()  # overtaken wins whose edits it carries over to its parent's code


@dataclass(frozen=True)
class Answer:
    """The proposals that one briefing led to, and what they cost together."""

    request: int
    proposals: tuple[Proposal, ...]
    cost: Cost = field(default_factory=Cost)
    refused: tuple[str, ...] = ()  # proposals that failed their check: "title: reason"
    arm: str = ""  # whose answer it mainly is
    notebook: str = ""  # written anew, where the briefing asked for it and a model did so
    troubles: Mapping[str, str] = field(default_factory=dict)  # arm -> why it gives nothing now
    spent: str = ""  # the limit that keeps the models from being asked: "dollars", "tokens", ...
    refused_by: Mapping[str, int] = field(default_factory=dict)  # arm that answered -> refused ones
