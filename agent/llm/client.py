"""A language model behind litellm, hosted or local. One call of `ask` is one attempt over HTTP.

In: a prompt, and how many tokens the answer may have. Out: a Reply, also of what failed, with the
tokens that it cost. The answer is streamed, so that a stalled connection is noticed, a long answer
can be cut off, and a dropped one leaves what it brought.

It keeps no count of money and asks only once; `calls.py` does the rest.
"""

import asyncio
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.ledger import Message
from agent.llm.failures import MOST_CHARACTERS, Failure, failure_of
from agent.llm.keys import Keys, variables_of
from agent.llm.library import litellm
from agent.llm.model import MESSAGE_TOKENS, Reply
from agent.llm.prices import list_price, most
from agent.llm.settings import ModelSettings

__all__ = ["LiteModel", "ModelSettings"]

MOST_TEXT = 400_000  # characters of an answer, about 100,000 tokens: no model is let write more
DEFAULT_CONTEXT = 32_768  # tokens, of a model that litellm's list does not know
CONNECT_SECONDS = 30.0


@dataclass
class _Heard:
    """What has come of an answer so far."""

    opened: bool = False  # the server took the call
    text: list[str] = field(default_factory=list)
    size: int = 0  # characters, of thinking too
    thought: int = 0  # characters of thinking that were shown
    finish: str = ""
    usage: Any = None
    cut: bool = False

    def take(self, chunk: Any) -> bool:
        """Whether the chunk brought anything of the answer."""
        self.usage = getattr(chunk, "usage", None) or self.usage
        before = self.size
        for choice in chunk.choices[:1]:
            self.finish = choice.finish_reason or self.finish
            text = choice.delta.content or ""
            thought = getattr(choice.delta, "reasoning_content", None) or ""
            self.text.append(text[: max(0, MOST_TEXT - self.size)])
            self.thought += len(thought)
            self.size += len(text) + len(thought)
        self.cut = self.size > MOST_TEXT
        return self.size > before


class _LateError(Exception):
    """A limit of time has passed. The text says which."""


