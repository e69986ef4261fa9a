"""The webhook, against a real server that refuses, stalls, drops the line, and comes back."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scheduler.errors import ConfigError
from scheduler.reasons import why
from scheduler.rules.states import StopReason, StudyState
from scheduler.study.config_file import load_config
from scheduler.study.reader import Reader
from scheduler.study.records import ChampionRecord, Live
from scheduler.webhook import Webhook
from tests.synthetic import make_study

SECRET = "T0P-SECRET"
OK = 204


class Service:
    """A chat service. Each POST gets the next of `behaviour`, and the last for ever."""

    def __init__(self) -> None:
        self.behaviour: list[int | str] = [OK]
        self.tried = 0
        self.taken: list[dict[str, Any]] = []
        self.released = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.headers["Content-Type"] == "application/json"
                service.tried += 1
                answers = service.behaviour
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                if answer == "stall":
                    service.released.wait(30)
                    return
                if answer == "drop":
                    self.connection.close()
                    return
                if answer == "drip":  # headers without end: no single wait is long
                    self.send_response(200)
                    self.flush_headers()
                    while not service.released.wait(0.05):
                        self.wfile.write(b"X: y\r\n")
                    return
                if answer == "flood":
                    self.send_response(200)
                    self.end_headers()
                    while not service.released.wait(0.01):
                        self.wfile.write(b"x" * 1000)
                    return
                if answer == OK:
                    service.taken.append(body)
                self.send_response(int(answer))
                self.end_headers()

            def handle(self) -> None:
                with suppress(OSError):  # whoever asked has gone
                    super().handle()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hooks/{SECRET}"

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def events(self) -> list[str]:
        return [each["event"] for each in self.taken]


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Live:
    """A study that runs and has a champion that is not the baseline."""
    folder = make_study(tmp_path_factory.mktemp("hook") / "s", experiments=30, seed=3)
    with Reader(folder / "study.db") as reader:
        study = replace(reader.study(), state=StudyState.RUNNING, reason=None)
        assert study.champion is not None
        assert study.champion.number > 1
        champion = reader.experiment(study.champion.experiment)
    return Live(at=time.time(), study=study, champion=champion)


def crowned(live: Live, number: int, title: str = "wider") -> Live:
    """The same with a newer champion."""
    assert live.champion is not None
    record = ChampionRecord(number, number, 1.0 / number, live.at)
    best = replace(live.champion, id=number, metric=1.0 / number, title=title)
    return replace(live, study=replace(live.study, champion=record), champion=best)


def moved(live: Live, state: StudyState, reason: StopReason) -> Live:
    return replace(live, study=replace(live.study, state=state, reason=reason))


def play(
    service: Service,
    script: Callable[[Webhook], Awaitable[None]],
    *,
    waits: tuple[float, ...] = (0.01, 0.01, 0.01),
    attempt_seconds: float = 5.0,
    last_seconds: float = 20.0,
) -> list[str]:
    """Run a session's webhook; return what the person at the terminal was told."""
    said: list[str] = []

    async def session() -> None:
        async with Webhook(
            service.url,
            "night",
            say=said.append,
            waits=waits,
            attempt_seconds=attempt_seconds,
            last_seconds=last_seconds,
        ) as webhook:
            await script(webhook)

    asyncio.run(session())
    return said


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_champion_a_pause_and_the_end_are_told_once_each(service: Service, live: Live) -> None:
    async def script(webhook: Webhook) -> None:
        webhook.see(live)
        better = crowned(live, 99)
        webhook.see(better)
        webhook.see(better)
        await until(lambda: len(service.taken) == 1)
        paused = moved(better, StudyState.PAUSED, StopReason.FAILURES)
        webhook.see(paused)
        webhook.see(paused)
        await until(lambda: len(service.taken) == 2)
        webhook.see(moved(better, StudyState.STOPPED, StopReason.INSTRUCTION))

    assert play(service, script) == []
    champion, paused, end = service.taken
    assert (champion["event"], champion["study"]) == ("champion", "night")
    assert champion["experiment"]["id"] == 99
    assert champion["metric"]["champion"] == 1.0 / 99
    assert "new champion #99" in champion["text"]
    assert (paused["event"], paused["reason"]) == ("paused", "failures")
    assert "too many experiments in a row failed" in paused["text"]
    assert "autoresearch unpause" in paused["text"]
    assert (end["event"], end["state"], end["reason"]) == ("ended", "stopped", "instruction")


