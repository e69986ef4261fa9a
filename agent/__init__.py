"""The agent: briefings go in, checked proposals come out.

Knows nothing of Ray, storage or HTTP. Importing it is cheap: the sampler is loaded with the first
request only.
"""

from agent.briefing import (
    ArmRecord,
    Briefing,
    Broken,
    Code,
    Constants,
    Instruction,
    PastExperiment,
    Purpose,
    Win,
)
from agent.errors import AgentError, EditError, ModelError, SourceError, SpentError
from agent.proposal import Answer, Cost, Proposal
from agent.proposer import Proposer, Researcher

__all__ = [
    "AgentError",
    "Answer",
    "ArmRecord",
    "Briefing",
    "Broken",
    "Code",
    "Constants",
    "Cost",
    "EditError",
    "Instruction",
    "ModelError",
    "PastExperiment",
    "Proposal",
    "Proposer",
    "Purpose",
    "Researcher",
    "SourceError",
    "SpentError",
    "Win",
]
