"""Runs the steps of docker/Dockerfile as they stand, where no container engine can be had.

    sudo python3 docker/rehearse.py /var/tmp/rehearsal            build all that the image needs
    sudo python3 docker/rehearse.py /var/tmp/rehearsal --run 'autoresearch doctor'

In: the Dockerfile, .dockerignore and the checkout that they are in. Out: the image's root file
system, in FOLDER/image. Each stage is a folder, made as a copy of its parent; the base is
debootstrap's minimal system of the same Debian release. Steps run as root in FOLDER/<stage> by way
of bubblewrap, which changes the root for good: in a mere chroot the kernel refuses user namespaces,
and the image's own sandbox could not be tried. --run then runs a command as the image would: its
user, its environment, its entrypoint, and no capabilities.

Not rehearsed: what makes a layer or an image of it, the engine's seccomp and AppArmor profiles,
health checks by an engine, and GPUs. Every instruction that is neither carried out nor listed in
SAID_ONLY ends the rehearsal. Needs root, debootstrap, bubblewrap and 8 GB for the CPU variant.
"""

import argparse
import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONTEXT = HERE.parent
SAID_ONLY = ("LABEL", "EXPOSE", "HEALTHCHECK")
MOUNT = re.compile(
    r"--mount=type=bind,from=(?P<stage>\w+),source=(?P<source>\S+),target=(?P<to>\S+)"
)


class UnknownStepError(Exception):
    """The Dockerfile uses something that this program can't carry out."""


class StepFailedError(Exception):
    """A RUN step ended with another exit code than 0."""


@dataclass
class Stage:
    """A root file system in the making, and what the instructions so far have set."""

    name: str
    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def expand(self, text: str) -> str:
        """The text with the stage's variables put in, as `$NAME` or `${NAME}`."""
        values = {**self.arguments, **self.environment}
        return re.sub(
            r"\$(?:\{(\w+)\}|(\w+))", lambda found: values.get(found[1] or found[2], ""), text
        )


def instructions(path: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, with comments gone and continued lines joined."""
    found, pending = [], ""
    for line in path.read_text("utf-8").splitlines():
        if line.lstrip().startswith("#") or not (line.strip() or pending):
            continue
        pending += line.rstrip().removesuffix("\\")
        if not line.rstrip().endswith("\\"):
            name, _, rest = pending.strip().partition(" ")
            found.append((name.upper(), rest.strip()))
            pending = ""
    return found


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether .dockerignore leaves the path out of the build context; the last match counts."""
    out = False
    parts = path.split("/")
    for pattern in patterns:
        wanted = pattern.lstrip("!")
        starts = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
        if wanted.startswith("**/"):
            hit = any(fnmatch.fnmatchcase(part, wanted[3:]) for part in parts)
        else:
            hit = any(
                start.count("/") == wanted.count("/") and fnmatch.fnmatchcase(start, wanted)
                for start in starts
            )
        if hit:
            out = not pattern.startswith("!")
    return out


class Rehearsal:
    """One run over the Dockerfile."""

    def __init__(self, folder: Path, given: dict[str, str], network: dict[str, str]) -> None:
        self.folder = folder
        self.given = given  # --build-arg
        self.network = network  # --env: of the steps, and not of the image
        self.stages: dict[str, Stage] = {}
        self.globals: dict[str, str] = {}
        text = (CONTEXT / ".dockerignore").read_text("utf-8").splitlines()
        self.patterns = [line for line in text if line and not line.startswith("#")]

    def build(self, target: str) -> Stage:
        """Carry out the stages that the target stands on, and no others, as a builder does."""
        steps = instructions(HERE / "Dockerfile")
        wanted = self._needed(steps, target)
        stage: Stage | None = None
        for name, rest in steps:
            if name == "FROM":
                parent, _, own = self._from(rest)
                stage = self._begin(parent, own) if own in wanted else None
            elif stage is not None:
                print(f"[{stage.name}] {name} {rest[:110]}", flush=True)
                self._carry_out(stage, name, rest)
        return self.stages[target]

    def _from(self, rest: str) -> tuple[str, str, str]:
        parent, word, own = rest.split()
        values = self.globals
        parent = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], parent)
        return parent, word, own

    def _needed(self, steps: list[tuple[str, str]], target: str) -> set[str]:
        uses: dict[str, set[str]] = {}
        own = ""
        for name, rest in steps:
            if name == "ARG" and not own:
                key, _, default = rest.partition("=")
                self.globals[key] = self.given.get(key, default)
            elif name == "FROM":
                parent, _, own = self._from(rest)
                uses[own] = {parent}
            else:
                uses[own] |= {each["stage"] for each in MOUNT.finditer(rest)}
                uses[own] |= set(re.findall(r"--from=(\w+)", rest))
        needed, more = set(), {target}
        while more:
            needed |= more
            more = {use for one in more for use in uses.get(one, set())} - needed
        return needed

    def _begin(self, parent: str, own: str) -> Stage:
        print(f"[{own}] FROM {parent}", flush=True)
        root = self.folder / own
        if root.exists():
            shutil.rmtree(root)
        stage = Stage(own, root)
        if parent in self.stages:
            before = self.stages[parent]
            stage.environment, stage.workdir = dict(before.environment), before.workdir
            source = before.root
        else:
            source = self._base(parent)
            stage.environment = {
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            }
        subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(root)], check=True)
        self.stages[own] = stage
        return stage

    def _base(self, image: str) -> Path:
        found = re.fullmatch(r"debian:([a-z]+)-\d{8}-slim", image)
        if not found:
            raise UnknownStepError(
                f"{image}: only dated tags of Debian's slim images are known here"
            )
        base = self.folder / f"base-{found[1]}"
        if not base.exists():
            making = base.with_suffix(".making")
            subprocess.run(["debootstrap", "--variant=minbase", found[1], str(making)], check=True)
            making.rename(base)
        return base

    def _carry_out(self, stage: Stage, name: str, rest: str) -> None:
        if name == "ARG":
            key, _, default = rest.partition("=")
            value = self.given.get(key, self.globals.get(key, default))
            stage.arguments[key] = value
        elif name == "ENV":
            for pair in shlex.split(stage.expand(rest)):
                key, _, value = pair.partition("=")
                stage.environment[key] = value
        elif name == "RUN":
            self._run(stage, rest)
        elif name == "COPY":
            self._copy(stage, rest)
        elif name == "WORKDIR":
            stage.workdir = rest
            (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif name == "USER":
            stage.user = rest
        elif name in ("ENTRYPOINT", "CMD"):
            setattr(stage, "entrypoint" if name == "ENTRYPOINT" else "command", json.loads(rest))
        elif name not in SAID_ONLY:
            raise UnknownStepError(f"{name} {rest}")

    def _run(self, stage: Stage, rest: str) -> None:
        mounts = []
        for found in MOUNT.finditer(rest):
            source = self.stages[found["stage"]].root / found["source"].lstrip("/")
            mounts += ["--ro-bind", str(source), found["to"]]
        line = MOUNT.sub("", rest).strip()
        if line.startswith("--"):
            raise UnknownStepError(f"RUN {line}")
        environment = {**stage.arguments, **stage.environment, **self.network, "HOME": "/root"}
        inside = [*mounts, "--chdir", stage.workdir]
        if enter(stage.root, inside, ["/bin/sh", "-c", line], environment):
            raise StepFailedError(f"RUN {line}")

    def _copy(self, stage: Stage, rest: str) -> None:
        *sources, target = rest.split()
        if any(each.startswith("--") for each in sources):
            raise UnknownStepError(f"COPY {rest}")
        place = Path(os.path.join(stage.workdir, target))  # noqa: PTH118 - keeps the trailing slash
        into = stage.root / str(place).lstrip("/")
        for source in sources:
            origin = CONTEXT / source
            if ignored(source, self.patterns):
                raise UnknownStepError(f"COPY {source}: .dockerignore leaves it out of the context")
            if origin.is_file():
                shutil.copy(origin, into / origin.name if target.endswith("/") else into)
                continue
            for path in sorted(origin.rglob("*")):
                inner = path.relative_to(CONTEXT).as_posix()
                if path.is_file() and not ignored(inner, self.patterns):
                    goal = into / path.relative_to(origin)
                    goal.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, goal)