class LiteModel:
    """A Model. `hide` takes secrets out of whatever it reports."""

    def __init__(self, settings: ModelSettings, hide: Callable[[str], str] | None = None) -> None:
        self.settings = settings
        self._hide = hide or Keys().hide

    @property
    def name(self) -> str:
        """See Model."""
        return self.settings.name

    @property
    def context_tokens(self) -> int:
        """See Model. By the settings, else litellm's list, else 32768."""
        return (
            self.settings.context_tokens or most(self.name, "max_input_tokens") or DEFAULT_CONTEXT
        )

    def count(self, text: str) -> int:
        """See Model. By the tokenizers that litellm brings; for many models an estimate."""
        if not text:
            return 0
        try:
            return int(litellm().token_counter(model=self.name, text=text))
        except Exception:  # noqa: BLE001 - a tokenizer that fails must not end a study
            # Code has about three and a half characters a token, in any of the usual encodings.
            return math.ceil(len(text) / 3)

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """See Model. The settings' prices go before litellm's list."""
        asked, said = self.settings.input_price, self.settings.output_price
        if asked is not None and said is not None:
            return (input_tokens * asked + output_tokens * said) / 1e6
        return list_price(self.name, input_tokens, output_tokens)

    async def ask(self, messages: Sequence[Message], *, most_tokens: int) -> Reply:
        """See Model."""
        started = time.monotonic()
        heard = _Heard()
        failure: Failure | None = None
        paid = False  # whether the prompt has to be paid although nothing may have come
        try:
            await self._listen(messages, most_tokens, heard)
        except asyncio.CancelledError as cancelled:
            failure = Failure("the call was cancelled")
            reply = self._reply(messages, heard, failure, time.monotonic() - started, paid=True)
            cancelled.reply = reply  # type: ignore[attr-defined]
            raise
        except _LateError as late:
            failure, paid = Failure(str(late)), True
        except Exception as error:  # noqa: BLE001 - the seam promises a Reply, whatever happened
            failure = failure_of(error, opened=heard.opened)
        failure = failure or _judge(heard)
        return self._reply(messages, heard, failure, time.monotonic() - started, paid=paid)

    async def _listen(self, messages: Sequence[Message], most_tokens: int, heard: _Heard) -> None:
        """Ask, and take in what comes. Raises _LateError, and whatever litellm does."""
        # The first call imports litellm. That takes seconds, of which the call must not be robbed.
        module = await asyncio.to_thread(litellm)
        settings, loop = self.settings, asyncio.get_running_loop()
        end = loop.time() + settings.timeout_seconds
        stream: Any = None
        clock = asyncio.timeout_at(min(end, loop.time() + settings.start_seconds))
        try:
            async with clock:
                stream = await module.acompletion(**self._request(messages, most_tokens))
                heard.opened = True
                async for chunk in stream:
                    if heard.take(chunk):
                        clock.reschedule(min(end, loop.time() + settings.stall_seconds))
                    if heard.cut:
                        break
        except TimeoutError:
            if not clock.expired():
                raise
            raise _LateError(_lateness(settings, heard, out_of_time=loop.time() >= end)) from None
        finally:
            if stream is not None and hasattr(stream, "aclose"):
                await stream.aclose()

    def _request(self, messages: Sequence[Message], most_tokens: int) -> dict[str, Any]:
        import httpx  # noqa: PLC0415 - litellm has imported it by now

        settings = self.settings
        limits = (most_tokens, settings.max_output_tokens, most(self.name, "max_output_tokens"))
        asked: dict[str, Any] = {
            "model": settings.name,
            "messages": [{"role": m.role, "content": m.text} for m in messages],
            "max_tokens": min(limit for limit in limits if limit is not None),
            "stream": True,
            "stream_options": {"include_usage": True},
            "drop_params": True,
            "num_retries": 0,
            "max_retries": 0,  # of the client below litellm, which has its own
            "timeout": httpx.Timeout(
                settings.timeout_seconds, connect=min(CONNECT_SECONDS, settings.timeout_seconds)
            ),
        }
        if settings.temperature is not None:
            asked["temperature"] = settings.temperature
        if settings.api_base:
            asked["api_base"] = settings.api_base
        if (key := self._key()) is not None:
            asked["api_key"] = key
        return asked

    def _key(self) -> str | None:
        """The key to send; None: litellm finds it in the environment."""
        if self.settings.key_variable:
            return os.environ.get(self.settings.key_variable)
        names = variables_of(self.settings)
        if self.settings.api_base and names and not any(os.environ.get(name) for name in names):
            return "none-needed"  # servers of one's own ask for none, but the client insists on one
        return None

    def _reply(
        self,
        messages: Sequence[Message],
        heard: _Heard,
        failure: Failure | None,
        seconds: float,
        *,
        paid: bool,
    ) -> Reply:
        text = "".join(heard.text)
        asked = said = 0
        if paid or heard.opened:
            asked = _reported(heard.usage, "prompt_tokens") or self._prompt_tokens(messages)
            said = _reported(heard.usage, "completion_tokens") or (
                self.count(text) + math.ceil(heard.thought / 4)
            )
        return Reply(
            text=self._hide(text),
            input_tokens=asked,
            output_tokens=said,
            dollars=0.0 if asked == said == 0 else self.price(asked, said),
            seconds=seconds,
            truncated=heard.cut or heard.finish == "length",
            error="" if failure is None else self._hide(failure.error)[:MOST_CHARACTERS],
            lasting=failure is not None and failure.lasting,
            refused=failure is not None and failure.refused,
            retry_after=None if failure is None else failure.retry_after,
        )

    def _prompt_tokens(self, messages: Sequence[Message]) -> int:
        return sum(self.count(message.text) + MESSAGE_TOKENS for message in messages)


def _judge(heard: _Heard) -> Failure | None:
    """What is wrong with an answer that came to its end."""
    if heard.finish == "content_filter":
        return Failure("the provider's filter stopped the answer", refused=True)
    if heard.finish == "length" or heard.cut or any(part.strip() for part in heard.text):
        return None
    return Failure("the answer is empty")


def _lateness(settings: ModelSettings, heard: _Heard, *, out_of_time: bool) -> str:
    if out_of_time:
        return f"no complete answer within {settings.timeout_seconds:g} s"
    if heard.size:
        return f"the answer stalled: nothing came for {settings.stall_seconds:g} s"
    return f"no answer began within {settings.start_seconds:g} s"


def _reported(usage: Any, name: str) -> int:
    value = getattr(usage, name, None)
    return value if isinstance(value, int) and value > 0 else 0
