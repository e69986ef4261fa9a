"""The errors of this package.

WorkerError
├── BundleError     files did not arrive as they were sent
├── ExamError       the data or the settings describe no exam
├── LevelError      this node can't give a trial the sandbox that is demanded
├── ReadingError    a program did not report its metric where it is looked for
├── SetupError      the task's set-up failed on this node
└── WireError       a candidate sent bytes that are no message
"""


class WorkerError(Exception):
    """Base of every error that the workers raise on purpose."""


class BundleError(WorkerError):
    """A bundle's content does not match its hash, or names a path outside of its folder."""


class ExamError(WorkerError):
    """The data's meta.json or the trial's settings lack what an exam is made of."""


class LevelError(WorkerError, OSError):
    """This node can't give a trial the sandbox that is demanded, or can't tell; says why."""


class ReadingError(WorkerError):
    """A program of one's own left no number where its metric is looked for."""


class SetupError(WorkerError):
    """What a repository needs could not be set up on this node; says why, with the last line."""


class WireError(WorkerError):
    """A candidate sent bytes that the wire format does not allow."""
