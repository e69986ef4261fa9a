"""From what a person calls a study to the folder where it lies.

In: a name, a path or nothing. Out: a folder's path, which may not exist yet. Nothing is made.
"""

import os
from pathlib import Path

from scheduler.errors import UsageError
from scheduler.job import lasting_studies, submission_id
from scheduler.study.config import Config
from scheduler.study.folder import StudyFolder

STUDIES = Path("studies")
"""Where studies lie by default, in the current folder."""


def studies_folder() -> Path:
    """Where plain words lie: `studies/` here; for a Ray job, a folder that outlives it."""
    return lasting_studies(os.environ) if submission_id(os.environ) else STUDIES


def resolve_study(
    wanted: str | Path | None, config: Config | None = None, preset: str = ""
) -> Path:
    """The folder of a study.

    A plain word lies under `studies_folder()`; anything with a separator, `.` or `~` is a path as
    it is. None: `study.path` of the config, else the preset's name; `preset` is the name of the
    configuration in use (see `config_file.find_source`). Raises UsageError for an empty name.
    """
    if wanted is not None and not str(wanted).strip():
        raise UsageError("a study's name is empty; give it one, or none for the default")
    if wanted is None and config is not None:
        wanted = config.study.path
    text = str(wanted or preset or "study")
    if os.sep in text or text.startswith(("~", ".")) or isinstance(wanted, Path):
        return Path(text).expanduser()
    return studies_folder() / text


def latest_study(studies: Path | None = None) -> StudyFolder:
    """The study that changed last, for verbs that read. Raises UsageError where there is none."""
    studies = studies_folder() if studies is None else studies
    found = [StudyFolder(path.parent) for path in studies.glob("*/config.yaml")]
    if not found:
        raise UsageError("no study here; start one with: autoresearch run")
    return max(found, key=_changed_at)


def _changed_at(study: StudyFolder) -> float:
    """Unix seconds of the newest change: of the database, its log, the live view or the config."""
    wal = study.database.with_name(study.database.name + "-wal")
    files = (study.config, study.database, wal, study.live)
    return max(path.stat().st_mtime for path in files if path.exists())
