"""How several studies share one cluster, without knowing of each other.

In: each study's claim, which says how many of its trials the whole cluster could hold, how many it
wants at most, and how important it is. Out: the slots of each. An actor, started by whichever study
comes first, keeps the claims; it ends by itself when no study renews one. A study whose share
shrinks lets its running trials end and starts no new ones: nothing is cut short for another.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray import exceptions as errors

NAME, NAMESPACE = "shares", "autoresearch"
FRESH_SECONDS = 10.0  # studies claim anew once a second; one that is silent so long is gone
IDLE_SECONDS = 60.0  # without any claim, after which the actor ends
TOLERANCE = 1e-6  # of a cluster: sums of fractions are off by rounding


@dataclass(frozen=True)
class Claim:
    """What one study asks for."""

    study: str  # distinct for each running study
    fits: int  # of its trials on the whole cluster, if it were alone
    most: int | None = None  # trials at a time that it wants; None: all that fit
    priority: int = 0  # higher goes first


def allot(claims: Mapping[str, Claim]) -> dict[str, int]:
    """The slots of each study: first by priority, then evenly, by the part of the cluster held.

    Trials of different studies may need different parts of a node; each takes `1 / fits` of the
    cluster. Equal claims always give equal slots: ties go by the study's name.
    """
    slots = dict.fromkeys(claims, 0)
    free = 1.0
    waiting = {name for name, claim in claims.items() if claim.fits > 0 and claim.most != 0}
    while waiting:
        name = min(waiting, key=lambda n: (-claims[n].priority, slots[n] / claims[n].fits, n))
        claim = claims[name]
        if 1.0 / claim.fits > free + TOLERANCE:
            waiting.discard(name)
            continue
        slots[name] += 1
        free -= 1.0 / claim.fits
        if slots[name] >= min(claim.fits, claim.most or claim.fits):
            waiting.discard(name)
    return slots


class Shares:
    """The claims of the studies that run now. On Ray: a detached actor of no resources."""

    def __init__(
        self,
        end: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._claims: dict[str, tuple[Claim, float]] = {}
        self._clock = clock
        self._end = end or _end_this_actor
        self._renewed = clock()
        self._watch: asyncio.Task[None] | None = None

    async def claim(self, claim: Claim) -> int:
        """Renew a study's claim; return its slots."""
        if self._watch is None:  # here, because a killed actor that is started again forgets it
            self._watch = asyncio.create_task(self._run())
        now = self._renewed = self._clock()
        self._claims[claim.study] = (claim, now)
        self._claims = {
            name: (each, at)
            for name, (each, at) in self._claims.items()
            if now - at < FRESH_SECONDS
        }
        return allot({name: each for name, (each, _) in self._claims.items()})[claim.study]

    async def leave(self, study: str) -> None:
        """A study has ended: what it held is the others'."""
        self._claims.pop(study, None)

    async def _run(self) -> None:
        """End once nobody has claimed anything for a while."""
        while self._clock() - self._renewed < IDLE_SECONDS:
            await asyncio.sleep(1.0)
        self._end()


def _end_this_actor() -> None:
    ray.kill(ray.get_runtime_context().current_actor)


class SharedCluster:
    """One study's side of it."""

    def __init__(self, study: str, *, most: int | None, priority: int) -> None:
        self._study, self._most, self._priority = study, most, priority
        self._actor: Any = None

    async def slots(self, fits: int, *, resting: bool = False) -> int:
        """The study's slots, of those that the cluster has room for; none while it rests.

        Alone, or while the actor can't be had, that is all of them: then Ray lets trials wait.
        """
        wanted = 0 if resting else self._most
        claim = Claim(self._study, fits, wanted, self._priority)
        most = fits if wanted is None else min(fits, wanted)
        try:
            return int(await asyncio.wait_for(self._shares().claim.remote(claim), FRESH_SECONDS))
        except (errors.RayError, ValueError, TimeoutError):  # ValueError: it ended just now
            self._actor = None
            return most

    async def leave(self) -> None:
        """Give the share back at the end of the study."""
        with suppress(errors.RayError, ValueError, TimeoutError):
            await asyncio.wait_for(self._shares().leave.remote(self._study), 2.0)

    def _shares(self) -> Any:
        if self._actor is None:
            remote: Any = ray.remote(Shares)
            self._actor = remote.options(
                name=NAME,
                namespace=NAMESPACE,
                lifetime="detached",
                get_if_exists=True,
                max_restarts=-1,
                num_cpus=0,
                num_gpus=0,
            ).remote()
        return self._actor
