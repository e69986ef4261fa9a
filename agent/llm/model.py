"""One language model, as the researcher sees it: it counts, it knows its price, it answers.

The seam at which tests of the researcher put a scripted model; `client.py` is the real one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.ledger import Message

MESSAGE_TOKENS = 4  # what a message costs besides its text (OpenAI's counting guide: 3 or 4)


@dataclass(frozen=True)
class Reply:
    """What one attempt brought, whole or in part."""

    text: str
    input_tokens: int
    output_tokens: int
    dollars: float | None  # None: the price is not known
    seconds: float
    truncated: bool = False  # it ended because the tokens were used up
    error: str = ""  # why it broke off; "": it did not. Without secrets
    lasting: bool = False  # asking again won't help: a wrong key, an unknown model
    refused: bool = False  # this call won't be taken as it stands: too long, refused content
    retry_after: float | None = None  # seconds, where the provider said so


class Model(Protocol):
    """A language model that can be asked."""

    @property
    def name(self) -> str:
        """As the configuration names it, such as "anthropic/claude-sonnet-4-5"."""
        ...

    @property
    def context_tokens(self) -> int:
        """How many tokens a prompt and its answer may have together."""
        ...

    def count(self, text: str) -> int:
        """How many tokens this model makes of a text."""
        ...

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Dollars of a call of this size; None where the price is not known."""
        ...

    async def ask(self, messages: Sequence[Message], *, most_tokens: int) -> Reply:
        """One attempt. Whatever goes wrong with the call is in the Reply; nothing is raised.

        Only a cancellation passes through. The CancelledError may bring what had come by then, a
        Reply, as its attribute `reply`.
        """
        ...
