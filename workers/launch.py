"""Starting a program at a level, and which level a trial gets on this machine.

In: a Program and a Level. Out: a Process. The two levels meet only here.
"""

from workers.cuda import closed_out
from workers.kept import KeptProcess
from workers.process import Process, Program
from workers.sandbox import Level, probe_level
from workers.sandboxed import SandboxedProcess

AUTO = "auto"


def start(program: Program, level: Level) -> Process:
    """Start a program; see `Process` for what is raised."""
    return (SandboxedProcess if level is Level.STRICT else KeptProcess)(program)


def best_level(gpus: tuple[str, ...] = ()) -> tuple[Level, str]:
    """The best level that this machine allows with these GPUs, and why it is no better, or "".

    Raises OSError where the driver does not answer.
    """
    level, why = probe_level()
    if level is Level.STRICT and (why := closed_out(gpus)):
        return Level.BASIC, why
    return level, why


def level_for(wanted: str, gpus: tuple[str, ...] = ()) -> tuple[Level, str]:
    """The level for a trial with these GPUs that wants "auto", "strict" or "basic".

    And why it is less than was wanted, or "". Raises OSError where the strict one is demanded and
    this machine does not allow it, or can't tell, and ValueError for any other word.
    """
    level = Level.STRICT if wanted == AUTO else Level(wanted)
    if level is Level.BASIC:
        return level, ""
    best, why = best_level(gpus)
    if best is not Level.STRICT and wanted != AUTO:
        raise OSError(f"the strict sandbox is demanded: {why}")
    return best, why
