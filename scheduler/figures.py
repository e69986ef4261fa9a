"""How measured numbers are written for people: metrics, differences of them, and their errors.

In: a number in units of the metric. Out: text, with the six decimals that everyone is used to as
long as they say something, and significant digits where they would not: a loss of 2e-09 is no
0.000000. Shared by the verbs, the pages, the report, the exports and the reasons. Pure.
"""

LEAST, MOST = 1e-3, 1e9  # between these, six decimals show four digits and are not too long
LEAST_SIZE = 1e-5  # of a difference: of that, two digits are enough


def figure(value: float) -> str:
    """A metric: `0.931250`, `2e-09`, `1.5e+12`, `nan`."""
    return f"{value:.6g}" if 0 < abs(value) < LEAST or abs(value) >= MOST else f"{value:.6f}"


def amount(value: float) -> str:
    """How large a difference or an error is, 0 or more: `0.000120`, `2.5e-10`."""
    return f"{value:.3g}" if 0 < value < LEAST_SIZE or value >= MOST else f"{value:.6f}"


def change(value: float) -> str:
    """A difference with its sign: `+0.000120`, `-2.5e-10`."""
    return f"{'-' if value < 0 else '+'}{amount(abs(value))}"
