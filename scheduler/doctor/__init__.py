"""What this machine offers a study, and what is missing and how to get it.

In: the environment, and a study's configuration where one is named. Out: findings, each with what
was seen and, where it is not good, what to do. It starts small processes (a sandbox, torch,
nvidia-smi), each for some seconds at most, and changes nothing. `finding.py` says what a finding
is, `machine.py`, `devices.py` and `services.py` look at what there is, and `needs.py` at what a
study asks for.
"""

from collections.abc import Iterator, Mapping

from scheduler.doctor.devices import Devices, devices
from scheduler.doctor.finding import Finding, Grade
from scheduler.doctor.machine import machine
from scheduler.doctor.needs import needs
from scheduler.doctor.services import keys, port, ray, trackers
from scheduler.study.config import Config

__all__ = ["Finding", "Grade", "examine"]


def examine(environ: Mapping[str, str], config: Config | None = None) -> Iterator[Finding]:
    """Look at everything, one finding after the other; with a config, at what it needs besides."""
    with Devices.asked() as answer:  # torch takes its time meanwhile
        yield from machine(environ)
        yield ray(environ)
        yield from keys(environ, config)
        yield port(config)
        yield from trackers(environ, config)
        seen = answer.get()
        yield from devices(seen)
    if config is not None:
        yield from needs(config, environ, seen)
