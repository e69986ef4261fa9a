"""The allow-list: every file of the host that a sandbox shows, and why.

Out: options of bubblewrap, in the order in which they must stand. Never `/`, a home folder, a
working folder or a cache as a whole. All of it is read-only. Folders are shown under the paths
that they have outside, because an interpreter and its libraries find each other by path.
"""

import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

# Programs and libraries of the system: shared libraries for the interpreter and for torch, and a
# compiler with its headers for torch.compile. Not /usr as a whole: /usr/share and /usr/src may
# hold anything.
SYSTEM_FOLDERS = (
    *("/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/include"),
    *("/usr/local/lib", "/usr/local/cuda"),  # CUDA's compiler and libraries, where they lie here
)
# Links to the folders above on most systems, folders of their own on some.
SYSTEM_LINKS = ("/bin", "/lib", "/lib32", "/lib64")
SYSTEM_FILES = (
    "/etc/ld.so.cache",  # where shared libraries are found
    "/etc/alternatives",  # which compiler `cc` is, on Debian
    "/nix/store",  # the whole system, on NixOS
)
# Processors and memory nodes, for the thread pools of torch: without them it prints errors.
SYSFS = ("/sys/devices/system/cpu", "/sys/devices/system/node")

# Root inside is an ordinary user, but these files ask only who owns them: a process that was
# started as root could set /proc/sys/kernel/core_pattern, which runs a program as the true root.
# bubblewrap covers them only where its own check finds them writable, which it did not here.
PROC_READ_ONLY = ("sys", "irq", "bus", "fs", "acpi", "scsi", "mtrr", "sysrq-trigger")


def prefixes() -> list[Path]:
    """The folders of the running interpreter: its environment and the installation below it."""
    found = [Path(sys.prefix), Path(sys.base_prefix)]
    # An installation may be known by a linked name and by its own.
    found.append(Path(sys.executable).resolve().parent.parent)
    return [path for path in dict.fromkeys(found) if path not in (Path("/"), Path("/usr"))]


def packages() -> list[Path]:
    """The folders of installed packages that the interpreter sees outside of its prefixes."""
    found = [Path(entry) for entry in sys.path if entry]
    inside = (*prefixes(), *map(Path, SYSTEM_FOLDERS))
    return [
        path
        for path in dict.fromkeys(found)
        if path.name in ("site-packages", "dist-packages")
        and path.is_dir()
        and not any(path.is_relative_to(prefix) for prefix in inside)
    ]


def interpreter() -> list[str]:
    """Python itself, its environment, and the packages that it sees."""
    return _bind((*prefixes(), *packages()))


def system() -> list[str]:
    """The system's programs and shared libraries."""
    options = _bind(Path(path) for path in (*SYSTEM_FOLDERS, *SYSTEM_FILES, *SYSFS))
    for path in map(Path, SYSTEM_LINKS):
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
        else:
            options += _bind([path])
    return options


def kernel() -> list[str]:
    """/proc of the sandbox's own processes, and the eight devices that every program needs."""
    options = ["--proc", "/proc"]
    for name in PROC_READ_ONLY:
        path = f"/proc/{name}"
        options += ["--ro-bind-try", path, path]
    # Its own memory file system has no size, so nothing may be written to it.
    return [*options, "--dev", "/dev", "--remount-ro", "/dev"]


def masks(withheld: Sequence[str]) -> list[str]:
    """Hide the withheld files in every visible copy of the standard library.

    `withheld` are paths relative to the standard library's folder. In our own library each file
    and what was compiled from it reads as empty; another Python's library is hidden whole.
    """
    if not withheld:
        return []
    own = Path(sysconfig.get_path("stdlib"))
    options = []
    for library in _libraries():
        if library.samefile(own):
            for name in withheld:
                for file in _with_compiled(library / name):
                    options += ["--ro-bind", "/dev/null", str(file)]
        else:
            options += ["--perms", "0555", "--size", "4096", "--tmpfs", str(library)]
    return options


def _libraries() -> list[Path]:
    """Every standard library below the folders that are shown: where there is an os.py."""
    roots = [each for prefix in prefixes() for each in (prefix / "lib", prefix / "lib64")]
    roots += [Path(folder) for folder in SYSTEM_FOLDERS if "/lib" in folder]
    found = [path.parent for root in roots if root.is_dir() for path in root.glob("py*/os.py")]
    return list(dict.fromkeys(found))


def _with_compiled(source: Path) -> list[Path]:
    compiled = source.parent.joinpath("__pycache__").glob(f"{source.stem}.*.pyc")
    return [file for file in (source, source.with_suffix(".pyc"), *compiled) if file.is_file()]


def _bind(paths: Iterable[Path]) -> list[str]:
    """Show each path that exists, unless a folder around it is shown already."""
    shown: list[Path] = []
    options = []
    for path in paths:
        if path.exists() and not any(path.is_relative_to(each) for each in shown):
            shown.append(path)
            options += ["--ro-bind", str(path), str(path)]
    return options
