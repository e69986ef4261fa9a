"""The study that an agent's tools speak of: opened for each question, since it may come and go.

In: what the person gave when the server was started: a name, a folder or a URL. Out: answers, or a
ToolError with the sentence that the command line would have printed.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mcp.server.mcpserver.exceptions import MCPServerError, ResourceError, ToolError

from scheduler.cli.reading import choose
from scheduler.cli.source import Source
from scheduler.errors import SchedulerError

T = TypeVar("T")


@dataclass(frozen=True)
class Access:
    """One study, here or behind a URL, which need not be there yet."""

    study: str | None = None
    url: str | None = None
    token_file: Path | None = None

    def ask(self, question: Callable[[Source], T]) -> T:
        """For a tool. Raises ToolError."""
        return self._asked(question, ToolError)

    def read(self, question: Callable[[Source], T]) -> T:
        """For a resource. Raises ResourceError."""
        return self._asked(question, ResourceError)

    def _asked(self, question: Callable[[Source], T], error: type[MCPServerError]) -> T:
        try:
            with choose(self.study, self.url, self.token_file) as source:
                return question(source)
        except SchedulerError as reason:
            raise error(str(reason)) from reason
        except (OSError, sqlite3.Error) as reason:
            raise error(f"the study can't be read just now ({reason}); try again") from reason
