"""The environment variables that a trial's processes get: a short list, so that no key slips by.

In: the worker's own environment, which holds every secret of the driver. Out: what an interpreter,
CUDA and torch need, and private folders in place of the user's.
"""

from collections.abc import Mapping, Sequence

_NAMES = frozenset(
    {
        "PATH",
        "LANG",
        "LANGUAGE",
        "TZ",
        "VIRTUAL_ENV",
        "PYTHONHASHSEED",
        "CUDA_VISIBLE_DEVICES",
        "CUDA_HOME",
        "CUDA_PATH",
        "CUDA_DEVICE_ORDER",
        "CUDA_MODULE_LOADING",
        "CUBLAS_WORKSPACE_CONFIG",
        "LD_LIBRARY_PATH",
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_DRIVER_CAPABILITIES",
        "TRITON_PTXAS_PATH",
        "CC",
        "CXX",
    }
)
_PREFIXES = ("LC_", "PYTORCH_")
_SECRETS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")


def trial_environment(
    environment: Mapping[str, str],
    *,
    task: str,
    work: str,
    temporary: str,
    gpus: Sequence[str],
    cpus: float,
) -> dict[str, str]:
    """The whole environment of a process that runs in `work` and imports from `task`.

    `gpus` is what CUDA_VISIBLE_DEVICES is to name. A trial that claims no GPU sees none: Ray leaves
    the variable as it finds it there, and an unset one shows every device of the node.
    """
    return passed_on(environment) | {
        "CUDA_VISIBLE_DEVICES": ",".join(gpus),
        "HOME": work,
        "TMPDIR": temporary,
        "PYTHONPATH": task,
        "PYTHONUNBUFFERED": "1",
        # The task's folder is shared by every trial of the node: nothing is written there.
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": str(max(1, int(cpus))),
        # Of its own, and the same in every trial. Each of the compiler's helpers imports torch: as
        # many as a trial has cores, not as many as the node has.
        "TORCHINDUCTOR_CACHE_DIR": f"{temporary}/compiled",
        "TRITON_CACHE_DIR": f"{temporary}/compiled/triton",
        "TORCHINDUCTOR_COMPILE_THREADS": str(max(1, int(cpus))),
        # They lie outside of the cache, at 8 s of a processor in each trial that finds all else in
        # it; without them a graph of both passes took no longer to compile (24 s).
        "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0",
        # A sandbox has no list of users, and torch's compiler names its cache after one.
        "USER": "trial",
        "LOGNAME": "trial",
    }


def passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """What of the worker's own environment a trial's processes get."""
    return {
        name: value
        for name, value in environment.items()
        if (name in _NAMES or name.startswith(_PREFIXES))
        and not any(word in name for word in _SECRETS)
    }


def visible_gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The GPU ids that `CUDA_VISIBLE_DEVICES` names, as text; empty if it is unset or empty."""
    return tuple(filter(None, environment.get("CUDA_VISIBLE_DEVICES", "").split(",")))
