"""Calls through real litellm and real HTTP to a server that misbehaves."""

import asyncio
import json
import logging
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import pytest

from agent.errors import ModelError, SpentError
from agent.ledger import Limits, MemoryLedger, Message, Settlement
from agent.llm.breaker import Breaker
from agent.llm.calls import Caller
from agent.llm.client import MOST_TEXT, LiteModel, ModelSettings
from agent.llm.failures import failure_of, read_retry_after
from agent.llm.keys import Keys
from agent.llm.model import Reply
from tests.fixtures.model_server import (
    ModelServer,
    Request,
    Say,
    Script,
    cut,
    dropped,
    failure,
    huge,
    patient,
    reset,
    rubbish,
    stalled,
)

# litellm filters it out itself; pytest puts it back.
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the:DeprecationWarning")

ROOT = Path(__file__).parents[2]
PROMPT = (Message("system", "You are a researcher."), Message("user", "Improve train.py."))
ANSWER = "Try a larger learning rate.\n" * 20
SECRET = "key-of-the-tests/0123456789+abcdef"
KEYS = Keys({"OPENAI_API_KEY": SECRET})


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


def settings(server: ModelServer, **changes: Any) -> ModelSettings:
    usual = ModelSettings(
        "openai/tester", api_base=server.url, input_price=2.0, output_price=10.0, start_seconds=30
    )
    return replace(usual, **changes)


def asked(script: Script, **changes: Any) -> Reply:
    """The reply of one attempt, of which the server saw one request."""
    with ModelServer(script) as server:
        model = LiteModel(settings(server, **changes), KEYS.hide)
        reply = asyncio.run(model.ask(PROMPT, most_tokens=1000))
        assert len(server.requests) == 1
        return reply


# One attempt


def test_an_answer_comes_whole_with_the_tokens_that_the_provider_reports() -> None:
    reply = asked([ANSWER])
    prompt = "\n".join(m.text for m in PROMPT)
    assert (reply.text, reply.error, reply.truncated) == (ANSWER, "", False)
    assert (reply.input_tokens, reply.output_tokens) == (len(prompt) // 4, len(ANSWER) // 4)
    assert reply.dollars == pytest.approx((reply.input_tokens * 2 + reply.output_tokens * 10) / 1e6)


def test_the_request_says_what_the_settings_say() -> None:
    with ModelServer([ANSWER]) as server:
        model = LiteModel(settings(server, temperature=0.5, max_output_tokens=700))
        asyncio.run(model.ask(PROMPT, most_tokens=1000))
    (request,) = server.requests
    assert request.body["messages"] == [{"role": m.role, "content": m.text} for m in PROMPT]
    assert (request.body["model"], request.body["temperature"]) == ("tester", 0.5)
    assert request.body["max_tokens"] == 700
    assert request.headers["authorization"] == f"Bearer {SECRET}"


def test_a_server_without_keys_is_asked_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert asked([ANSWER]).text == ANSWER


def test_the_variable_that_a_person_names_holds_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEIRS", "another-key-0123456789")
    with ModelServer([ANSWER]) as server:
        model = LiteModel(settings(server, key_variable="THEIRS"))
        asyncio.run(model.ask(PROMPT, most_tokens=1000))
    assert server.requests[0].headers["authorization"] == "Bearer another-key-0123456789"


def test_tokens_are_counted_where_the_provider_reports_none() -> None:
    reply = asked([Say(ANSWER, usage=False)])
    model = LiteModel(ModelSettings("openai/tester"))
    assert reply.output_tokens == pytest.approx(model.count(ANSWER), rel=0.1)
    assert 0 < reply.input_tokens < 50


@pytest.mark.parametrize(
    ("answer", "error", "lasting", "refused"),
    [
        (failure(429, "slow down"), "429 slow down", False, False),
        (failure(500, "boom"), "500 boom", False, False),
        (failure(503, "overloaded"), "503 overloaded", False, False),
        (failure(401, "who are you?"), "401 who are you?", True, False),
        (failure(402, "no credit"), "402 no credit", True, False),
        (failure(403, "not you"), "403 not you", True, False),
        (failure(404, "no model `tester`", code="model_not_found"), "404 no model", True, False),
        (failure(429, "quota", code="insufficient_quota"), "429 quota", True, False),
        (failure(400, "bad parameter"), "400 bad parameter", False, True),
        (failure(413, "too large"), "413 too large", False, True),
        (
            failure(400, "This model's maximum context length is 10 tokens"),
            "400 This model's maximum context length is 10 tokens",
            False,
            True,
        ),
    ],
)
def test_a_refused_call_costs_nothing_and_says_whose_fault_it_is(
    answer: Say, error: str, lasting: bool, refused: bool
) -> None:
    reply = asked([answer])
    assert reply.error.startswith(error)
    assert (reply.lasting, reply.refused) == (lasting, refused)
    assert (reply.text, reply.input_tokens, reply.output_tokens, reply.dollars) == ("", 0, 0, 0.0)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_read_as_seconds_and_as_a_date(status: int) -> None:
    assert asked([failure(status, retry_after="7")]).retry_after == 7.0
    dated = asked([failure(status, retry_after=formatdate(time.time() + 100, usegmt=True))])
    assert dated.retry_after is not None
    assert 0 < dated.retry_after <= 100
    assert asked([failure(status, retry_after="soon")]).retry_after is None


def test_a_date_that_is_past_asks_for_nothing() -> None:
    assert read_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now=time.time()) == 0.0
    assert read_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now=1445412470.0) == 10.0


