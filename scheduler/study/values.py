"""Single values of a study's database, for whoever reads it: scalars, sums, a class of hardware."""

import json
import sqlite3
from typing import Any

from workers.outcome import hardware


def read_scalars(db: sqlite3.Connection) -> dict[str, Any]:
    """The part of the state that stands in no table of its own."""
    rows = db.execute("SELECT name, value FROM scalar").fetchall()
    return {row["name"]: json.loads(row["value"]) for row in rows}


def class_of(row: sqlite3.Row) -> str:
    """The class of hardware that an outcome's row names."""
    return hardware(row["device"], row["gpu_ids"].split(","), row["precision"])


def read_totals(db: sqlite3.Connection) -> dict[str, float]:
    """Sums over whole tables, kept by the schema's triggers; what never occurred is not there."""
    return {row["name"]: row["value"] for row in db.execute("SELECT name, value FROM total")}
