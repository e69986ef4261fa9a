"""How numbers are written for people: metrics, differences of them, their errors, and how many.

In: a number in units of the metric. Out: text, with the six decimals that everyone is used to as
long as they say something, and significant digits where they would not: a loss of 2e-09 is no
0.000000, and nothing at all is 0. Shared by the verbs, the pages, the report, the exports and the
reasons. Pure.
"""

LEAST, MOST = 1e-3, 1e9  # between these, six decimals show four digits and are not too long
LEAST_LOSS, MOST_LOSS = 0.1, 1e6  # between these, three decimals do
LEAST_SIZE = 1e-5  # of a difference: of that, two digits are enough


def figure(value: float) -> str:
    """A metric: `0.931250`, `2e-09`, `1.5e+12`, `0`, `nan`."""
    if value == 0:  # -0.0 too
        return "0"
    return f"{value:.6g}" if abs(value) < LEAST or abs(value) >= MOST else f"{value:.6f}"


def amount(value: float) -> str:
    """How large a difference or an error is, 0 or more: `0.000120`, `2.5e-10`, `0`."""
    return f"{value:.3g}" if value < LEAST_SIZE or value >= MOST else f"{value:.6f}"


def change(value: float) -> str:
    """A difference with its sign: `+0.000120`, `-2.5e-10`, `±0`."""
    sign = "-" if value < 0 else "\N{PLUS-MINUS SIGN}" if value == 0 else "+"
    return f"{sign}{amount(abs(value))}"


def glance(value: float) -> str:
    """A loss as it goes by, where there is little room: `3.142`, `0.0123`, `1.2e-05`."""
    return f"{value:.3g}" if abs(value) < LEAST_LOSS or abs(value) >= MOST_LOSS else f"{value:.3f}"


def count(number: float, one: str, more: str = "") -> str:
    """Such as `1 call`, `1,200 calls`, `2.5 hours`."""
    written = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{written} {one if number == 1 else more or one + 's'}"


def degrees_of_freedom(number: float) -> str:
    """What a sigma rests on: `1 degree of freedom`, `12 degrees of freedom`."""
    return count(round(number, 2), "degree of freedom", "degrees of freedom")
