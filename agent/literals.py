"""How one number is read from a syntax tree and written back in its manner.

In: an expression, or a new value beside the text that it replaces. Out: the number, or its
text. Which expressions are asked for, and where their text goes, is `agent.source`'s business.
"""

import ast
import math
import re

from agent.errors import SourceError

DEEPEST = 16  # levels of arithmetic that are read: a generated sum of 900 terms is no constant
LARGEST_BASE, LARGEST_EXPONENT = 1e6, 64  # what `**` computes: `9**9**9` must not stop the agent
POWER_OF_TWO = re.compile(r"2\s*\*\*\s*\d+")


def number_of(node: ast.expr, depth: int = 0) -> int | float | None:
    """The value of a literal or of simple arithmetic of literals; None for all else.

    Booleans, complex numbers, infinities and anything that would be dear to compute are None.
    """
    if depth > DEEPEST:
        return None
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() as value):
            return value if math.isfinite(value) else None
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            inner = number_of(operand, depth + 1)
            return inner if inner is None or isinstance(sign, ast.UAdd) else -inner
        case ast.BinOp(left=left, op=operator, right=right):
            a, b = number_of(left, depth + 1), number_of(right, depth + 1)
            return None if a is None or b is None else _compute(a, operator, b)
    return None


def write_number(name: str, value: int | float, old: int | float, written: str) -> str:
    """The text of a new value for a constant that has the value `old`, written so.

    A whole number stays one and keeps its manner: `65_536` becomes `131_072`, and `2**16`
    becomes `2**17`. Raises SourceError where the new value is infinite, or a fraction in the
    place of a whole number.
    """
    if not math.isfinite(value):
        raise SourceError(f"{name} can't be {value}: that is no finite number")
    if isinstance(old, float):
        mantissa, exponent, power = repr(float(value)).partition("e")
        return f"{mantissa}e{int(power)}" if exponent else mantissa  # 1e-5 rather than 1e-05
    if value != int(value):
        raise SourceError(f"{name} is a whole number and can't be {value}")
    whole = int(value)
    if POWER_OF_TWO.fullmatch(written) and whole > 0 and whole.bit_count() == 1:
        return re.sub(r"\d+$", str(whole.bit_length() - 1), written)
    return f"{whole:_}" if "_" in written else str(whole)


def _compute(a: int | float, operator: ast.operator, b: int | float) -> int | float | None:
    """`a operator b`, or None where that is no finite number of a sensible size."""
    value: object
    try:
        match operator:
            case ast.Add():
                value = a + b
            case ast.Sub():
                value = a - b
            case ast.Mult():
                value = a * b
            case ast.Div():
                value = a / b
            case ast.FloorDiv():
                value = a // b
            case ast.Pow() if abs(b) <= LARGEST_EXPONENT and abs(a) <= LARGEST_BASE:
                value = a**b  # complex for a negative base with a fractional exponent
            case _:
                return None
        return value if isinstance(value, int | float) and math.isfinite(value) else None
    except (ZeroDivisionError, OverflowError):
        return None
