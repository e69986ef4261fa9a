"""The errors of this package.

WorkerError
├── BundleError     files did not arrive as they were sent
└── WireError       a candidate sent bytes that are no message
"""


class WorkerError(Exception):
    """Base of every error that the workers raise on purpose."""


class BundleError(WorkerError):
    """A bundle's content does not match its hash, or names a path outside of its folder."""


class WireError(WorkerError):
    """A candidate sent bytes that the wire format does not allow."""
