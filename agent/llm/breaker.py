"""When a model that fails is asked again: within one call, and from call to call.

In: how attempts ended, and a clock. Out: how long to wait before the next attempt, and whether a
model is to be asked at all. Pure: no sleeping, no I/O; whoever asks passes clock and chance.

    closed --failures in a row, one lasting, or a long Retry-After--> open
    open   --its rest is over--> half open: one call is let through as a probe
    half open --the probe succeeds--> closed;  --it fails--> open, for twice as long
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class RetryPolicy:
    """How one call is repeated."""

    attempts: int = 4  # in all
    base: float = 1.0  # seconds
    cap: float = 60.0  # of the back-off
    most_wait: float = 120.0  # the longest Retry-After that a call waits for; else it gives up

    def wait(self, failed: int, chance: Random, retry_after: float | None = None) -> float | None:
        """Seconds before the next attempt after so many failed ones; None: no more.

        Exponential with full jitter, so that calls which failed together do not return together
        (M. Brooker, "Exponential Backoff and Jitter", 2015), after what the provider asks for.
        """
        if failed >= self.attempts or (retry_after or 0.0) > self.most_wait:
            return None
        jitter = chance.uniform(0.0, min(self.cap, self.base * 2.0 ** (failed - 1)))
        return (retry_after or 0.0) + jitter


@dataclass(frozen=True)
class Permit:
    """That a call may be made. It goes back with how the call ended."""

    era: int  # how often the breaker had opened or closed when it was given
    probe: bool = False


class Breaker:
    """One model's. `clock`: monotonic seconds."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        failures: int = 5,
        rest_seconds: float = 30.0,
        most_rest_seconds: float = 900.0,
        most_asked_seconds: float = 3600.0,
    ) -> None:
        self._clock = clock
        self._most_failures = failures
        self._first_rest = rest_seconds
        self._most_rest = most_rest_seconds
        self._most_asked = most_asked_seconds  # of a Retry-After: a mistaken one must not end it
        self._failed = 0  # in a row
        self._openings = 0  # in a row, without a success between
        self._until: float | None = None  # open until; None: closed
        self._probing = False
        self._era = 0
        self._reason = ""
        self.lasting = False  # it is open, and a person must act

    def admit(self) -> Permit | None:
        """A permit for one call, or None: the model is to be left alone. See `why`, `rest`."""
        if self._until is None:
            return Permit(self._era)
        if self._probing or self._clock() < self._until:
            return None
        self._probing = True
        return Permit(self._era, probe=True)

    def release(self, permit: Permit) -> None:
        """The call was never made, or nothing is known of its end."""
        if permit.probe and permit.era == self._era:
            self._probing = False

    def succeeded(self, permit: Permit) -> None:
        """The model answered: whatever was wrong with it is over."""
        if self._until is not None or permit.probe:
            self._era += 1
        self._failed = self._openings = 0
        self._until, self._probing, self._reason = None, False, ""
        self.lasting = False

    def failed(
        self,
        permit: Permit,
        error: str,
        *,
        lasting: bool = False,
        retry_after: float | None = None,
    ) -> None:
        """An attempt came to nothing. Late ones, begun before it opened, change only its end."""
        asked = min(retry_after or 0.0, self._most_asked)
        if permit.era != self._era:
            if self._until is not None:
                self._until = max(self._until, self._clock() + asked)
            return
        self._failed += 1
        self._reason = error
        self.lasting = lasting
        opens = permit.probe or lasting or self._failed >= self._most_failures
        if opens or asked > self._first_rest:
            self._open(asked)

    def _open(self, asked: float) -> None:
        rest = min(self._most_rest, self._first_rest * 2.0 ** min(self._openings, 30))
        self._until = self._clock() + max(rest, asked)
        self._openings += 1
        self._era += 1
        self._probing = False

    @property
    def rest(self) -> float:
        """Seconds until it may be asked again; 0.0: now, or as soon as a probe has answered."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock())

    @property
    def why(self) -> str:
        """For people, why the model is left alone; "": it is not."""
        if self._until is None:
            return ""
        times = f"{self._failed} failed attempt{'s' if self._failed > 1 else ''}"
        then = f"left alone for {self.rest:.0f} s" if self.rest > 0 else "being tried again"
        return f"{self._reason} ({times}; {then})"  # the cause first: a line may be cut short
