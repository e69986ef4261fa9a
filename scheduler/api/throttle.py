"""How often an address may show a wrong token: guessing gets slower, not easier.

In: addresses and the time. Out: how long one has to wait. While it waits not even a right token is
looked at, or the answer would tell a guesser that it is right. Browsers that are logged in go on.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

MOST_ADDRESSES = 10_000  # the one that failed longest ago is forgotten first


class Throttle:
    """Counts the failures of each address: `burst` at once, then one every `seconds`."""

    def __init__(
        self,
        burst: int = 10,
        seconds: float = 6.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nobody has failed yet."""
        self._burst, self._seconds, self._clock = burst, seconds, clock
        self._paid: OrderedDict[str, float] = OrderedDict()  # when its failures are forgotten

    def wait(self, address: str) -> float:
        """Seconds until this address may show a token again; 0: now."""
        debt = self._paid.get(address, 0.0) - self._clock()
        return max(0.0, debt - (self._burst - 1) * self._seconds)

    def fail(self, address: str) -> None:
        """It has shown a wrong one."""
        now = self._clock()
        self._paid[address] = max(self._paid.pop(address, now), now) + self._seconds
        while len(self._paid) > MOST_ADDRESSES:
            self._paid.popitem(last=False)
