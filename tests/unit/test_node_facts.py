"""What a node's GPUs are called and use, as `nvidia-smi` says it: a script stands in for it."""

import time
from contextlib import closing
from pathlib import Path

import pytest

from workers import machine
from workers.machine import MemoryWatch, device_of, gpu_memory

SCRIPT = """\
#!/bin/sh
echo "$@" >> "$0.calls"
case "$1" in
    *name) echo "NVIDIA H100 80GB HBM3" ;;
    *memory.used) printf '1024\\n2048\\n' ;;
esac
"""


@pytest.fixture
def nvidia(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (program := tmp_path / "nvidia-smi").write_text(SCRIPT)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "nvidia-smi.calls"


def test_the_device_is_the_gpus_product_or_the_cpus_with_its_threads(nvidia: Path) -> None:
    assert device_of(("6", "7"), 1.0) == "NVIDIA H100 80GB HBM3"
    assert "-i 6" in nvidia.read_text()
    assert device_of((), 2.0).endswith("(2 threads)")


def test_the_most_that_one_of_its_gpus_used_is_the_peak(
    nvidia: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gpu_memory(("6", "7")) == 2 * 2**30
    monkeypatch.setattr(machine, "SAMPLE_SECONDS", 0.01)
    with closing(MemoryWatch(("6", "7"))) as watch:
        limit = time.monotonic() + 20
        while not watch.peak and time.monotonic() < limit:
            time.sleep(0.01)
    assert watch.peak == 2 * 2**30


def test_without_nvidia_smi_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert gpu_memory(("0",)) == 0
    with closing(MemoryWatch(("0",))) as watch:
        assert watch.peak == 0