@pytest.mark.parametrize("broken", [dropped, reset])
def test_a_broken_stream_leaves_what_it_brought_and_its_tokens(
    broken: Callable[[str], Say],
) -> None:
    reply = asked([broken(ANSWER)])
    assert reply.text == ANSWER
    assert reply.error.startswith("the answer broke off: ")
    assert not reply.lasting
    assert reply.input_tokens > 0
    assert reply.output_tokens > 50
    assert reply.dollars


def test_a_stream_that_stalls_is_given_up_and_its_connection_closed() -> None:
    reply = asked([stalled(ANSWER)], stall_seconds=0.3)
    assert reply.text == ANSWER
    assert reply.error == "the answer stalled: nothing came for 0.3 s"
    assert reply.output_tokens > 50


def test_a_server_that_takes_the_call_and_is_silent_is_given_up() -> None:
    reply = asked([patient(ANSWER, 30)], start_seconds=0.3)
    assert reply.error == "no answer began within 0.3 s"
    assert reply.input_tokens > 0  # it may have read the prompt


def test_silence_before_the_first_word_is_no_stall() -> None:
    assert asked([Say(ANSWER, think=0.6)], stall_seconds=0.3).text == ANSWER


def test_an_answer_that_does_not_end_in_time_is_cut_off() -> None:
    reply = asked([stalled(ANSWER)], timeout_seconds=0.4)
    assert reply.error == "no complete answer within 0.4 s"
    assert reply.text == ANSWER


def test_an_answer_that_used_up_its_tokens_is_marked() -> None:
    reply = asked([cut(ANSWER)])
    assert (reply.text, reply.truncated, reply.error) == (ANSWER, True, "")


def test_two_megabytes_are_cut_off_and_the_rest_is_never_fetched() -> None:
    reply = asked([huge()])
    assert len(reply.text) == MOST_TEXT
    assert (reply.truncated, reply.error) == (True, "")
    assert reply.output_tokens > MOST_TEXT / 8


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " \n",
        rubbish(),
        rubbish(b"data: {nonsense\n\n"),
        rubbish(b'{"choices": 7}'),
        rubbish(b""),
        rubbish(b"\x00\xff" * 1000),
        Say(raw=b'data: {"error": {"message": "overloaded", "code": 503}}\n\n'),
        Say(raw=b'data: {"id": 1, "choices": []}\n\ndata: [DONE]\n\n'),
    ],
    ids=range(9),
)
def test_nothing_and_nonsense_are_errors_that_may_pass(answer: Say | str) -> None:
    reply = asked([answer])
    assert reply.error
    assert "\n" not in reply.error
    assert (reply.lasting, reply.refused) == (False, False)


