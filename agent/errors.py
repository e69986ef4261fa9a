"""The errors of this package.

AgentError
└── SourceError     a file that is to be edited can't be read as Python
"""


class AgentError(Exception):
    """Base of every error that the agent raises on purpose."""


class SourceError(AgentError):
    """A source text does not parse, or lacks what was asked of it."""
