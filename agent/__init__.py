"""The agent: briefings go in, checked proposals come out.

Knows nothing of Ray, storage or HTTP. Importing it is cheap: the sampler is loaded with the first
request only.
"""

from agent.briefing import Briefing, Code, Constants, PastExperiment
from agent.errors import AgentError, SourceError
from agent.proposal import Answer, Cost, Proposal
from agent.proposer import Proposer, Researcher

__all__ = [
    "AgentError",
    "Answer",
    "Briefing",
    "Code",
    "Constants",
    "Cost",
    "PastExperiment",
    "Proposal",
    "Proposer",
    "Researcher",
    "SourceError",
]
