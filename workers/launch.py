"""Starting a program at a level, and which level a trial gets on this machine.

In: a Program and a Level. Out: a Process. The two levels meet only here.
"""

from workers.cuda import closed_out
from workers.errors import LevelError
from workers.kept import KeptProcess
from workers.log import BoundedLog
from workers.process import Process, Program
from workers.sandbox import Level, probe_level
from workers.sandboxed import SandboxedProcess

AUTO = "auto"


def start(program: Program, level: Level) -> Process:
    """Start a program; see `Process` for what is raised."""
    return (SandboxedProcess if level is Level.STRICT else KeptProcess)(program)


def best_level(gpus: tuple[str, ...] = ()) -> tuple[Level, str]:
    """The best level that this machine allows with these GPUs, and why it is no better, or "".

    Raises LevelError where the driver does not answer.
    """
    level, why = probe_level()
    if level is not Level.STRICT:
        return level, why
    try:
        why = closed_out(gpus)
    except OSError as error:
        raise LevelError(str(error)) from error
    return (Level.BASIC if why else Level.STRICT), why


def level_for(wanted: str, gpus: tuple[str, ...] = ()) -> tuple[Level, str]:
    """The level for a trial with these GPUs that wants "auto", "strict" or "basic".

    And why it is less than was wanted, or "". Raises LevelError where the strict one is demanded
    and this machine does not allow it, or can't tell, and ValueError for any other word.
    """
    level = Level.STRICT if wanted == AUTO else Level(wanted)
    if level is Level.BASIC:
        return level, ""
    best, why = best_level(gpus)
    if best is not Level.STRICT and wanted != AUTO:
        raise LevelError(f"the strict sandbox is demanded: {why}")
    return best, why


def level_told(wanted: str, gpus: tuple[str, ...], log: BoundedLog) -> Level:
    """The same for a trial whose log says why it has less, where that is for its GPUs' sake."""
    level, why = level_for(wanted, gpus)
    if why and gpus:
        log.write(f"(the sandbox is {level} here: {why})\n".encode())
    return level
