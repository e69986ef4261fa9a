"""What of the machine a sandbox shows: a list of what is allowed, never the rest without a name.

In: the interpreter that runs here, the pinned GPUs, the files to mask. Out: arguments for
bubblewrap, in their order. Whatever is not named below is not there: no home, no cache, no
packed data, no Ray session, no other trial. It starts nothing and reads no secret.
"""

import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

# Programs (a compiler for torch.compile), their shared libraries and headers. Never /usr whole:
# /usr/local and /usr/src hold what people put there.
_SYSTEM = ("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec",
           "/usr/include")  # fmt: skip
# Of the folders in the libraries', those of compilers, Pythons and shared libraries. The others
# belong to applications, some of which bring a Python of their own, with the withheld text in it.
_LIBRARIES = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec")
_NEEDED = (
    *("*-linux-*", "gcc*", "clang*", "llvm*", "bfd-plugins", "compat-ld", "gold-ld", "ldscripts"),
    *("binutils*", "ccache", "python[0-9]*", "pypy[0-9]*", "cuda*", "nvidia*", "wsl", "rocm*"),
    *("glibc-hwcaps", "locale", "gconv", "*blas*", "*lapack*", "atlas", "*mpi*", "hsa*"),
)
# On most systems these are links into /usr, and are made anew as such.
_SYSTEM_LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")
_SYSTEM_FILES = (
    "/etc/ld.so.cache",  # where the loader finds shared libraries
    "/etc/alternatives",  # where /usr/bin/cc and libblas.so.3 point to on Debian
    "/nix/store",  # all of the above, on NixOS
)
_PROCESSORS = ("/sys/devices/system/cpu", "/sys/devices/system/node")  # for thread pools and NUMA
# For CUDA. The driver's own libraries lie in /usr/lib, or where a container runtime puts them.
_CUDA_LIBRARIES = ("/usr/local/nvidia", "/usr/local/cuda", "/usr/lib/wsl", "/run/opengl-driver")
_CUDA_SYSTEM = ("/sys/devices", "/sys/bus/pci", "/sys/module")  # PCI topology, driver parameters
_CUDA_DEVICES = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/dxg")
_DEVICES, _DRIVER = Path("/dev"), Path("/proc/driver/nvidia")
_NETWORK = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf",
            "/etc/services", "/etc/ssl", "/etc/pki", "/etc/ca-certificates")  # fmt: skip
_CONDA_COPIES = ("pkgs", "envs")  # of a base environment: further copies of the standard library


def system() -> list[str]:
    """Programs, libraries and headers of the operating system, read-only."""
    arguments = []
    for path in _SYSTEM:
        arguments += ["--ro-bind-try", path, path]
    pythons = list(_python_folders())  # asked for each of hundreds of folders, it took 60 ms
    for path in _LIBRARIES:
        for folder in applications(Path(path)):
            if not any(python.is_relative_to(folder) for python in pythons):
                arguments += ["--size", "4096", "--tmpfs", str(folder)]
    for path in _SYSTEM_LINKS:
        if Path(path).is_symlink():
            arguments += ["--symlink", str(Path(path).readlink()), path]
        else:
            arguments += ["--ro-bind-try", path, path]
    for path in (*_SYSTEM_FILES, *_PROCESSORS):
        arguments += ["--ro-bind-try", path, path]
    return arguments


def applications(libraries: Path) -> list[Path]:
    """The folders in a folder of libraries that no candidate needs; links are not among them.

    Looking through them for Pythons instead took 4 s of CPU time, for 90,000 folders.
    """
    if libraries.is_symlink() or not libraries.is_dir():
        return []
    return sorted(
        path
        for path in libraries.iterdir()
        if path.is_dir()
        and not path.is_symlink()
        and not any(fnmatch(path.name, pattern) for pattern in _NEEDED)
    )


def interpreter() -> list[str]:
    """The Python that runs here with what it can import from its site-packages, read-only."""
    arguments = []
    shown: list[Path] = [Path(path) for path in _SYSTEM]
    for folder in _python_folders():
        if any(folder.is_relative_to(each) for each in shown):
            continue
        shown.append(folder)
        arguments += ["--ro-bind", str(folder), str(folder)]
        for name in _CONDA_COPIES:
            if (folder / "conda-meta").is_dir() and (folder / name).is_dir():
                arguments += ["--size", "4096", "--tmpfs", str(folder / name)]
    # The executable of a virtual environment is a chain of links; each has to be there.
    link = Path(sys.executable)
    while link.is_symlink():
        link = Path(os.path.normpath(link.parent / link.readlink()))
        if not any(link.is_relative_to(each) for each in shown):
            arguments += ["--ro-bind", str(link), str(link)]
    return arguments