def enter(root: Path, options: list[str], argv: list[str], environment: dict[str, str]) -> int:
    """Run a command with `root` as its root: own mounts, process ids and devices, this network."""
    bubblewrap = ["bwrap", "--bind", str(root), "/", "--dev", "/dev", "--cap-add", "ALL"]
    bubblewrap += ["--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108 - its own
    bubblewrap += ["--unshare-pid", "--as-pid-1", "--unshare-ipc", "--die-with-parent"]
    for name in ("/etc/resolv.conf", "/etc/hosts"):
        if Path(name).exists():
            bubblewrap += ["--ro-bind", name, name]
    # Not bubblewrap's own --proc: it covers parts of it, and the kernel then refuses a whole one to
    # the sandbox in the image, as it does in an engine without systempaths=unconfined.
    shell = ["/bin/sh", "-c", 'mount -t proc proc /proc && exec "$@"', "sh"]
    whole = [*bubblewrap, *options, "--", *shell, *argv]
    return subprocess.run(whole, env=environment, check=False).returncode


def run_image(stage: Stage, line: str) -> int:
    """Run a shell's line as the image's user, in its environment, below its entrypoint."""
    user, _, group = stage.user.partition(":")
    # The kernel's processor list is there in every container; thread pools read it.
    # A network of its own, loopback alone: Ray's ports may be in use on this machine.
    inside = ["--ro-bind", "/sys", "/sys", "--unshare-net", "--chdir", stage.workdir]
    drop = ["setpriv", "--reuid", user, "--regid", group, "--clear-groups", "--inh-caps=-all"]
    drop += ["--bounding-set=-all", "--no-new-privs", "--"]
    argv = [*drop, *stage.entrypoint, *(["bash", "-c", line] if line else stage.command)]
    return enter(stage.root, inside, argv, {**stage.environment, "TERM": "dumb"})


def pairs(texts: list[str]) -> dict[str, str]:
    """`NAME=VALUE` texts as a dictionary."""
    return dict(text.split("=", 1) for text in texts)


def main() -> int:
    """Read the command line, build or reuse the image, run what is to be run."""
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("folder", type=Path, help="where the root file systems go")
    reader.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    reader.add_argument("--env", action="append", default=[], metavar="NAME=VALUE",
                        help="for the steps alone: a proxy, a package mirror")  # fmt: skip
    reader.add_argument("--run", action="append", metavar="LINE",
                        help="build nothing; run this in the image ('': its CMD)")  # fmt: skip
    given = reader.parse_args()
    if os.geteuid() != 0:
        print("needs root: debootstrap makes device nodes and the files of several users")
        return 2
    folder = given.folder.resolve()
    kept = folder / "image.json"
    folder.mkdir(parents=True, exist_ok=True)
    if given.run is None:
        stage = Rehearsal(folder, pairs(given.build_arg), pairs(given.env)).build("image")
        kept.write_text(json.dumps({**vars(stage), "root": str(stage.root)}), "utf-8")
        return 0
    stored = json.loads(kept.read_text("utf-8"))
    stage = Stage(**{**stored, "root": Path(stored["root"])})
    return max(run_image(stage, line) for line in given.run)


if __name__ == "__main__":
    sys.exit(main())