def test_a_filtered_answer_is_refused() -> None:
    assert asked([Say(ANSWER, finish="content_filter")]).refused


def test_a_long_error_is_one_short_line() -> None:
    reply = asked([failure(500, "a line\n" * 5000)])
    assert reply.error.startswith("500 a line a line")
    assert len(reply.error) == 300


def test_no_server_at_all_is_an_error_that_may_pass() -> None:
    with ModelServer([]) as server:
        gone = settings(server)
    reply = asyncio.run(LiteModel(gone).ask(PROMPT, most_tokens=10))
    assert reply.error.startswith("no answer: ")
    assert (reply.lasting, reply.input_tokens, reply.dollars) == (False, 0, 0.0)


def test_a_name_that_no_provider_has_is_a_lasting_error() -> None:
    reply = asyncio.run(LiteModel(ModelSettings("nobodys-model")).ask(PROMPT, most_tokens=10))
    assert reply.lasting
    assert "litellm knows no provider of this name: write provider/model" in reply.error


def test_an_exception_of_any_kind_is_described() -> None:
    found = failure_of(ValueError(), now=0.0)
    assert (found.error, found.lasting) == ("no answer: ValueError", False)


# Price, size, tokens


def test_prices_and_sizes_are_those_of_the_list_or_of_the_settings_and_never_guessed() -> None:
    listed = LiteModel(ModelSettings("anthropic/claude-sonnet-4-5"))
    assert listed.price(1_000, 1_000) == pytest.approx(0.018)
    assert listed.context_tokens == 200_000
    unknown = LiteModel(ModelSettings("openai/mine", api_base="http://localhost:1/v1"))
    assert unknown.price(1_000, 1_000) is None
    assert unknown.context_tokens == 32_768
    half = LiteModel(ModelSettings("openai/mine", input_price=1.0))
    assert half.price(1_000, 1_000) is None
    stated = ModelSettings("gpt-5", input_price=1.0, output_price=2.0, context_tokens=9_000)
    assert LiteModel(stated).price(1_000_000, 1_000_000) == pytest.approx(3.0)
    assert LiteModel(stated).context_tokens == 9_000


def test_an_unknown_price_is_none_also_for_a_call_that_cost_tokens() -> None:
    assert asked([ANSWER], input_price=None).dollars is None
    assert asked([failure(500)], input_price=None).dollars == 0.0


@pytest.mark.parametrize("name", ["openai/x", "claude-sonnet-4-5", "groq/llama-3.1-8b", "ollama/q"])
def test_counting_takes_any_text(name: str) -> None:
    model = LiteModel(ModelSettings(name))
    assert model.count("") == 0
    for text in ("hello world", "<|endoftext|>", "é" * 1000, "\ud800", "a" * 100_000):
        assert model.count(text) > 0


# Several attempts, and their books


class Stage:
    """A Caller with its ledger, whose waits are noted and not waited for."""

    def __init__(self, server: ModelServer, limits: Limits | None = None, **changes: Any) -> None:
        self.ledger = MemoryLedger(limits)
        self.breaker = Breaker(time.monotonic)
        self.waits: list[float] = []
        self.caller = Caller(
            LiteModel(settings(server, **changes), KEYS.hide),
            self.ledger,
            self.breaker,
            hide=KEYS.hide,
            sleep=self._sleep,
            random=Random(1),
        )

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def ask(self) -> tuple[int, Reply]:
        return await self.caller.ask(7, "improve", PROMPT, 1000)

    @property
    def errors(self) -> list[str]:
        return [settled.error for settled in self.ledger.settlements()]


