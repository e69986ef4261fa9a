"""Trial -> Outcome. Knows nothing of the agent, of storage or of HTTP.

`run_trial` runs a trial on this machine; `workers.remote`, imported on its own, runs it on Ray.
Importing this package imports neither Ray nor torch.
"""

from workers.bundle import Bundle, Cache, cache_folder, pack, unpack
from workers.command import Command, Limit, Mount, Reading, Setup
from workers.command_trial import run_command
from workers.errors import BundleError, WireError, WorkerError
from workers.outcome import Outcome, OutcomeStatus, Phase, Progress, Timings
from workers.supervisor import run_trial
from workers.trial import Budget, Resources, Trial

__all__ = [
    "Budget",
    "Bundle",
    "BundleError",
    "Cache",
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
    "cache_folder",
    "pack",
    "run_command",
    "run_trial",
    "unpack",
]
