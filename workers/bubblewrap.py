"""The command line of bubblewrap: which namespaces, which flags, in which order.

In: a View (what is visible inside) and a command. Out: an argument list. Nothing is started here;
what may be seen is listed in `workers/mounts.py`. bubblewrap 0.8 or newer: older ones know neither
`--disable-userns` nor `--size`.

The environment is not named here: bubblewrap's own, which the sandbox can read as that of its
process 1, must hold no secret anyway, so it is started with the scrubbed one and passes it on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workers import mounts

WORK = Path("/trial")
TASK = Path("/task")
DATA = Path("/data")
MIB = 1024 * 1024

# As root, without the first three options, bubblewrap isolates nothing: the process stays root.
_ISOLATION = (
    *("--unshare-user", "--uid", "1000", "--gid", "1000"),
    "--disable-userns",  # no nested namespace, in which it would be root and could mount
    "--unshare-pid",
    "--unshare-net",
    "--unshare-ipc",
    *("--unshare-uts", "--hostname", "trial"),
    "--unshare-cgroup-try",
    *("--cap-drop", "ALL"),
    "--die-with-parent",
    "--new-session",  # no way to type into the supervisor's terminal (TIOCSTI)
)


@dataclass(frozen=True)
class Sizes:
    """The most bytes that each writable folder takes. They are memory, and count as such."""

    work: int = 2048 * MIB  # compiled kernels, checkpoints: the temporary folder lies in it
    tmp: int = 256 * MIB
    shm: int = 512 * MIB  # data loaders

    @classmethod
    def within(cls, memory: int | None) -> "Sizes":
        """The usual sizes, each at most a quarter of the trial's memory and at least 16 MiB."""
        if memory is None:
            return cls()
        most = max(16 * MIB, memory // 4)
        return cls(min(cls.work, most), min(cls.tmp, most), min(cls.shm, most))


@dataclass(frozen=True)
class View:
    """What a sandbox shows: options of bubblewrap, in the order in which they are carried out."""

    fixed: tuple[str, ...]  # read-only parts of the host, then what hides pieces of them
    writable: tuple[tuple[str, int], ...]  # memory file systems: path and size in bytes
    files: tuple[tuple[str, int], ...] = ()  # written inside: path and an inherited descriptor


def trial_view(
    *,
    task: Path | None = None,
    meta: Path | None = None,
    withheld: Sequence[str] = (),
    files: tuple[tuple[str, int], ...] = (),
    gpus: Sequence[str] = (),
    sizes: Sizes | None = None,
) -> View:
    """What a candidate sees; a referee is given no `meta`, `withheld`, `files` and `gpus`.

    `task` is the folder that holds `train_template/`, `meta` the data's meta.json, `withheld`
    names files of the standard library, `gpus` are options of `workers/gpu.py`.
    """
    sizes = sizes or Sizes()
    fixed = [*mounts.interpreter(), *mounts.system(), *mounts.kernel(), *gpus]
    if task is not None:
        # Only the package: the folder around it is a cache.
        fixed += ["--ro-bind", str(task / "train_template"), str(TASK / "train_template")]
    if meta is not None:
        fixed += ["--ro-bind", str(meta), str(DATA / "meta.json")]
    fixed += mounts.masks(withheld)
    writable = ((str(WORK), sizes.work), ("/tmp", sizes.tmp), ("/dev/shm", sizes.shm))  # noqa: S108
    return View(tuple(fixed), writable, files)


def command(
    program: str, view: View, inner: Sequence[str], *, status: int | None = None
) -> list[str]:
    """The whole argument list. `status` is a descriptor that tells of the start and the end."""
    options = [program, *_ISOLATION, *view.fixed]
    for path, size in view.writable:
        options += ["--size", str(size), "--tmpfs", path]
    for path, descriptor in view.files:
        options += ["--file", str(descriptor), path]
    # Last: the root is a memory file system without a size, and so would every folder in it be.
    options += ["--remount-ro", "/", "--chdir", str(WORK)]
    if status is not None:
        options += ["--json-status-fd", str(status)]
    return [*options, "--", *inner]
