"""The terminal of `run` may go away: what is said then is said to nobody."""

import errno
import io
import os
import sys
from pathlib import Path

import pytest

from scheduler.cli.stage import Stage


class Gone(io.StringIO):
    """A stream of a terminal whose connection has dropped."""

    def __init__(self, descriptor: int, number: int) -> None:
        super().__init__()
        self._descriptor, self._number = descriptor, number

    def write(self, _: str, /) -> int:
        raise OSError(self._number, os.strerror(self._number))

    def fileno(self) -> int:
        return self._descriptor


@pytest.mark.parametrize("number", [errno.EIO, errno.EPIPE])
@pytest.mark.parametrize("plain", [True, False])
def test_what_nobody_can_read_stops_nothing(
    number: int, plain: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptor = os.open(tmp_path / "terminal", os.O_WRONLY | os.O_CREAT)
    monkeypatch.setattr(sys, "stdout", Gone(descriptor, number))
    stage = Stage(plain=plain)
    stage.say("one line")
    with stage.wait("a moment"):
        stage.interrupted(1)
    os.write(descriptor, b"what else is written")
    os.close(descriptor)
    assert (tmp_path / "terminal").read_bytes() == b"", "it goes nowhere"
