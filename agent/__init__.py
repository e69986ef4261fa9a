"""The agent: briefings go in, checked proposals come out.

Knows nothing of Ray, storage or HTTP. What goes in and what comes out is here, as plain data; what
does the work is imported on its own: `agent.proposer` answers briefings.
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
    "Purpose",
    "SourceError",
    "SpentError",
    "Win",
]
