"""How numbers stand in what programs print: the one place that knows.

In: text. Out: patterns for `re` and `regex`, and the number that a text is. Signs, exponents, nan
and inf, thousands apart by commas (`1,234.5`) or, as Python also prints them, by underscores. A
unit or a per cent sign that follows is no part of a number.
"""

import re

DIGITS = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"  # without a sign
GROUPED = r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?"
FINITE = rf"[-+]?(?:{GROUPED}|{DIGITS})"

LOOSE = r"([-+.\w]+)"
"""A group for whatever stands in a number's place, nan and inf too: a run that ends so must not
show an older value. For where a space, a comma or a sign follows."""
EXACT = rf"([-+]?(?:nan|inf|{DIGITS}))"
"""A group for a number and no more: where a letter, a full stop or a comma follows at once."""
APART = rf"([-+]?(?:nan|inf|{GROUPED}|{DIGITS}))"
"""The same where thousands are printed apart."""

_GROUPED = re.compile(rf"[-+]?{GROUPED}")


def number_of(text: str) -> float:
    """The number that a text is, also at the end of a sentence. Raises ValueError."""
    text = text.strip()
    if _GROUPED.fullmatch(whole := text.removesuffix(".")):
        return float(whole.replace(",", ""))
    try:
        return float(text)
    except ValueError:
        return float(whole)
