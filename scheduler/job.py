"""Whether this process is the driver of a Ray job, and what follows from that.

A job's working folder is a copy inside Ray's session folder: it is another one after each edit of
what was submitted, and gone with the cluster. So a study of a job lies in a lasting folder of the
user's on the head. `ray job stop` sends SIGTERM, and SIGKILL after a moment: trials that can't end
in it are cut short in good order. In: the environment. Nothing is started or written here.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from scheduler.errors import UsageError

CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
STOP_SECONDS = "RAY_JOB_STOP_WAIT_TIME_S"
DEFAULT_STOP_SECONDS = 3.0  # of Ray 2.60
MARGIN_SECONDS = 1.5  # to end the trials' processes and to close the database


def submission_id(environ: Mapping[str, str]) -> str:
    """The job's name, such as `raysubmit_…`; "" where this is no job."""
    try:
        metadata = json.loads(environ.get(CONFIG, "{}")).get("metadata", {})
        return str(metadata.get("job_submission_id", ""))
    except (ValueError, AttributeError):
        return ""


def lasting_studies(environ: Mapping[str, str]) -> Path:
    """Where the studies of jobs lie: a folder that outlives the job and the cluster."""
    return Path(environ.get("HOME") or Path.home()) / "autoresearch" / "studies"


def stop_grace(environ: Mapping[str, str]) -> float | None:
    """Seconds from SIGTERM until trials must be cut short; None where nothing follows it."""
    if not submission_id(environ):
        return None
    try:
        given = float(environ.get(STOP_SECONDS, DEFAULT_STOP_SECONDS))
    except ValueError:
        given = DEFAULT_STOP_SECONDS
    return max(0.0, given - MARGIN_SECONDS)


def check_lasts(path: Path) -> None:
    """Raise UsageError for a folder that Ray will remove: inside of a session's."""
    for folder in (path.absolute(), *path.absolute().parents):
        if folder.name.startswith(("session_20", "session_latest")) and (
            folder.parent.name == "ray" or (folder / "sockets").is_dir()
        ):
            raise UsageError(
                f"{path}: lies in Ray's session folder, which goes with the cluster; name a "
                "lasting folder on the head: autoresearch run /path/to/study"
            )
