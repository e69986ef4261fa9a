"""Writing a file so that a reader sees the old one or the new one, never a part.

In: the path that is to change. Out: a path beside it to write to, which then takes its place.
It outlives a crash of the process, not a cut of power: exports can be written again.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scheduler.study.folder import PARTIAL


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a new path in the same folder; rename it to `path` unless something is raised.

    Raises OSError where the folder is missing or can't be written to; `path` is as before then.
    """
    # Two processes, or two threads of one, may write the same at the same time.
    draft = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}{PARTIAL}")
    try:
        yield draft
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
