"""TensorBoard: one folder of events for each trial, with its constants for the HPARAMS page.

In: runs. Out: `STUDY-ID/trial-000007/events.out...` for `tensorboard --logdir`, where studies of
one name stand side by side. Scalars stand at the experiment's number, so that all trials together
show the course of the study; texts hold title, hypothesis, lineage, code, difference and log. No
torch and no TensorFlow: the events are written by TensorBoard's own writer.
"""

import shutil
from pathlib import Path
from typing import Any

from scheduler.study.trackers.run import Run, StudyFacts

TEXT = 200_000  # characters of one text: the page shows all of it


class TensorBoardTracker:
    """See Tracker."""

    def __init__(self, study: StudyFacts, place: Path) -> None:
        from tensorboard.compat.proto import (  # noqa: PLC0415 - 1 s
            event_pb2,
            summary_pb2,
            tensor_pb2,
            tensor_shape_pb2,
            types_pb2,
        )
        from tensorboard.plugins.hparams import summary_v2  # noqa: PLC0415
        from tensorboard.plugins.text import metadata  # noqa: PLC0415
        from tensorboard.summary.writer.event_file_writer import EventFileWriter  # noqa: PLC0415

        self._writer: Any = EventFileWriter
        self._event: Any = event_pb2.Event
        self._summary: Any = summary_pb2.Summary
        self._tensor: Any = tensor_pb2.TensorProto
        self._shape: Any = tensor_shape_pb2.TensorShapeProto
        self._string: Any = types_pb2.DT_STRING
        self._hparams: Any = summary_v2
        self._text: Any = metadata.create_summary_metadata
        self._place = place / f"{study.name}-{study.id}"

    def add(self, run: Run) -> None:
        """See Tracker: a folder that was cut short is written anew."""
        folder = self._place / f"trial-{run.trial:06d}"
        shutil.rmtree(folder, ignore_errors=True)
        named = {**run.constants, "origin": run.tags["origin"], "state": run.tags["state"]}
        named |= {"judge": run.tags["judge"]}
        named |= {name: run.settings[name] for name in ("seed", "warm")}
        self._write(
            folder,
            run,
            [
                self._hparams.hparams_pb(named, str(run.trial), start_time_secs=run.started_at),
                self._scalars(run),
                self._texts(run),
                self._ended(run),
            ],
        )

    def close(self) -> None:
        """See Tracker: each file was closed by itself."""

    def _write(self, folder: Path, run: Run, summaries: list[Any]) -> None:
        writer = self._writer(str(folder), filename_suffix=f".{run.trial}")
        for summary in summaries:
            event = self._event(wall_time=run.finished_at, step=run.experiment, summary=summary)
            writer.add_event(event)
        writer.close()

    def _scalars(self, run: Run) -> Any:
        values = [
            self._summary.Value(tag=name, simple_value=value) for name, value in run.metrics.items()
        ]
        return self._summary(value=values)

    def _texts(self, run: Run) -> Any:
        lines = [f"# {run.name}", run.note(), ""]
        lines += [f"- {name}: {value}" for name, value in {**run.tags, **run.settings}.items()]
        texts = {"about": "\n".join(lines)}
        texts |= {name: _block(text[:TEXT]) for name, text in run.files.items()}
        values = []
        for name, text in texts.items():
            shape = self._shape(dim=[self._shape.Dim(size=1)])
            tensor = self._tensor(
                dtype=self._string, string_val=[text.encode()], tensor_shape=shape
            )
            about = self._text(display_name=name, description="")
            values.append(self._summary.Value(tag=name, tensor=tensor, metadata=about))
        return self._summary(value=values)

    def _ended(self, run: Run) -> Any:
        """For the HPARAMS page: how it ended, and when."""
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2  # noqa: PLC0415

        status = api_pb2.STATUS_FAILURE if run.failed else api_pb2.STATUS_SUCCESS
        data = plugin_data_pb2.HParamsPluginData(
            session_end_info=plugin_data_pb2.SessionEndInfo(
                status=status, end_time_secs=run.finished_at
            )
        )
        value = self._summary.Value(
            tag=metadata.SESSION_END_INFO_TAG,
            metadata=metadata.create_summary_metadata(data),
            tensor=metadata.NULL_TENSOR,
        )
        return self._summary(value=[value])


def _block(text: str) -> str:
    """A text as it stands, for a page that renders Markdown: every line is code."""
    return "\n".join(f"    {line}" for line in text.splitlines())
