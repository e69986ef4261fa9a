"""What a failed run says, and what is to be done about it.

In: the reason and the end of the output; for a file that was looked for in the wrong place, what
the repository holds. Out: advice for a person, or "". The first that fits counts: what stands
higher is more certain. Pure.
"""

import re
import shlex
from collections.abc import Iterable, Sequence

_MISSING = re.compile(
    r"No such file or directory: b?(['\"])(?P<quoted>[^'\"\n]{1,300})\1|"
    r"(?P<plain>[^\s:'\"]{1,300})['\"]?: No such file or directory"
)

ADVICE = {
    (
        r"can't be started \(task\.command\)|command not found|"
        r"No such file or directory: '?python"
    ): (
        "the program is nowhere on this machine: change task.command (--command), or "
        "install it in task.setup (--setup)"
    ),
    r"No module named|ModuleNotFoundError|ImportError": (
        "a package is missing in the trial: install it in task.setup, such as --setup "
        "'{python} -m pip install --quiet --target .deps NAME' with task.env: "
        "{PYTHONPATH: .deps}"
    ),
    (
        r"Temporary failure in name resolution|Network is unreachable|ConnectionError|"
        r"Name or service not known|Max retries exceeded|URLError"
    ): (
        "it asks the network, which a trial has not: fetch what it needs in task.setup "
        "(--setup), or allow it with --network"
    ),
    r"can't open file": (
        "the script is not where the command looks for it: change task.command (--command)"
    ),
    (
        r"the following arguments are required|unrecognized arguments|usage:|"
        r"No such option|IndexError: list index"
    ): (
        "its arguments are wrong: give the whole command with --command, with {seed} and "
        "{seconds} in the place of the trial's own"
    ),
    r"KeyError: '[A-Z_]+'": "it wants a variable of the environment: set it in task.env",
    r"No such file or directory|FileNotFoundError|does not exist": (
        "a file is missing in the trial: what .gitignore names does not travel. Make it "
        "in task.setup (--setup), or show it with task.mounts: "
        "[/the/folder:~/where/it/is/looked/for]"
    ),
    r"CUDA|cuda|NVIDIA": (
        "it has no GPU here, or can't use it: run init where there is one, or set "
        "workers.gpus_per_trial (--gpus)"
    ),
    r"which is protected \(task\.protected\)": (
        "the run rewrites a file of the repository: if that is no measure, name under "
        "task.protected the files that are, and leave this one out"
    ),
    r"Read-only file system|Permission denied": (
        "it writes where it may not: only its folder, ~ and /tmp can be written to"
    ),
}


def advised(text: str) -> str:
    """What to do about a run that ended with this; "" where nobody knows."""
    return next((words for pattern, words in ADVICE.items() if re.search(pattern, text)), "")


def misplaced(text: str, command: str | Sequence[str] | None, names: Iterable[str]) -> str:
    """What to do where a file is missing that the repository has in another folder; else "".

    `command` is the one that was run, `names` are the files of the repository.
    """
    found = [(m["quoted"] or m["plain"]).removeprefix("./") for m in _MISSING.finditer(text)]
    line = command if isinstance(command, str) else shlex.join(command or ())
    if not found or not line:
        return ""
    missing = found[-1]
    there = sorted(
        (name for name in names if name.endswith(f"/{missing}")),
        key=lambda name: (_folder(name, missing) not in line, name.count("/"), name),
    )
    if not there:
        return ""
    folder = _folder(there[0], missing)
    script = re.search(rf"(?<![\w/.]){re.escape(folder)}/\S+\.py\b", line)
    inside = re.sub(rf"(?<![\w/.]){re.escape(folder)}/", "", line)
    whole = shlex.quote(f"cd {shlex.quote(folder)} && {inside}")
    named = f" --script {shlex.quote(script[0])}" if script else ""
    return (
        f"{missing} is there as {there[0]}, and is looked for in the top folder, where the command "
        f"runs. If it is to run in {folder}: --command {whole}{named}"
    )


def _folder(name: str, missing: str) -> str:
    return name.removesuffix(f"/{missing}")
