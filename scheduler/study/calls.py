"""A call to a language model, as the study's database has it; written by `call_ledger.py`."""

import json
import sqlite3
import zlib
from dataclasses import dataclass

from agent.ledger import Message


@dataclass(frozen=True)
class CallRecord:
    """One call, as the database has it."""

    id: int
    request: int
    model: str
    purpose: str
    at: float
    prompt: tuple[Message, ...]
    answer: str
    state: str  # open, settled, lost
    error: str
    input_tokens: int
    output_tokens: int
    dollars: float | None
    seconds: float


def pack(text: str) -> bytes:
    """A text as the database keeps it: prompts of one study are alike, and shrink to a quarter."""
    return zlib.compress(text.encode("utf-8", "surrogatepass"))


def unpack(packed: bytes | None) -> str:
    """The text again; "" where there is none."""
    return "" if packed is None else zlib.decompress(packed).decode("utf-8", "surrogatepass")


def read_call(row: sqlite3.Row) -> CallRecord:
    """A row of the table."""
    return CallRecord(
        id=row["id"],
        request=row["request"],
        model=row["model"],
        purpose=row["purpose"],
        at=row["at"],
        prompt=tuple(Message(*each) for each in json.loads(unpack(row["prompt"]))),
        answer=unpack(row["answer"]),
        state=row["state"],
        error=row["error"],
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        dollars=row["dollars"],
        seconds=row["seconds"],
    )
