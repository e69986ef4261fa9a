"""Weights & Biases: one run for each trial, grouped by the study.

In: runs. Out: runs of a project, or with `WANDB_MODE=offline` folders `offline-run-...` that
`wandb sync` sends later. Code, difference and log are an artifact of each run. Not recorded: this
machine's load, packages and git state, which W&B takes of the process that calls it; the trial
ran elsewhere.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from scheduler.study.trackers.run import Run, StudyFacts, TrackerSettings

PROJECT = "autoresearch"
TAG = 64  # characters that W&B takes


class WandbTracker:
    """See Tracker. A run is with the server, or whole on disk, when `add` returns."""

    def __init__(self, study: StudyFacts, place: Path, settings: TrackerSettings) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # not to their error collector
        # What waits to be uploaded: beside the runs, so that the folder can be moved as a whole.
        os.environ["WANDB_DATA_DIR"] = str(place.absolute())
        os.environ["WANDB_CACHE_DIR"] = str(place.absolute() / "cache")
        import wandb  # noqa: PLC0415 - 2 s

        self._wandb: Any = wandb
        self._study, self._place, self._settings = study, place.absolute(), settings
        self._quiet = wandb.Settings(
            console="off",
            disable_git=True,
            disable_job_creation=True,
            save_code=False,
            silent=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )

    def add(self, run: Run) -> None:
        """See Tracker: the id follows from study and trial, and resumes what was cut short."""
        remote = self._wandb.init(
            id=f"{self._study.id}-{run.trial}",
            resume="allow",
            reinit="create_new",
            project=self._settings.project or os.environ.get("WANDB_PROJECT") or PROJECT,
            entity=self._settings.entity,
            group=self._study.name,
            job_type=run.tags["kind"],
            name=run.name,
            notes=run.note(),
            tags=[word[:TAG] for word in run.words()],
            config={"constants": dict(run.constants), **run.settings, **run.tags},
            dir=str(self._place),
            mode="offline" if self._settings.offline else None,
            settings=self._quiet,
        )
        try:
            remote.log(dict(run.metrics), step=0)  # again for a step that is there: passed over
            remote.log_artifact(self._artifact(run))
        except BaseException:
            remote.finish(exit_code=1)
            raise
        remote.finish(exit_code=1 if run.failed else 0)
        if remote.offline:
            # `finish` returns about 10 ms before the file is written (0.31); this waits for it.
            self._wandb.teardown()

    def _artifact(self, run: Run) -> Any:
        artifact = self._wandb.Artifact(f"{self._study.id}-trial-{run.trial}", type="trial")
        with tempfile.TemporaryDirectory() as folder:
            for number, (name, text) in enumerate(sorted(run.files.items())):
                path = Path(folder) / str(number)
                path.write_text(text, "utf-8", newline="")
                artifact.add_file(str(path), name=name, policy="mutable")  # takes a copy
        return artifact

    def close(self) -> None:
        """See Tracker: each run was ended by itself."""
