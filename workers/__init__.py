"""Trial -> Outcome. Knows nothing of the agent, of storage or of HTTP.

What goes in and what comes out is here, as plain data, and loads nothing that starts anything. What
does the work is imported on its own: `workers.supervisor` runs a trial on this machine,
`workers.command_trial` one of a repository of one's own, `workers.remote` one on Ray;
`workers.bundle` brings folders to a node.
"""

from workers.command import Command, Limit, Mount, Reading, Setup
from workers.errors import BundleError, WireError, WorkerError
from workers.outcome import Outcome, OutcomeStatus, Phase, Progress, Timings
from workers.trial import Budget, Resources, Trial

__all__ = [
    "Budget",
    "BundleError",
    "Command",
    "Limit",
    "Mount",
    "Outcome",
    "OutcomeStatus",
    "Phase",
    "Progress",
    "Reading",
    "Resources",
    "Setup",
    "Timings",
    "Trial",
    "WireError",
    "WorkerError",
]
