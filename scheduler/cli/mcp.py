"""The verb `mcp`: a study for a coding agent, as tools of the Model Context Protocol."""

from typing import Annotated

import typer

from scheduler.cli.reading import StudyOption, TokenFileOption, UrlOption, check_choice

EXTRA = (
    "the MCP server needs the package mcp, which is not installed: "
    "pip install -c constraints.txt -e '.[mcp]'"
)


def mcp(
    study: StudyOption = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Offer no tool that changes anything.")
    ] = False,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Serve a study to a coding agent (MCP) on standard input and output.

    An agent starts it itself: name it in the agent's configuration. The study may run, have ended,
    or not be there yet.
    """
    from importlib.util import find_spec

    from scheduler.errors import UsageError

    check_choice(study, url, token_file)
    if find_spec("mcp") is None:
        raise UsageError(EXTRA)
    from scheduler.mcp.access import Access
    from scheduler.mcp.server import serve

    serve(Access(study, url, token_file), writing=not read_only)
