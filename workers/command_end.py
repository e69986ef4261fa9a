"""What the end of a command amounts to, in words that say what to do.

In: its wait status and the last that it said. Out: the status of the trial and why; None for a good
end. Pure; a metric that is missing is another matter (`command_trial.py`).
"""

import os
import signal

from workers.outcome import OutcomeStatus

NOT_FOUND = 127  # exit code of `env` and of shells for a command that is nowhere


def failure(
    status: int | None, last: str, *, strict: bool, starved: bool | None
) -> tuple[OutcomeStatus, str] | None:
    """Why it failed. `status` is None where nobody knows it, `last` the last error or line.

    `starved`: whether the kernel killed anything for want of memory meanwhile, if that is known.
    """
    if status == 0:
        return None
    said = f": {last}" if last else ""
    if status is None and strict:
        # Nothing inside can reach bubblewrap's own process: not the program's fault.
        return OutcomeStatus.LOST, f"the sandbox failed{said}"
    if status is None:
        return OutcomeStatus.CRASH, "its keeper was killed before it had a metric"
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL and starved is not False:
        likely = "" if starved else "most likely "
        return (
            OutcomeStatus.OOM,
            f"was killed by SIGKILL, {likely}by the kernel, for want of memory",
        )
    if code == NOT_FOUND:
        return OutcomeStatus.CRASH, f"the command can't be started (task.command){said}"
    how = exit_words(status)
    return OutcomeStatus.CRASH, f"{last} ({how})" if last else f"ended with {how}, silently"


def exit_words(status: int) -> str:
    """A wait status for a person."""
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