def _python_folders() -> Iterator[Path]:
    """The prefixes, unless that is /usr itself, and the site-packages outside of them."""
    for prefix in (sys.base_prefix, sys.base_exec_prefix, sys.prefix):
        if Path(prefix) not in (Path("/usr"), Path("/")):
            yield Path(prefix)
            yield Path(prefix).resolve()
    packages = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *sys.path]
    packages += site.getsitepackages()
    for path in packages:
        # By name: an editable install puts its whole checkout on the path, which is not shown.
        if Path(path).name in ("site-packages", "dist-packages") and Path(path).is_dir():
            yield Path(path)


def processes(*, name_threads: bool) -> list[str]:
    """/proc, read-only; with `name_threads` but for the folders of the sandbox's own processes.

    Root's files stay root's in a user namespace: without this, root's candidate could write
    /proc/sys/kernel/core_pattern, which the kernel runs outside of any sandbox. CUDA must write all
    the same: drivers from 570 on name their threads, in /proc/self/task/ID/comm, and where they
    can't, CUDA doesn't start (error 304).
    """
    if not name_threads:
        return ["--proc", "/proc", "--remount-ro", "/proc"]
    arguments = ["--proc", "/proc"]
    for path in sorted(Path("/proc").iterdir()):  # its entries are the same in every namespace
        if not path.name.isdecimal() and not path.is_symlink():
            arguments += ["--ro-bind-try", str(path), str(path)]
    return arguments


def resolving() -> list[str]:
    """How names of the network become addresses, and whose certificates are trusted."""
    arguments = []
    for path in _NETWORK:
        arguments += ["--ro-bind-try", path, path]
    return arguments


def gpus(numbers: Sequence[str]) -> list[str]:
    """The device nodes of these GPUs alone, and what CUDA reads to use them.

    `numbers` is what CUDA_VISIBLE_DEVICES names: places in `gpu_nodes`. Where one is a UUID, every
    GPU's node is shown, and CUDA alone keeps to the one that is meant.
    """
    arguments = []
    for path in (*_CUDA_LIBRARIES, *_CUDA_SYSTEM):
        arguments += ["--ro-bind-try", path, path]
    there = gpu_nodes()
    nodes = [there[int(each)] for each in numbers if _names_one(each, there)]
    if len(nodes) != len(numbers):
        nodes = there
    for path in (*_CUDA_DEVICES, *nodes):
        arguments += ["--dev-bind-try", path, path]
    return arguments


def gpu_nodes() -> list[str]:
    """The device node of each GPU that this machine or container has, as CUDA and Ray count them.

    They count by the place on the PCI bus, and only what they may open: where a container has the
    fourth GPU of its machine alone, /dev/nvidia3 is GPU 0.
    """
    known = []
    for about in sorted(_DRIVER.glob("gpus/*/information")):
        with suppress(OSError):
            lines = about.read_text("utf-8", "replace").splitlines()
            minors = [line.split()[-1] for line in lines if line.startswith("Device Minor:")]
            known += [_DEVICES / f"nvidia{minor}" for minor in minors]
    others = (path for path in _DEVICES.glob("nvidia[0-9]*") if path not in known)
    rest = sorted(others, key=lambda path: int(path.name.removeprefix("nvidia")))
    return [str(path) for path in (*known, *rest) if path.exists()]


def _names_one(number: str, nodes: Sequence[str]) -> bool:
    return number.isdecimal() and int(number) < len(nodes)


def gpus_inside(numbers: Sequence[str]) -> tuple[str, ...]:
    """What CUDA_VISIBLE_DEVICES must name inside: CUDA counts only devices whose node it finds.

    UUIDs stay, and so do the numbers of GPUs that exist in Ray's books only.
    """
    there = gpu_nodes()
    if all(_names_one(number, there) for number in numbers):
        return tuple(str(place) for place, _ in enumerate(numbers))
    return tuple(numbers)


def masks(withheld: Iterable[str]) -> list[str]:
    """Make the withheld files of every visible copy of the standard library unreadable.

    `withheld` holds names relative to the library's folder. A device node without permission to
    open devices stands in their place, and in that of their compiled files.
    """
    arguments = []
    names = [Path(name) for name in withheld]
    for library in standard_libraries():
        for name in names:
            source = library / name
            compiled = (source.parent / "__pycache__").glob(f"{source.stem}.*.pyc")
            for path in (source, *compiled):
                if path.is_file():
                    arguments += ["--ro-bind", "/dev/null", str(path)]
    return arguments


def standard_libraries() -> list[Path]:
    """The folder of each standard library that a sandbox shows."""
    prefixes = {Path("/usr"), *map(Path, (sys.base_prefix, sys.base_exec_prefix, sys.prefix))}
    found = {Path(sysconfig.get_path("stdlib"))}
    for prefix in prefixes:
        for pattern in ("lib*/python[0-9]*", "lib*/pypy[0-9]*"):
            found.update(path for path in prefix.glob(pattern) if (path / "os.py").is_file())
    return sorted({*found, *(path.resolve() for path in found)})
