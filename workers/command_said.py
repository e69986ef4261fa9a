"""What the program of a repository of one's own says of itself: its log, and the numbers in it.

In: its output as it comes, its work folder after the run, and when its budget was over. Out: the
log, and each number that was asked for; what is said too late is kept, and counts no more.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from workers.command import Reading
from workers.errors import ReadingError
from workers.log import BoundedLog
from workers.readings import Scanner, inside, read_file

COUNT_SECONDS = 2.0  # after its budget, in which what it reports still counts: what is on its way


class ScannedLog(BoundedLog):
    """A log of which every line is looked at for a metric."""

    def __init__(self, scanner: Scanner) -> None:
        super().__init__()
        self._scanner = scanner
        self.counts = True  # False: what comes is kept, and is no metric any more

    def write(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        super().write(data)
        if self.counts:
            self._scanner.write(data)


class Said:
    """Of one run."""

    def __init__(self, readings: Sequence[Reading], *, most_seconds: float) -> None:
        """`most_seconds`: what it has at most to report in, once its budget is over."""
        self._readings = readings
        self._scanner = Scanner(readings)
        self.log = ScannedLog(self._scanner)
        self.seconds_left = min(COUNT_SECONDS, most_seconds)
        self.budget_over_at: float | None = None  # Unix seconds; None: it ends by itself

    @property
    def last_line(self) -> str:
        """The newest that says anything."""
        return self._scanner.last_line

    def close(self) -> None:
        """Nothing more comes."""
        self._scanner.close()

    def numbers(self, folder: Path) -> Iterator[tuple[str, float]]:
        """Each that was asked for, with its name. Raises ReadingError for one that is missing."""
        for each in self._readings:
            yield each.name, self._number(each, folder)

    def _number(self, reading: Reading, folder: Path) -> float:
        """The number; raises ReadingError, also for a file of after the budget."""
        if not reading.file:
            return self._scanner.value(reading)
        path = inside(folder, reading.file)
        if path is not None and self.budget_over_at is not None:
            # Not `st_mtime`, which a program can set as it likes.
            late = path.stat().st_ctime - self.budget_over_at
            if late > self.seconds_left:
                raise ReadingError(
                    f"{reading.file} was changed {late:.1f} s after its budget was over, and "
                    f"{self.seconds_left:g} s are what it has to report in"
                )
        return read_file(reading, folder)
