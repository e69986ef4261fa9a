"""What watching a study costs: those who watch, and the study.

Beside a study of 1,000 experiments that takes in five events a second (as one of 1,500 slots does
with trials of 300 s), in a process of its own as the results actor is: 200 listeners
to its events and 500 requests a second to its pages, for 20 s, over loopback. Prints the latency
of requests, from when each was due; how late the listeners heard of events; and what it costs the
study: the latency of `Results.handle` before and during, which is all that a loop waits for. All
processes share the machine's cores, those that ask included.

    python -m benchmarks api
"""

import asyncio
import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles

import psutil

from agent.proposal import BASELINE
from scheduler.api.serving import Server, bind
from scheduler.api.tokens import Tokens
from scheduler.correspondence import Posted
from scheduler.results import Plan, Results
from scheduler.rules import events as ev
from scheduler.study.config_file import load_config
from scheduler.study.letters import Pause, Unpause
from tests.fixtures.lab import proposal
from tests.synthetic import make_study
from workers import Resources

EXPERIMENTS = 1000
LISTENERS, RATE, SECONDS = 200, 500, 20.0
SHORT_SECONDS = 5.0  # without --full
CONNECTIONS = 32  # over which the requests go
EVENTS_PER_SECOND = 5
PATHS = ("/study", "/leaderboard", "/experiments?limit=20", "/experiments/3", "/instructions")
TOKENS = Tokens("the-token-of-a-benchmark")


def main(*, full: bool = False) -> None:
    """Measure, and print."""
    seconds = SECONDS if full else SHORT_SECONDS
    with tempfile.TemporaryDirectory() as place:
        folder = make_study(Path(place, "study"), EXPERIMENTS, seed=1, slots=16)
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        study = multiprocessing.get_context("spawn").Process(target=act, args=(folder, theirs))
        study.start()
        with Server(folder, bind("127.0.0.1", 0), TOKENS) as server:
            port = int(server.url.rpartition(":")[2])
            child = psutil.Process(server._process.pid)
            ours.recv()  # the study runs
            asyncio.run(ask(port, "/healthz"))
            time.sleep(seconds)
            quiet_until, before = time.time(), child.cpu_times()
            took, late, failed = asyncio.run(load(port, seconds))
            after, memory = child.cpu_times(), child.memory_info().rss
            ours.send("enough")
            handled: list[tuple[float, float]] = ours.recv()
            study.join()
    cpu = (after.user + after.system - before.user - before.system) / seconds
    print(f"{LISTENERS} listeners, {RATE} requests/s for {seconds:g} s")
    print(f"  requests answered {len(took)}, failed {failed}")
    print_line("  request, ms", took)
    print_line("  event heard, ms", late)
    print(f"  HTTP process: {100 * cpu:.0f} % of a core, {memory / 2**20:.0f} MiB")
    print("the study, five events a second")
    print_line("  handle before, ms", [s for at, s in handled if at < quiet_until])
    print_line("  handle during, ms", [s for at, s in handled if at >= quiet_until])


def print_line(name: str, seconds: Sequence[float]) -> None:
    """The middle and the end of a distribution."""
    parts = quantiles(seconds, n=100)
    print(f"{name:22} p50 {1e3 * median(seconds):7.2f}  p99 {1e3 * parts[98]:7.2f}")


def act(folder: Path, pipe: Connection) -> None:
    """The study's process: takes in events at its pace until it is told that it is enough."""
    config = load_config("local", ["stop.max_experiments=100000", "keep.most_seeds=0"], {})
    first = replace(proposal("honest(2.0)", "baseline"), origin=BASELINE)
    results = Results(folder, config, Plan(first, "task", "data", Resources()))
    results.begin_session(1, "here")
    results.handle(1, ev.Opened(time.time()))
    results.handle(2, ev.SlotsCounted(time.time(), 16))
    results.live()
    pipe.send("runs")
    handled: list[tuple[float, float]] = []
    number, began = 2, time.perf_counter()
    while not pipe.poll():
        number += 1
        letter = Pause() if number % 2 else Unpause()
        due = time.perf_counter()
        results.handle(number, Posted(time.time(), letter))
        handled.append((time.time(), time.perf_counter() - due))
        if number % EVENTS_PER_SECOND == 0:
            results.live()
        time.sleep(max(0.0, began + (number - 2) / EVENTS_PER_SECOND - time.perf_counter()))
    results.close()
    pipe.send(handled)


async def load(port: int, seconds: float) -> tuple[list[float], list[float], int]:
    """All requests and all listeners at once: latencies, delays of events, failures."""
    late: list[float] = []
    listeners = [asyncio.create_task(listen(port, late)) for _ in range(LISTENERS)]
    await asyncio.sleep(1)
    due: asyncio.Queue[tuple[float, str]] = asyncio.Queue()
    took: list[float] = []
    askers = [asyncio.create_task(work(port, due, took)) for _ in range(CONNECTIONS)]
    late.clear()
    began = time.perf_counter()
    count = int(RATE * seconds)
    for number in range(count):
        at = began + number / RATE
        if (wait := at - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        due.put_nowait((at, PATHS[number % len(PATHS)]))
    with suppress(TimeoutError):
        await asyncio.wait_for(due.join(), 20)
    for task in (*listeners, *askers):
        task.cancel()
    await asyncio.gather(*listeners, *askers, return_exceptions=True)
    return took, late, count - len(took)


async def work(port: int, due: asyncio.Queue[tuple[float, str]], took: list[float]) -> None:
    """Make the requests that are due, one after the other, over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        at, path = await due.get()
        writer.write(request(path))
        if await read_answer(reader) == 200:
            took.append(time.perf_counter() - at)
        due.task_done()


async def listen(port: int, late: list[float]) -> None:
    """Hear of events, and note how long after they happened."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request("/events"))
    while line := await reader.readline():
        if line.startswith(b"data: "):
            late.append(time.time() - json.loads(line[6:])["at"])


async def ask(port: int, path: str) -> int:
    """One request over a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(path))
    status = await read_answer(reader)
    writer.close()
    return status


def request(path: str) -> bytes:
    """A request, as a script would make it."""
    token = f"Authorization: Bearer {TOKENS.full}"
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{token}\r\n\r\n".encode()


async def read_answer(reader: asyncio.StreamReader) -> int:
    """Read an answer to its end; return its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.partition(b":")[2]))
    return int(head.split(b" ", 2)[1])


if __name__ == "__main__":
    main(full=True)
