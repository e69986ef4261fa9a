"""Starting a program at a level, and which level a trial gets on this machine.

In: a Program and a Level. Out: a Process. The two levels meet only here.
"""

from workers.kept import KeptProcess
from workers.process import Process, Program
from workers.sandbox import Level, probe_level
from workers.sandboxed import SandboxedProcess

AUTO = "auto"


def start(program: Program, level: Level) -> Process:
    """Start a program; see `Process` for what is raised."""
    return (SandboxedProcess if level is Level.STRICT else KeptProcess)(program)


def level_for(wanted: str) -> Level:
    """The level for a trial that wants "auto", "strict" or "basic".

    Raises OSError where the strict one is demanded and this machine does not allow it, and
    ValueError for any other word.
    """
    if wanted == AUTO:
        return probe_level()[0]
    level = Level(wanted)
    if level is Level.STRICT:
        best, why = probe_level()
        if best is not Level.STRICT:
            raise OSError(f"the strict sandbox is demanded: {why}")
    return level
