"""Compile caches on a node: what a kept experiment compiled, for those that build on it.

In: after a trial, the cache that it packed; before one, the name of the champion's code, which the
scheduler gives. Out: a descriptor of that champion's cache, if this node has it. A cache is named
by the code that made it, and the scheduler names kept code only: caches of other candidates lie
here too, pending, until they are kept or dropped for age or size, and are given to nobody.

To us a cache is so many bytes: it is unpacked in a sandbox (`train_template/compiled.py`). It is
sealed before its trial gets any training data, so that nothing learned from those can travel in it.
What a start-up can make without them can: weights trained on the libraries' sources, and code,
which runs in the processes of those who challenge the champion. Three rules bound that:

- the scheduler gives a cache to screening trials alone, and only where more trials than that one
  decide (`keep.most_seeds`): repeats, baselines, ablations and long trials begin with none;
- a trial that began with a cache keeps none: what passes on is one start-up's work at most, and
  never goes on from champion to champion;
- the first cache of a code stays, until it is dropped: no later trial of it can replace it.
"""

import contextlib
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from workers.bundle import content_hash
from workers.memory import growing, seal_written, sealed
from workers.trial import Trial

FOLDER = "compiled"  # in the node's cache
MOST_BYTES = 1 << 27  # of one cache; twice as much as the harness packs
KEPT_BYTES = 1 << 30  # of all caches of a node
KEPT_SECONDS = 3 * 86400.0  # since a cache was made or used last


def name_of(task: str, files: Mapping[str, str]) -> str:
    """The name of the cache that this code makes: hexadecimal, and nobody else's."""
    texts = ((name, text.encode("utf-8", "surrogatepass")) for name, text in files.items())
    return hashlib.sha256(f"{task}\n{content_hash(texts)}".encode()).hexdigest()


class CompileStore:
    """The caches that lie on this node."""

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER

    def open(self, name: str) -> int | None:
        """A copy of a cache that only its holder has, for one trial; None if there is none."""
        path = self._folder / name
        try:
            descriptor = sealed("compiled before", path)
        except OSError:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # it is in use: others go first
        return descriptor

    def put(self, name: str, content: bytes) -> None:
        """Keep a cache as pending, unless there is one of this name, and drop what is old or too
        much; without room, do nothing.
        """
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".new-", delete=False) as new:
                try:
                    new.write(content)
                    new.flush()
                    with contextlib.suppress(FileExistsError):
                        os.link(new.name, self._folder / name)  # unlike a rename, never in place of
                finally:
                    os.unlink(new.name)  # noqa: PTH108 - named by the file
            self._drop()

    def _drop(self) -> None:
        found = [(path, path.stat()) for path in self._folder.iterdir()]
        found.sort(key=lambda each: each[1].st_mtime, reverse=True)
        total, oldest = 0, time.time() - KEPT_SECONDS
        for path, stat in found:
            total += stat.st_size
            if total > KEPT_BYTES or stat.st_mtime < oldest:
                path.unlink(missing_ok=True)


class TrialCache:
    """What one trial begins with, and what it makes. Without a store: neither."""

    def __init__(self, trial: Trial, store: CompileStore | None) -> None:
        """Raises OSError."""
        self._trial, self._store = trial, store
        self._made: int | None = None
        self.descriptors: dict[str, int] = {}  # as the candidate's job names them
        if store is None:
            return
        self.descriptors["compiled"] = growing("compiled")
        if trial.compiled_by and (before := store.open(trial.compiled_by)) is not None:
            self.descriptors["compiled_before"] = before

    @property
    def begun_with(self) -> bool:
        """Whether it had another's cache at its start."""
        return "compiled_before" in self.descriptors

    @property
    def made(self) -> bool:
        """Whether the candidate has compiled anything."""
        return self._made is not None

    def seal(self) -> None:
        """Let nobody change what was packed any more: called before the training data go out."""
        with contextlib.suppress(OSError, KeyError):  # a candidate maps it for writing: as if none
            descriptor = self.descriptors["compiled"]
            seal_written(descriptor)
            if 0 < os.fstat(descriptor).st_size <= MOST_BYTES:
                self._made = descriptor

    def keep(self) -> None:
        """Put what was made into the store, in a thread of its own: nobody waits for the disk.

        Not what was made of another's cache: it could hold, and hand on, all that was in that.
        """
        if self._store is None or self._made is None or self.begun_with:
            return
        content = os.pread(self._made, MOST_BYTES, 0)
        name = name_of(self._trial.task, self._trial.files)
        threading.Thread(target=self._store.put, args=(name, content), name="compiled").start()

    def close(self) -> None:
        """Give the descriptors back."""
        for descriptor in self.descriptors.values():
            os.close(descriptor)
        self.descriptors = {}
