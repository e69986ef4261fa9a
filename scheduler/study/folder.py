"""A study's folder: the one place that builds the path of everything in it.

    config.yaml      as resolved; its presence makes the folder a study
    program.md       the research directions
    study.db         the database
    results.tsv      exports, written anew as the study goes on
    progress.png
    live.json        the newest view of a running study
    study.lock       held by the process that runs it; see lock.py
    inbox/           letters to it that wait; see mailbox.py
    report.html      a report, where one was asked for
    notebook.md      what it has learned, condensed
    tracked/         what trackers keep on this machine, and what they have
    best/            the champion's files
    experiments/ID/  an experiment's files, diff.patch, proposal.json, trial-N.log of each trial

In: a folder's path. Out: paths below it, and the study made there or its config read. The
database, exports and artifacts are written by others; names of studies are resolved in names.py.
"""

import os
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scheduler.errors import StudyError, StudyFull, UsageError
from scheduler.study.config import Config
from scheduler.study.config_file import dump_config, read_config
from scheduler.study.room import full, is_full

DATABASE = "study.db"
TRIAL_LOG = re.compile(r"trial-([0-9]+)\.log")
PARTIAL = ".partial"
"""Ending of a file that is being written. One left behind by a crash means nothing."""


@dataclass(frozen=True)
class ExperimentFolder:
    """What is kept of one experiment, beside its rows in the database."""

    path: Path

    @property
    def diff(self) -> Path:
        """Its difference to the parent's files."""
        return self.path / "diff.patch"

    @property
    def log(self) -> Path:
        """What the trial that wrote last had printed, in studies from before `trial_log`."""
        return self.path / "run.log"

    def trial_log(self, trial: int) -> Path:
        """What a trial printed; grows while it runs."""
        return self.path / f"trial-{trial}.log"

    def trial_logs(self) -> list[Path]:
        """The logs that there are, in the order of the trials."""
        found = ((TRIAL_LOG.fullmatch(path.name), path) for path in self.path.glob("trial-*.log"))
        return [path for _, path in sorted((int(name[1]), path) for name, path in found if name)]

    @property
    def proposal(self) -> Path:
        """The proposal that it came from, as JSON."""
        return self.path / "proposal.json"

    def artifacts(self, trial: int) -> Path:
        """What a trial left that is to be kept."""
        return self.path / "artifacts" / f"trial-{trial}"

    def file(self, name: str) -> Path:
        """One of its edited files, by its name relative to the task's folder.

        Raises UsageError for a name that a record of the study's own already has.
        """
        path = self.path / name
        own = path in (self.diff, self.log, self.proposal) or TRIAL_LOG.fullmatch(name)
        if own or name.startswith("artifacts/"):
            raise UsageError(f"task.editable: {name} is a name that the study uses itself")
        return path


@dataclass(frozen=True)
class StudyFolder:
    """The folder of one study, which may not exist yet."""

    path: Path

    @property
    def name(self) -> str:
        """What a person calls the study: the folder's name."""
        return self.path.absolute().name

    @property
    def config(self) -> Path:
        """The configuration as resolved."""
        return self.path / "config.yaml"

    @property
    def program(self) -> Path:
        """The research directions."""
        return self.path / "program.md"

    @property
    def database(self) -> Path:
        """The SQLite database."""
        return self.path / DATABASE

    @property
    def results(self) -> Path:
        """The table of all experiments."""
        return self.path / "results.tsv"

    @property
    def progress(self) -> Path:
        """The plot of all experiments."""
        return self.path / "progress.png"

    @property
    def live(self) -> Path:
        """The newest view of the running study."""
        return self.path / "live.json"

    @property
    def lock(self) -> Path:
        """Held by the process that runs the study."""
        return self.path / "study.lock"

    @property
    def inbox(self) -> Path:
        """Folder of the letters that wait."""
        return self.path / "inbox"

    @property
    def notebook(self) -> Path:
        """What the study has learned, condensed."""
        return self.path / "notebook.md"

    @property
    def tracked(self) -> Path:
        """Folder of what trackers keep here: runs, and which trials they have."""
        return self.path / "tracked"

    @property
    def best(self) -> Path:
        """Folder of the champion's files."""
        return self.path / "best"

    @property
    def experiments(self) -> Path:
        """Folder that holds one folder for each experiment."""
        return self.path / "experiments"

    def experiment(self, number: int) -> ExperimentFolder:
        """The folder of one experiment, by its id."""
        return ExperimentFolder(self.experiments / str(number))

    @property
    def exists(self) -> bool:
        """Whether there is a study here."""
        return self.config.is_file()

    def create(self, config: Config, program: str) -> None:
        """Make the study: its folder with `program.md` and, last of all, `config.yaml`.

        Raises UsageError where the folder holds something else or can't be written to, StudyFull
        where there is no room; nothing is left behind then.
        """
        made: list[Path] = []
        try:
            self._check_vacant()
            made += _make_folders(self.path)
            for path, text in ((self.program, program), (self.config, dump_config(config))):
                made.append(path)
                write_whole(path, text)
        except BaseException as error:  # an interrupt too leaves nothing behind
            _remove(made)
            if isinstance(error, OSError):
                raise _refusal(self.path, error) from error
            raise

    def load_config(self) -> Config:
        """The study's configuration. Raises UsageError where there is no study."""
        if not self.exists:
            raise UsageError(
                f"{self.path}: no study here; start one with: "
                f"autoresearch run {shlex.quote(str(self.path))}"
            )
        return read_config(self.config)

    def save_config(self, config: Config) -> None:
        """Replace the configuration of an existing study. Raises UsageError, StudyFull."""
        self._replace(self.config, dump_config(config))

    def read_program(self) -> str:
        """The research directions. Raises StudyError where they can't be read."""
        try:
            return self.program.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StudyError(
                f"{self.program}: the research directions can't be read ({error})"
            ) from error

    def save_program(self, program: str) -> None:
        """Replace the research directions of an existing study. Raises UsageError, StudyFull."""
        self._replace(self.program, program)

    def _replace(self, path: Path, text: str) -> None:
        try:
            write_whole(path, text)
        except OSError as error:
            raise _refusal(self.path, error) from error

    def _check_vacant(self) -> None:
        """Raise UsageError if something is here that a study must not be mixed with."""
        if self.exists:
            raise UsageError(f"{self.path}: there is a study here already")
        if self.path.is_dir():
            # A creation that was killed leaves partial files; a lock is taken before a creation.
            files = [p for p in self.path.iterdir() if p.suffix != PARTIAL and p != self.lock]
            if files:
                raise UsageError(
                    f"{self.path}: holds files ({files[0].name}, ...) but no study; "
                    "choose an empty folder or another name"
                )


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that a reader, or a crash, never sees half of it. Raises OSError."""
    partial = path.with_name(path.name + PARTIAL)
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def _make_folders(path: Path) -> list[Path]:
    """Make a folder and those above it; return the new ones, outermost first."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    made: list[Path] = []
    try:
        for folder in reversed(missing):
            folder.mkdir()
            made.append(folder)
    except OSError:
        _remove(made)
        raise
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is a file")
    return made


def _remove(made: list[Path]) -> None:
    """Take back what was made, innermost first; what others have put there stays."""
    for path in reversed(made):
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()


def _refusal(path: Path, error: OSError) -> StudyFull | UsageError:
    if is_full(error):
        return full(path, error)
    reason = error.strerror or str(error)
    return UsageError(
        f"{path}: the study's folder can't be written ({reason}); "
        "nothing was changed. Choose another place, such as: autoresearch run ./my-study"
    )
