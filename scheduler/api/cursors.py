"""Cursors: where the next page of a list begins, as an opaque text.

In: a mark of `scheduler/study/listing.py` with the order it belongs to. Out: a text for a URL, and
the mark again. What is inside is no promise, and a text that is no cursor, or of another order, is
an HTTPException 422.
"""

import base64
import json
from http import HTTPStatus
from typing import Any

from fastapi import HTTPException

from scheduler.study.listing import Mark, Order


def write_mark(mark: Mark, order: Order, *, descending: bool) -> str:
    """The cursor of the page after this mark."""
    return _write([str(order), descending, mark.value, mark.id])


def read_mark(cursor: str, order: Order, *, descending: bool) -> Mark:
    """The mark in a cursor of this order."""
    match _read(cursor):
        case [str(name), bool(way), float() | int() as value, int(number)] if (name, way) == (
            order,
            descending,
        ) and (mark := Mark(float(value), number)).is_sound:
            return mark
    raise _unsound("the cursor belongs to another list, or to none")


def write_number(number: int) -> str:
    """The cursor of the page after this number."""
    return _write(["number", number])


def read_number(cursor: str) -> int:
    """The number in such a cursor."""
    match _read(cursor):
        case ["number", int(number)] if 0 <= number < 2**63:
            return number
    raise _unsound("the cursor belongs to another list, or to none")


def _write(parts: list[Any]) -> str:
    text = json.dumps(parts, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(cursor: str) -> Any:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
    except (ValueError, RecursionError) as error:
        raise _unsound("not a cursor") from error


def _unsound(detail: str) -> HTTPException:
    return HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"cursor: {detail}")
