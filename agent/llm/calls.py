"""Calls to one model as the researcher makes them: paid for, repeated, given up.

In: a prompt. Out: a reply that is an answer, and its number in the ledger; or ModelError, which
says why there is none. Every attempt is reserved before and settled after, also one that failed or
was cancelled; what is recorded, and what is sent, has gone through `hide`.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from agent.errors import ModelError
from agent.ledger import Intent, Ledger, Message, Settlement
from agent.llm.breaker import Breaker, Permit, RetryPolicy
from agent.llm.keys import Keys
from agent.llm.model import MESSAGE_TOKENS, Model, Reply

# Tokenizers that litellm has not got are estimated by another's. So much more is reserved than was
# counted, so that a limit holds all the same; what the provider reports is what is settled.
MARGIN = 1.2


class Caller:
    """Asks one model. Several calls may be under way at once."""

    def __init__(
        self,
        model: Model,
        ledger: Ledger,
        breaker: Breaker,
        *,
        attempts: int = 4,
        hide: Callable[[str], str] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        self.model = model
        self.breaker = breaker
        self._ledger = ledger
        self._policy = RetryPolicy(attempts)
        self._hide = hide or Keys().hide
        self._sleep = sleep
        self._random = random or Random()
        self._settling: set[asyncio.Future[None]] = set()  # the loop alone would forget them

    async def ask(
        self, request: int, purpose: str, messages: Sequence[Message], most_tokens: int
    ) -> tuple[int, Reply]:
        """An answer and the number of the call that brought it.

        Raises ModelError: the model is left alone, refuses, or failed in all attempts. Raises
        SpentError: a limit leaves no room. A cancellation passes on once the call is settled.
        """
        prompt = tuple(Message(m.role, self._hide(m.text)) for m in messages)
        counted = sum(self.model.count(m.text) + MESSAGE_TOKENS for m in prompt)
        asked = math.ceil(counted * MARGIN)
        dollars = self.model.price(asked, most_tokens)
        intent = Intent(request, self.model.name, purpose, prompt, asked, most_tokens, dollars)
        failed = 0
        while True:
            permit = self._permit()
            call, reply = await self._attempt(intent, permit)
            if not reply.error:
                return call, reply
            failed += 1
            wait = self._policy.wait(failed, self._random, reply.retry_after)
            if wait is None or reply.lasting or reply.refused:
                raise self._given_up(reply, failed)
            await self._sleep(wait)

    def _permit(self) -> Permit:
        permit = self.breaker.admit()
        if permit is None:
            raise ModelError(
                f"{self.model.name}: {self.breaker.why}",
                lasting=self.breaker.lasting,
                retry_after=self.breaker.rest,
            )
        return permit

    async def _attempt(self, intent: Intent, permit: Permit) -> tuple[int, Reply]:
        """One attempt, from its reservation to its settlement."""
        try:
            call = await self._ledger.reserve(intent)
            try:
                reply = await self.model.ask(intent.prompt, most_tokens=intent.most_output_tokens)
            except BaseException as error:
                await self._settle(call, self._broken_off(intent, error))
                raise
        except BaseException:
            self.breaker.release(permit)
            raise
        # Before the ledger is waited for: what the breaker knows must not depend on that.
        if reply.error:
            self.breaker.failed(
                permit,
                self._hide(reply.error),
                lasting=reply.lasting,
                retry_after=reply.retry_after,
            )
        else:
            self.breaker.succeeded(permit)
        await self._settle(call, self._settlement(reply))
        return call, reply

    async def _settle(self, call: int, settlement: Settlement) -> None:
        """Settle; a cancellation meanwhile does not reach the ledger."""
        settling = asyncio.ensure_future(self._ledger.settle(call, settlement))
        self._settling.add(settling)
        settling.add_done_callback(self._settling.discard)
        await asyncio.shield(settling)

    def _settlement(self, reply: Reply) -> Settlement:
        return Settlement(
            answer=self._hide(reply.text),
            error=self._hide(reply.error),
            input_tokens=reply.input_tokens,
            output_tokens=reply.output_tokens,
            dollars=reply.dollars,
            seconds=reply.seconds,
        )

    def _broken_off(self, intent: Intent, error: BaseException) -> Settlement:
        """Of a call that brought no reply: what the error says of it, else all that it may cost."""
        partial = getattr(error, "reply", None)
        if isinstance(partial, Reply):
            return self._settlement(partial)
        cancelled = isinstance(error, asyncio.CancelledError)
        return Settlement(
            error="the call was cancelled" if cancelled else self._hide(f"{type(error).__name__}"),
            input_tokens=intent.input_tokens,
            output_tokens=intent.most_output_tokens,
            dollars=intent.dollars,
        )

    def _given_up(self, reply: Reply, attempts: int) -> ModelError:
        tried = f" ({attempts} attempts)" if attempts > 1 else ""
        return ModelError(
            self._hide(f"{self.model.name}: {reply.error}{tried}"),
            lasting=reply.lasting,
            retry_after=reply.retry_after,
        )
