"""The training tokens of one trial, copied beside all else until its candidate wants them.

In: where they lie, and what the worker holds between trials, if it does. Out: a descriptor, or why
there is none. A copy of some GB takes seconds: in a thread of its own nobody waits for it, but the
candidate that is ready sooner, and a trial that is ended meanwhile does not wait for it to end.
"""

import os
import threading
from pathlib import Path

from workers.memory import sealed
from workers.tokens import TrainingTokens


class Lending:
    """One trial's tokens: ask `ready`, then `error`, then take `descriptor`."""

    def __init__(self, tokens: TrainingTokens | None, path: Path, data: str) -> None:
        """Begin to copy, or to borrow from `tokens`; `data` is the hash of what `path` is of."""
        self._tokens, self._path, self._data = tokens, path, data
        self._stopped = threading.Event()
        self._descriptor: int | None = None
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._lend, name="tokens", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether they are there, or never will be."""
        return not self._thread.is_alive()

    @property
    def descriptor(self) -> int:
        """The tokens, once they are there; stays this object's to close."""
        assert self._descriptor is not None
        return self._descriptor

    def close(self) -> None:
        """Give them back; stops a copy that is under way at its next block."""
        self._stopped.set()
        self._thread.join()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _lend(self) -> None:
        try:
            if self._tokens is None:
                self._descriptor = sealed("training", self._path, self._stopped.is_set)
            else:
                self._descriptor = self._tokens.lend(self._path, self._data, self._stopped.is_set)
        except Exception as error:  # noqa: BLE001 - the trial's own thread tells of it
            self.error = error
