"""Which trackers there are, whether one can be used here, and opening it.

In: a tracker's name and settings. Out: a Tracker, or a UsageError that says what to install or to
set. `check_trackers` looks without importing anything: a study asks it before it starts.
"""

import importlib.util
import os
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path

from agent.llm.keys import is_wanted
from scheduler.errors import UsageError
from scheduler.study.sections import TrackSection
from scheduler.study.trackers.run import StudyFacts, Tracker, TrackerSettings

MODULES = {
    "wandb": ("wandb",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "tensorboard": ("tensorboard",),
}
"""Tracker, which is also the name of its extra -> what has to be importable."""

WANDB_HOST = "api.wandb.ai"
SECRETS = ("WANDB_API_KEY", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
WITH_ADDRESSES = ("MLFLOW_TRACKING_URI",)  # which may hold a password
STORES = ("AWS_", "AZURE_", "GOOGLE_", "MLFLOW_")
"""How names begin that a store of artifacts may need, though they look like a model's."""

AT_HOME = ("offline", "disabled", "dryrun")  # values of WANDB_MODE with which nothing leaves


def settings_of(track: TrackSection, environ: Mapping[str, str]) -> TrackerSettings:
    """The part of a study's configuration that trackers take."""
    return TrackerSettings(
        project=track.project, entity=track.entity, uri=track.uri, environment=dict(environ)
    )


def take_environment(names: Iterable[str], environ: MutableMapping[str, str]) -> dict[str, str]:
    """What the processes of these trackers get: all but the models' keys.

    The trackers' secrets leave this environment: Ray's processes inherit it, every worker among
    them. Raises UsageError for a tracker that can't be used here.
    """
    check_trackers(names, environ, offline=False)
    kept = {n: v for n, v in environ.items() if not is_wanted(n) or n.startswith(STORES)}
    for name in (*SECRETS, *WITH_ADDRESSES):
        environ.pop(name, None)
    return kept


def check_trackers(names: Iterable[str], environ: Mapping[str, str], *, offline: bool) -> None:
    """Raise UsageError for the first that can't be used here."""
    for name in names:
        missing = [m for m in MODULES[name] if importlib.util.find_spec(m) is None]
        if missing:
            raise UsageError(
                f"{name}: {', '.join(missing)} is not installed; run: "
                f"pip install 'autoresearch-ray[{name}]'"
            )
        if name == "wandb" and not offline and not _knows_wandb(environ):
            raise UsageError(
                "wandb: no key; set WANDB_API_KEY, run `wandb login`, or keep the runs on this "
                "machine with WANDB_MODE=offline"
            )


def open_tracker(name: str, study: StudyFacts, place: Path, settings: TrackerSettings) -> Tracker:
    """Open one of them; what it keeps on this machine lies in `place`. Raises UsageError."""
    check_trackers([name], settings.environment or os.environ, offline=settings.offline)
    place.mkdir(parents=True, exist_ok=True)
    match name:
        case "wandb":
            from scheduler.study.trackers.wandb_runs import WandbTracker  # noqa: PLC0415

            return WandbTracker(study, place, settings)
        case "mlflow":
            from scheduler.study.trackers.mlflow_runs import MlflowTracker  # noqa: PLC0415

            return MlflowTracker(study, place, settings)
        case _:
            from scheduler.study.trackers.tensorboard_runs import (  # noqa: PLC0415
                TensorBoardTracker,
            )

            return TensorBoardTracker(study, place)


def _knows_wandb(environ: Mapping[str, str]) -> bool:
    """Whether runs stay here, or there is a key where W&B itself looks for one."""
    if environ.get("WANDB_MODE") in AT_HOME:
        return True
    if environ.get("WANDB_API_KEY") or environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    home = Path(environ.get("HOME", "/"))
    file = Path(environ.get("NETRC") or home / ".netrc")
    host = environ.get("WANDB_BASE_URL", WANDB_HOST).partition("://")[2] or WANDB_HOST
    try:
        return host.partition("/")[0].partition(":")[0] in file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False
