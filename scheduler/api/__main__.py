"""The HTTP process: serves a study's folder on an inherited socket until standard input closes."""

import socket
import sys
import threading
from pathlib import Path

import uvicorn

from scheduler.api.app import make_app


def main() -> None:
    """`python -m scheduler.api FOLDER DESCRIPTOR`, started by `serving.Server`."""
    folder, descriptor = Path(sys.argv[1]), int(sys.argv[2])
    config = uvicorn.Config(make_app(folder), log_level="warning", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)

    def end_with_the_driver() -> None:
        sys.stdin.buffer.read()  # returns when the driver closes it or is gone
        server.should_exit = True

    threading.Thread(target=end_with_the_driver, daemon=True).start()
    server.run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main()
