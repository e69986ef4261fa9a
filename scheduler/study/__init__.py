"""What a study leaves on disk: its folder, configuration, database, artifacts and exports.

For analysis: `from scheduler.study import load`, then `load("studies/night1").experiments`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scheduler.study.frames import Frames


def load(path: str | Path) -> "Frames":
    """A study, by its folder or name, as pandas data frames; see `Frames`. It may be running.

    Raises UsageError where there is no study, or no pandas.
    """
    from scheduler.study.frames import load_frames  # noqa: PLC0415 - only who asks needs pandas

    return load_frames(path)
