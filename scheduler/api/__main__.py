"""The HTTP process: serves a study's folder on an inherited socket until standard input closes.

The first line of standard input holds the tokens: neither the command line nor the environment,
which others on the machine can read, shows them. The rest says by its end that the driver is gone.
"""

import argparse
import logging
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from scheduler.api import dashboard
from scheduler.api.app import make_app
from scheduler.api.context import Context
from scheduler.api.gate import Secrets
from scheduler.api.hosts import hosts_for
from scheduler.api.throttle import Throttle
from scheduler.api.tokens import Sessions, Tokens
from scheduler.study.folder import StudyFolder

END_SECONDS = 2  # that requests have to finish in when the process ends


class Server(uvicorn.Server):
    """Sends those away who listen to events or a log before it waits for requests to finish."""

    def __init__(self, config: uvicorn.Config, context: Context) -> None:
        super().__init__(config)
        self._context = context

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End within `END_SECONDS`."""
        self._context.follower.close()
        await super().shutdown(sockets)


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m scheduler.api FOLDER DESCRIPTOR`, started by `serving.Server`."""
    parser = argparse.ArgumentParser(prog="scheduler.api")
    parser.add_argument("folder", type=Path)
    parser.add_argument("descriptor", type=int)
    parser.add_argument("--reading", action="store_true", help="the study doesn't run")
    given = parser.parse_args(arguments)
    for name in ("nicegui", "engineio", "socketio"):  # they warn of what any visitor may ask for
        logging.getLogger(name).setLevel(logging.ERROR)
    tokens = Tokens.load(sys.stdin.buffer.readline().decode())
    listening = socket.socket(fileno=given.descriptor)
    context = Context.of(StudyFolder(given.folder), beside_run=not given.reading)
    hosts = hosts_for(listening.getsockname()[0], context.config.serve.allowed_hosts)
    secrets = Secrets(tokens, Sessions(tokens.ticket), Throttle(), hosts)
    app = make_app(context, secrets)
    dashboard.mount(app, context, secrets.sessions)
    config = uvicorn.Config(
        app,
        log_level="warning",
        timeout_graceful_shutdown=END_SECONDS,
        proxy_headers=False,  # anyone on this machine could send them
        server_header=False,
    )
    server = Server(config, context)

    def end_with_the_driver() -> None:
        sys.stdin.buffer.read()  # returns when the driver closes it or is gone
        server.should_exit = True

    threading.Thread(target=end_with_the_driver, daemon=True).start()
    server.run(sockets=[listening])


if __name__ == "__main__":
    main()
