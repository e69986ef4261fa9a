"""Where the files that ship with the package lie: presets, research directions, the bundled task.

In a checkout, presets and `program.md` lie at its top, where a person looks for them; in an
installed wheel they lie in `scheduler/bundled/`. The bundled task is the package
`train_template`, found by its place and never imported: its code runs in other processes.
Out: paths. Nothing is read or written here.
"""

import shutil
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from scheduler.errors import UsageError

PACKAGE = Path(__file__).resolve().parents[1]
BUNDLED_TASK = "train_template"


def presets() -> dict[str, Path]:
    """The presets by name, in alphabetical order."""
    return {path.stem: path for path in sorted((_root() / "configs").glob("*.yaml"))}


def default_preset(environ: Mapping[str, str]) -> str:
    """`gpu` on a machine with an NVIDIA GPU that may be used, else `local`."""
    return "gpu" if _sees_nvidia_gpu(environ) else "local"


def default_program() -> Path:
    """The research directions for the bundled task."""
    return _root() / "program.md"


def bundled_task() -> Path:
    """The folder of the bundled task. Raises UsageError if the installation lacks it."""
    spec = find_spec(BUNDLED_TASK)  # looks at the file system only: a top-level name
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            f"the package {BUNDLED_TASK} is missing from this installation; repair it with: "
            "pip install --force-reinstall autoresearch-ray"
        )
    return Path(spec.submodule_search_locations[0]).resolve()


def _root() -> Path:
    """The folder that holds `configs/` and `program.md`."""
    shipped = PACKAGE / "bundled"
    return shipped if shipped.is_dir() else PACKAGE.parent


def _sees_nvidia_gpu(environ: Mapping[str, str]) -> bool:
    """Whether there is a GPU and `CUDA_VISIBLE_DEVICES` doesn't hide it, without loading CUDA."""
    if environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return False
    if any(Path("/dev").glob("nvidia[0-9]*")):
        return True
    # Under WSL a GPU has no device node of its own.
    command = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if command is None:
        return False
    try:
        listing = subprocess.run(
            [command, "-L"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listing.returncode == 0 and listing.stdout.startswith("GPU ")
