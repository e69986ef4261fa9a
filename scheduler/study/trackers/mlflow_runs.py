"""MLflow: one run for each trial, in an experiment of MLflow's that has the study's name.

In: runs. Out: runs on an MLflow server, in a database, or else in `mlflow.db` with a folder of
artifacts beside it. Only the client is used, so that `mlflow-skinny` is enough here; to look at
them needs MLflow whole (`mlflow ui --backend-store-uri sqlite:///.../mlflow.db`).
"""

import logging
import os
import re
from pathlib import Path
from typing import Any

from scheduler.study.trackers.run import Run, StudyFacts, TrackerSettings

TRIAL = "autoresearch.trial"  # the tag by which a run is found again
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
DATABASES = ("sqlite:", "postgresql", "mysql", "mssql")
VALUE = 5000  # characters of a tag's value that every MLflow since 2.0 takes


class MlflowTracker:
    """See Tracker. Knows a run that was cut short by its tag, and completes it."""

    def __init__(self, study: StudyFacts, place: Path, settings: TrackerSettings) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        for name, value in PATIENCE.items():  # it is tried again, by who calls this
            os.environ.setdefault(name, value)
        from mlflow.entities import Metric, Param  # noqa: PLC0415 - 3 s
        from mlflow.tracking import MlflowClient  # noqa: PLC0415

        for name in ("mlflow", "alembic"):  # that it makes its tables is no news
            logging.getLogger(name).setLevel(logging.WARNING)
        self._metric, self._param = Metric, Param
        self._study = study
        home = place.absolute()
        wanted = settings.uri or os.environ.get("MLFLOW_TRACKING_URI") or ""
        stays = settings.offline or not wanted
        self._client: Any = MlflowClient(f"sqlite:///{home / 'mlflow.db'}" if stays else wanted)
        # A server has a place for artifacts, a database alone would have ./mlruns for it.
        here = stays or wanted.startswith(DATABASES)
        artifacts = (home / "artifacts").as_uri() if here else None
        self._experiment: str = self._find_experiment(
            settings.project or os.environ.get("MLFLOW_EXPERIMENT_NAME") or study.name, artifacts
        )

    def add(self, run: Run) -> None:
        """See Tracker."""
        number = self._find_run(run) or self._new_run(run)
        at = int(run.finished_at * 1000)
        metrics = [self._metric(_plain(k), v, at, 0) for k, v in run.metrics.items()]
        values: dict[str, object] = {**run.constants, **run.settings}
        params = [self._param(_plain(k), str(v)) for k, v in values.items()]
        # Metric by metric the same at the same time and step: MLflow takes it once.
        self._client.log_batch(number, metrics=metrics, params=params, tags=[])
        for name, text in run.files.items():
            self._client.log_text(number, text, name)
        status = "FAILED" if run.failed else "FINISHED"
        self._client.set_terminated(number, status=status, end_time=at)

    def close(self) -> None:
        """See Tracker: the client keeps nothing that has to be ended."""

    def _find_experiment(self, name: str, artifacts: str | None) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(
            self._client.create_experiment(
                name,
                artifact_location=artifacts,
                tags={"study": self._study.name, "metric": self._study.metric},
            )
        )

    def _find_run(self, run: Run) -> str | None:
        key = f"tags.`{TRIAL}` = '{self._key(run)}'"
        found = self._client.search_runs([self._experiment], key, max_results=1)
        return str(found[0].info.run_id) if found else None

    def _new_run(self, run: Run) -> str:
        tags = {_plain(name): value[:VALUE] for name, value in run.tags.items()}
        tags |= {TRIAL: self._key(run), "mlflow.note.content": run.note()}
        created = self._client.create_run(
            self._experiment,
            start_time=int(run.started_at * 1000),
            tags=tags,
            run_name=run.name,
        )
        return str(created.info.run_id)

    def _key(self, run: Run) -> str:
        return f"{self._study.id}-{run.trial}"


def _plain(name: str) -> str:
    """As MLflow takes names: letters, digits and a few signs."""
    return re.sub(r"[^\w./ -]", "_", name)
