"""The errors of this package.

WorkerError
├── BundleError     files did not arrive as they were sent
├── ExamError       the data or the settings describe no exam
└── WireError       a candidate sent bytes that are no message
"""


class WorkerError(Exception):
    """Base of every error that the workers raise on purpose."""


class BundleError(WorkerError):
    """A bundle's content does not match its hash, or names a path outside of its folder."""


class ExamError(WorkerError):
    """The data's meta.json or the trial's settings lack what an exam is made of."""


class WireError(WorkerError):
    """A candidate sent bytes that the wire format does not allow."""
