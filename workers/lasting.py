"""What a worker keeps from one trial to the next, where it is to keep anything.

Made by whoever runs several trials in one process (`workers/remote.py`), and handed to `run_trial`.
Without any of it a trial runs just the same: every start is cold, every copy its own.
"""

from dataclasses import dataclass

from workers.compiled import CompileStore
from workers.spares import Spares
from workers.tokens import TrainingTokens


@dataclass(frozen=True)
class Lasting:
    """Each may be None."""

    spares: Spares | None = None  # a process that was started before its trial
    compiled: CompileStore | None = None  # what torch's compiler made
    tokens: TrainingTokens | None = None  # the training data in memory
