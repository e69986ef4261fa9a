"""A report as files: made in memory, written where a person wants them.

In: a study, which formats. Out: names and contents; the pictures of the Markdown are files of
their own beside it, those of the HTML are inside.
"""

import time
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from scheduler.study.atomic import replacing
from scheduler.study.config import Config
from scheduler.study.folder import StudyFolder
from scheduler.study.live import read_live
from scheduler.study.reader import Reader
from scheduler.study.report import wording
from scheduler.study.report.blocks import Report
from scheduler.study.report.html import render_html
from scheduler.study.report.markdown import pictures_of, render_markdown
from scheduler.study.report.material import gathered
from scheduler.study.report.sections import SECTIONS

FORMATS = {"html": "report.html", "md": "report.md"}


def make_report(reader: Reader, folder: StudyFolder, config: Config, *, at: float) -> Report:
    """What there is to say of a study at this moment."""
    runs = read_live(folder.live) is not None
    with gathered(reader, folder, config, at=at, runs=runs) as material:
        found = [section for make in SECTIONS if (section := make(material)) is not None]
    subtitle = f"A report of autoresearch, {wording.moment(at)}"
    return Report(folder.name, subtitle, found)


def report_files(
    reader: Reader,
    folder: StudyFolder,
    config: Config,
    formats: Collection[str] = ("html",),
    *,
    at: float | None = None,
) -> dict[str, bytes]:
    """The files of a report, by their names; `at`: Unix seconds, now if None."""
    report = make_report(reader, folder, config, at=time.time() if at is None else at)
    files: dict[str, bytes] = {}
    if "html" in formats:
        files[FORMATS["html"]] = render_html(report).encode("utf-8", "replace")
    if "md" in formats:
        stem = PurePosixPath(FORMATS["md"]).stem
        files[FORMATS["md"]] = render_markdown(report, stem).encode("utf-8", "replace")
        files |= {f"{stem}-{each.name}.png": each.png for each in pictures_of(report)}
    return files


def write_report(files: Mapping[str, bytes], folder: Path) -> list[Path]:
    """Write them, each whole; return where they are. Raises OSError."""
    paths = []
    for name, content in files.items():
        with replacing(folder / name) as draft:
            draft.write_bytes(content)
        paths.append(folder / name)
    return paths
