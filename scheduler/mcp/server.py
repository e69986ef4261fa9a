"""The MCP server of a study, on the standard streams of its process.

In: which study, and whether it may be written to. Out: a server with tools, resources and a prompt;
`serve` runs it until the client closes its side. Nothing else may be printed meanwhile: the SDK
points standard output elsewhere.
"""

import signal
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mcp.server import MCPServer

from scheduler.mcp.access import Access
from scheduler.mcp.guidance import INSTRUCTIONS, add_prompt, add_resources
from scheduler.mcp.reading import add_reading
from scheduler.mcp.waiting import add_waiting
from scheduler.mcp.writing import add_writing


def make_server(study: Access, *, writing: bool) -> MCPServer[Any]:
    """The server; without `writing` it has no tool that changes anything."""
    server: MCPServer[Any] = MCPServer(
        "autoresearch",
        title="autoresearch-ray",
        instructions=INSTRUCTIONS,
        version=_version(),
        log_level="WARNING",
    )
    add_reading(server, study)
    add_waiting(server, study)
    if writing:
        add_writing(server, study)
    add_resources(server, study)
    add_prompt(server)
    return server


def serve(study: Access, *, writing: bool) -> None:
    """Serve one client on the standard streams, until it goes. Ctrl-C ends the process at once."""
    # Python's own handler would wait for the thread that reads standard input. Nothing is lost:
    # letters are whole files or requests.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    make_server(study, writing=writing).run("stdio")


def _version() -> str:
    try:
        return version("autoresearch-ray")
    except PackageNotFoundError:
        return ""