def test_what_passes_is_tried_again_and_every_attempt_is_in_the_books() -> None:
    script = [failure(429, "slow down", retry_after="3"), dropped("half"), failure(500, "boom")]
    with ModelServer([*script, ANSWER]) as server:
        stage = Stage(server)
        call, reply = asyncio.run(stage.ask())
    assert (call, reply.text) == (4, ANSWER)
    assert [error[:8] for error in stage.errors] == ["429 slow", "the answ", "500 boom", ""]
    first, second, third = stage.waits
    assert 3 <= first <= 4
    assert 0 <= second <= 2
    assert 0 <= third <= 4
    settled = stage.ledger.settlements()
    used = sum(s.input_tokens + s.output_tokens for s in settled)
    assert stage.ledger.account.tokens == used
    assert stage.ledger.account.calls == 4
    assert settled[1].answer == "half"
    intent, _ = stage.ledger.calls[0]
    assert (intent.request, intent.purpose, intent.prompt) == (7, "improve", PROMPT)
    assert intent.input_tokens + intent.most_output_tokens >= used / 2


def test_it_gives_up_after_four_attempts() -> None:
    with ModelServer([failure(500, "boom")]) as server:
        stage = Stage(server)
        with pytest.raises(ModelError, match=r"openai/tester: 500 boom \(4 attempts\)") as given_up:
            asyncio.run(stage.ask())
        assert len(server.requests) == 4
    assert not given_up.value.lasting


@pytest.mark.parametrize("answer", [failure(401), failure(400), failure(429, retry_after="500")])
def test_it_does_not_repeat_what_is_bound_to_fail(answer: Say) -> None:
    with ModelServer([answer]) as server:
        stage = Stage(server)
        with pytest.raises(ModelError) as given_up:
            asyncio.run(stage.ask())
        assert len(server.requests) == 1
    assert given_up.value.lasting == (answer.status == 401)


def test_a_model_that_is_left_alone_is_not_asked() -> None:
    with ModelServer([failure(401, "wrong key")]) as server:
        stage = Stage(server)
        for _ in range(2):
            with pytest.raises(ModelError) as refused:
                asyncio.run(stage.ask())
        assert len(server.requests) == 1
    words = "openai/tester: 401 wrong key (1 failed attempt; left alone for 30 s)"
    assert str(refused.value) == words
    assert refused.value.lasting
    assert refused.value.retry_after == pytest.approx(30, abs=5)
    assert stage.ledger.account.calls == 1


def test_a_refused_prompt_does_not_shut_the_model_off() -> None:
    with ModelServer([failure(400, "prompt is too long"), ANSWER]) as server:
        stage = Stage(server)
        with pytest.raises(ModelError):
            asyncio.run(stage.ask())
        assert asyncio.run(stage.ask())[1].text == ANSWER


def test_a_limit_that_leaves_no_room_is_raised_and_nothing_is_sent() -> None:
    with ModelServer([failure(500), ANSWER]) as server:
        stage = Stage(server, Limits(calls=1))
        with pytest.raises(SpentError):
            asyncio.run(stage.ask())
        assert len(server.requests) == 1
    assert stage.breaker.admit() is not None


def test_several_calls_are_under_way_at_once() -> None:
    def answer(request: Request) -> Say:
        return patient(f"answer {request.number}", 0.5)

    async def scene(stage: Stage) -> None:
        replies = await asyncio.gather(*(stage.ask() for _ in range(8)))
        assert {call for call, _ in replies} == set(range(1, 9))
        assert {reply.text for _, reply in replies} == {f"answer {n}" for n in range(1, 9)}

    with ModelServer(answer) as server:
        asyncio.run(scene(Stage(server)))
        assert server.most_at_once > 4


