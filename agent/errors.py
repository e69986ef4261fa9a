"""The errors of this package.

AgentError
├── SourceError     a file that is to be edited can't be read as Python
├── EditError       an edit can't be applied; the text is for whoever wrote it
├── KeysError       the file of keys can't be used
├── ModelError      a call to a language model came to nothing
└── SpentError      a limit of money, tokens or calls leaves no room for a call
"""


class AgentError(Exception):
    """Base of every error that the agent raises on purpose."""


class SourceError(AgentError):
    """A source text does not parse, or lacks what was asked of it."""


class EditError(AgentError):
    """An edit can't be applied. The text says which, why, and what lies nearest."""


class KeysError(AgentError):
    """The file of keys can't be read, or others may read it. The text shows nothing of it."""


class ModelError(AgentError):
    """A call to a language model came to nothing. The text holds no secret.

    `lasting`: asking again won't help (a wrong key, an unknown model); a person must act.
    `retry_after`: seconds that the provider asked to be left alone, where it did.
    """

    def __init__(
        self, message: str, *, lasting: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.lasting = lasting
        self.retry_after = retry_after


class SpentError(AgentError):
    """A limit leaves no room for a call. `limit` is "dollars", "tokens" or "calls"."""

    def __init__(self, limit: str, message: str) -> None:
        super().__init__(limit, message)  # both, so that it can be pickled
        self.limit = limit

    def __str__(self) -> str:
        """The message alone."""
        return str(self.args[1])
