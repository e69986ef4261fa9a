"""What the agent is told once, when it is made: which models, within what bounds.

In: plain data from the study's configuration, and the keys. Out: a Researcher. Nothing here reads
files or the environment.
"""

import time
from dataclasses import dataclass, field

from agent.ledger import Ledger
from agent.llm.arm import Bounds, ModelArm
from agent.llm.breaker import Breaker
from agent.llm.calls import Caller
from agent.llm.client import LiteModel
from agent.llm.keys import Keys
from agent.llm.library import litellm
from agent.llm.settings import ModelSettings
from agent.proposer import Researcher, Shares


@dataclass(frozen=True)
class AgentSettings:
    """Everything that a Researcher is made from, but its ledger and its keys."""

    models: tuple[ModelSettings, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)
    shares: Shares = field(default_factory=Shares)
    attempts: int = 4
    stop_when_spent: bool = False


def make_researcher(settings: AgentSettings, ledger: Ledger, keys: Keys) -> Researcher:
    """The Researcher with an arm for each model, and the tuner.

    The keys must be in this process's environment already. With models it loads litellm, which
    takes three seconds: not within the first call.
    """
    if settings.models:
        litellm()
    arms = []
    for each in settings.models:
        model = LiteModel(each, hide=keys.hide)
        breaker = Breaker(time.monotonic)
        caller = Caller(model, ledger, breaker, attempts=settings.attempts, hide=keys.hide)
        arms.append(ModelArm(model, caller, settings.bounds))
    return Researcher(arms, shares=settings.shares, stop_when_spent=settings.stop_when_spent)