@pytest.mark.parametrize("script", [[stalled(ANSWER)], [patient(ANSWER, 30)]])
def test_a_cancelled_call_is_settled_with_what_is_known_and_the_cancellation_passes(
    script: list[Say],
) -> None:
    async def scene(stage: Stage, server: ModelServer) -> None:
        call = asyncio.create_task(stage.ask())
        while not server.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        (settled,) = stage.ledger.settlements()
        assert settled.error == "the call was cancelled"
        assert settled.input_tokens > 0
        if script[0].end == "stall":
            assert settled.answer == ANSWER
            assert settled.output_tokens > 50
        assert stage.breaker.admit() is not None

    with ModelServer(script) as server:
        asyncio.run(scene(Stage(server), server))


class SlowLedger(MemoryLedger):
    """One that takes its time, as a ledger in another process does."""

    settling = False

    async def settle(self, call: int, settlement: Settlement) -> None:
        self.settling = True
        await asyncio.sleep(0.2)
        await super().settle(call, settlement)


def test_the_ledger_has_it_before_the_cancellation_passes_on() -> None:
    async def scene(caller: Caller, server: ModelServer) -> None:
        call = asyncio.create_task(caller.ask(1, "improve", PROMPT, 100))
        while not server.requests:
            await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        assert [settled.error for settled in ledger.settlements()] == ["the call was cancelled"]

    with ModelServer([stalled(ANSWER)]) as server:
        ledger = SlowLedger()
        model = LiteModel(settings(server))
        asyncio.run(scene(Caller(model, ledger, Breaker(time.monotonic)), server))


def test_a_cancellation_while_the_ledger_is_told_does_not_reach_the_ledger() -> None:
    async def scene(caller: Caller) -> None:
        call = asyncio.create_task(caller.ask(1, "improve", PROMPT, 100))
        while not ledger.settling:
            await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        while not ledger.settlements():
            await asyncio.sleep(0.01)
        assert ledger.settlements()[0].answer == ANSWER

    with ModelServer([ANSWER]) as server:
        ledger = SlowLedger()
        model = LiteModel(settings(server))
        asyncio.run(scene(Caller(model, ledger, Breaker(time.monotonic))))


def test_a_cancelled_probe_gives_its_place_back() -> None:
    now = [0.0]

    async def scene(stage: Stage, server: ModelServer) -> None:
        with pytest.raises(ModelError):
            await stage.ask()
        now[0] += 30
        probe = asyncio.create_task(stage.ask())
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)
        probe.cancel()
        await asyncio.wait([probe])
        assert (await stage.ask())[1].text == ANSWER

    with ModelServer([failure(401), patient(ANSWER, 30), ANSWER]) as server:
        stage = Stage(server)
        stage.caller.breaker = stage.breaker = Breaker(lambda: now[0])
        asyncio.run(scene(stage, server))


# Keys


def echo(request: Request) -> Say:
    """What a careless gateway does: the request's headers in its error."""
    return failure(401, f"rejected: {json.dumps(dict(request.headers))}")


def echo_answer(request: Request) -> Say:
    key = request.headers["authorization"]
    return Say(f"Your key is {key}, {quote(SECRET, safe='')} in an address.", piece=7)


UNQUOTED = [rubbish(f"data: {SECRET}\n\n".encode())]  # the error does not quote it