def test_a_resumed_study_does_not_tell_its_past(service: Service, live: Live) -> None:
    async def script(webhook: Webhook) -> None:
        webhook.see(live)

    play(service, script)
    assert service.events() == ["ended"]
    assert "cut off by an error" in service.taken[0]["text"]


def test_a_service_that_fails_and_drops_the_line_gets_it_when_it_recovers(
    service: Service, live: Live
) -> None:
    service.behaviour = [500, "drop", 429, OK]

    async def script(webhook: Webhook) -> None:
        webhook.see(live)
        webhook.see(crowned(live, 99))
        await until(lambda: len(service.taken) == 1)

    assert play(service, script) == []
    assert service.events() == ["champion", "ended"]
    assert service.tried == 5


def test_of_two_of_a_kind_that_wait_the_newer_is_sent(service: Service, live: Live) -> None:
    service.behaviour = ["stall", OK]

    async def script(webhook: Webhook) -> None:
        webhook.see(live)
        webhook.see(crowned(live, 97))
        await until(lambda: service.tried == 1)
        for number in range(98, 198):
            webhook.see(crowned(live, number))
        assert len(webhook._waiting) == 1
        service.released.set()
        await until(lambda: len(service.taken) == 1)

    play(service, script)
    assert [each["experiment"]["id"] for each in service.taken] == [197, 197]
    assert service.events() == ["champion", "ended"]


def test_a_service_that_stalls_is_given_up_and_the_session_ends(
    service: Service, live: Live
) -> None:
    service.behaviour = ["stall"]

    async def script(webhook: Webhook) -> None:
        webhook.see(live)
        webhook.see(crowned(live, 99))
        await until(lambda: service.tried == 1)

    (said,) = play(service, script, last_seconds=0.2)
    assert said == "webhook 127.0.0.1: not all was sent before the end"


@pytest.mark.parametrize("behaviour", ["stall", "drip"])
def test_an_attempt_has_a_time_limit(service: Service, live: Live, behaviour: str) -> None:
    service.behaviour = [behaviour, OK]

    async def script(webhook: Webhook) -> None:
        webhook.see(live)

    assert play(service, script, attempt_seconds=2.0) == []
    assert service.events() == ["ended"]


def test_an_answer_without_end_counts_as_taken_and_holds_nothing_up(
    service: Service, live: Live
) -> None:
    service.behaviour = ["flood"]

    async def script(webhook: Webhook) -> None:
        webhook.see(live)
        webhook.see(crowned(live, 99))

    assert play(service, script) == []
    assert service.tried == 2


def test_a_refusal_is_not_repeated_and_the_url_is_not_told(service: Service, live: Live) -> None:
    service.behaviour = [404]

    async def script(webhook: Webhook) -> None:
        webhook.see(live)

    (said,) = play(service, script)
    assert service.tried == 1
    assert "ended was not taken (status 404)" in said
    assert SECRET not in said


def test_nobody_there_is_said_with_the_host_alone(service: Service, live: Live) -> None:
    service.close()

    async def script(webhook: Webhook) -> None:
        webhook.see(live)

    (said,) = play(service, script)
    assert "127.0.0.1: ended was not taken (ConnectError)" in said
    assert SECRET not in said


def test_a_title_calls_nobody_in_a_chat(service: Service, live: Live) -> None:
    async def script(webhook: Webhook) -> None:
        webhook.see(live)
        webhook.see(crowned(live, 99, title="<!channel> @everyone look\n\x1b[2J"))
        await until(lambda: len(service.taken) == 1)

    play(service, script)
    text = service.taken[0]["text"]
    assert "<!channel>" not in text
    assert "@everyone" not in text
    assert "\x1b" not in text
    assert service.taken[0]["experiment"]["title"].startswith("<!channel> @everyone look")


@pytest.mark.parametrize("reason", StopReason)
def test_there_are_words_for_every_reason(live: Live, reason: StopReason) -> None:
    assert why(moved(live, StudyState.STOPPED, reason).study)


# ---- the key ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["chat.example.com/x", "ftp://a.example/x", "https:///x", "https://h:x/", "https://a b/"]
)
def test_what_is_no_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config("local", [], {"AUTORESEARCH_NOTIFY__WEBHOOK": url})
    assert "notify.webhook: must be a URL" in str(error.value)
    assert url not in str(error.value)


def test_the_url_stands_in_no_traceback(service: Service) -> None:
    config = load_config("local", [f"notify.webhook={service.url}"], {})
    assert config.notify.webhook == service.url
    assert SECRET not in repr(config)


def test_the_default_tells_nobody(tmp_path: Path) -> None:
    assert load_config("local", [], {}).notify.webhook is None
