"""The ledger of calls: reserved before a call, settled after it, so that a limit is never passed.

In: what a call may cost at most, and later what it did cost, with its prompt and its answer. Out:
the call's number, by which a proposal names where it came from. The agent keeps no books of its
own: the scheduler's ledger is the study's database, so that a restart forgets nothing, and a call
whose agent died stays reserved in full. This file holds the seam and a ledger in memory, for use
without a study.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from agent.errors import SpentError


@dataclass(frozen=True)
class Message:
    """One message of a prompt, as the chat interfaces of all providers take it."""

    role: str  # "system", "user" or "assistant"
    text: str


@dataclass(frozen=True)
class Intent:
    """A call that is about to be made."""

    request: int  # the briefing that it serves
    model: str
    purpose: str  # "improve", "mend", "rebase", or "repair" of an answer that could not be used
    prompt: tuple[Message, ...]
    input_tokens: int  # counted beforehand
    most_output_tokens: int  # that the model may write
    dollars: float | None  # at most; None: the price is not known


@dataclass(frozen=True)
class Settlement:
    """What became of a call. Tokens are counted for failed calls too."""

    answer: str = ""  # as far as it came
    error: str = ""  # why it failed, without secrets; "": it did not
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: float | None = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Limits:
    """What all calls of a study may use together; None: no limit."""

    dollars: float | None = None
    tokens: int | None = None
    calls: int | None = None


@dataclass(frozen=True)
class Account:
    """What all calls have used, and what those under way may use at most."""

    dollars: float = 0.0
    tokens: int = 0
    calls: int = 0
    unpriced: int = 0  # calls whose price is not known

    def plus(self, *, dollars: float | None, tokens: int, calls: int = 0) -> "Account":
        """With so much more, or less."""
        return replace(
            self,
            dollars=self.dollars + (dollars or 0.0),
            tokens=self.tokens + tokens,
            calls=self.calls + calls,
            unpriced=self.unpriced + (calls if dollars is None else 0),
        )

    def admit(self, intent: Intent, limits: Limits) -> "Account":
        """The account with the call reserved. Raises SpentError where a limit leaves no room."""
        most = intent.input_tokens + intent.most_output_tokens
        after = self.plus(dollars=intent.dollars, tokens=most, calls=1)
        for name, used, limit in (
            ("dollars", after.dollars, limits.dollars),
            ("tokens", after.tokens, limits.tokens),
            ("calls", after.calls, limits.calls),
        ):
            # Sums of dollars are off by rounding; nobody is refused a call for a billionth.
            if limit is not None and used > limit + 1e-9:
                raise SpentError(
                    name, f"the next call could pass the limit of {limit:,} {name} of this study"
                )
        return after

    def settle(self, intent: Intent, settlement: Settlement) -> "Account":
        """The account with what a call did cost in place of what was reserved for it."""
        reserved = intent.input_tokens + intent.most_output_tokens
        used = settlement.input_tokens + settlement.output_tokens
        dollars = self.dollars - (intent.dollars or 0.0) + (settlement.dollars or 0.0)
        unpriced = self.unpriced - (intent.dollars is None) + (settlement.dollars is None)
        return replace(
            self,
            dollars=max(0.0, dollars),  # never below by rounding
            tokens=self.tokens - reserved + used,
            unpriced=unpriced,
        )


class Ledger(Protocol):
    """Where calls are reserved and settled."""

    async def reserve(self, intent: Intent) -> int:
        """Reserve the most that a call may cost; return its number. Raises SpentError."""
        ...

    async def settle(self, call: int, settlement: Settlement) -> None:
        """Record what became of it, in place of what was reserved. A repeat changes nothing."""
        ...


class MemoryLedger:
    """A ledger without a study: for tests and for trying a model by hand."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.account = Account()
        self.calls: list[tuple[Intent, Settlement | None]] = []

    async def reserve(self, intent: Intent) -> int:
        """See Ledger."""
        self.account = self.account.admit(intent, self.limits)
        self.calls.append((intent, None))
        return len(self.calls)

    async def settle(self, call: int, settlement: Settlement) -> None:
        """See Ledger."""
        intent, settled = self.calls[call - 1]
        if settled is None:
            self.calls[call - 1] = (intent, settlement)
            self.account = self.account.settle(intent, settlement)

    def settlements(self) -> Sequence[Settlement]:
        """Those that have been settled, in the order of their calls."""
        return [settled for _, settled in self.calls if settled is not None]