@pytest.mark.parametrize(
    "script",
    [
        echo,
        echo_answer,
        [failure(500, f"no luck with {SECRET}")],
        [failure(400, f"{SECRET} is too long for the context: prompt is too long")],
        [failure(429, f"{SECRET} is over its limit", retry_after="1")],
        [Say(status=502, raw=f"<html>{SECRET}</html>".encode())],
        [Say(raw=f'data: {{"error": {{"message": "{SECRET}"}}}}\n\n'.encode())],
        UNQUOTED,
        [dropped(f"Bearer {SECRET}")],
        [reset(f"Bearer {SECRET}")],
        [stalled(f"Bearer {SECRET}")],
        [cut(f"Bearer {SECRET}")],
        [failure(404, "x" * 290 + SECRET)],
        [failure(403, f"{SECRET} " * 2000)],
    ],
    ids=lambda script: script.__name__ if callable(script) else str(script[0])[:30],
)
def test_no_key_is_in_reply_ledger_exception_log_or_output(
    script: Script, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    with ModelServer(script) as server:
        stage = Stage(server, stall_seconds=0.3)
        seen.append(repr(asyncio.run(stage.caller.model.ask(PROMPT, most_tokens=10))))
        try:
            seen.append(repr(asyncio.run(stage.ask())))
        except ModelError as error:
            seen.extend((str(error), repr(error), *traceback.format_exception(error)))
    seen.extend(repr(entry) for entry in stage.ledger.calls)
    seen.append(stage.breaker.why)
    seen.extend(
        f"{record.getMessage()} {record.exc_text} {record.__dict__}" for record in caplog.records
    )
    seen.extend(capfd.readouterr())
    text = "\n".join(seen)
    assert "***" in text or script is UNQUOTED
    assert SECRET not in text
    assert quote(SECRET, safe="") not in text


def test_a_key_in_the_prompt_is_sent_to_nobody() -> None:
    with ModelServer([ANSWER]) as server:
        stage = Stage(server)
        prompt = (Message("user", f"The log says {SECRET}."),)
        asyncio.run(stage.caller.ask(1, "mend", prompt, 100))
        assert server.requests[0].prompt == "The log says ***."


# The library


def in_a_process_of_its_own(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "LITELLM_LOG": "DEBUG"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**environ, "OPENAI_API_KEY": SECRET, "HOME": str(cwd)},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def test_importing_the_client_imports_no_litellm(tmp_path: Path) -> None:
    code = (
        "import sys, agent.llm.calls, agent.llm.client, agent.llm.keys\n"
        "print([m for m in ('litellm', 'openai', 'httpx', 'ray') if m in sys.modules])"
    )
    assert in_a_process_of_its_own(code, tmp_path).stdout == "[]\n"


def test_nothing_but_the_model_is_called_and_nothing_is_printed(tmp_path: Path) -> None:
    # Python tells of every connection and look-up of a name; a person's .env is not read.
    (tmp_path / ".env").write_text("GROQ_API_KEY=from-a-stray-file\n")
    code = """
import asyncio, os, sys
reached = set()
def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        reached.add(str(args[1] if event == "socket.connect" else args[:2]))
sys.addaudithook(watch)
from agent.ledger import Message
from agent.llm.client import LiteModel, ModelSettings
for url, most in ((URL, 100), (URL, 100)):
    model = LiteModel(ModelSettings("openai/tester", api_base=url))
    asyncio.run(model.ask([Message("user", "hi")], most_tokens=most))
for name in ("gpt-5", "anthropic/claude-sonnet-4-5", "groq/llama-3.1-8b", "meta/llama-2-7b",
             "ollama/qwen3", "command-r", "deepseek/deepseek-chat", "gemini/gemini-2.5-pro"):
    model = LiteModel(ModelSettings(name))
    model.count("hello"), model.price(1, 1), model.context_tokens
assert "GROQ_API_KEY" not in os.environ
with open("reached", "w") as file:
    file.write("\\n".join(sorted(reached)))
"""
    with ModelServer([ANSWER, failure(401, "no")]) as server:
        done = in_a_process_of_its_own(code.replace("URL", repr(server.url)), tmp_path)
        port = server.url.split(":")[2].split("/")[0]
    assert (done.stdout, done.stderr) == ("", "")
    addresses = (tmp_path / "reached").read_text().splitlines()
    assert addresses
    for address in addresses:
        assert "127.0.0.1" in address
        assert port in address
