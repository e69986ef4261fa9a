"""A cancellation that waits for a moment in which nothing is half done.

Python raises KeyboardInterrupt between any two instructions, also between the fork of a process
and the line that notes its id: that process would be nobody's. In: SIGINT, as a person or Ray
sends it. Out: a flag that the supervisor's loop looks at, and KeyboardInterrupt where it says so.
"""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class Interruption:
    """Holds SIGINT back while the block runs; raises what came at its end at the latest.

    Only the main thread gets signals: elsewhere this does nothing.
    """

    def __init__(self) -> None:
        self._came = False
        self._before: Any = None

    def raise_if_due(self) -> None:
        """Raise KeyboardInterrupt if one came. Call it where everything is accounted for."""
        if self._came:
            self._came = False
            raise KeyboardInterrupt

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True

    def __enter__(self) -> Self:
        """Take the signal over."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the signal back; a KeyboardInterrupt that is on its way stays on it."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if kind is None:
            self.raise_if_due()
