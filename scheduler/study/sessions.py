"""Who took a study up, with which versions, and the hashes of what its figures rest on.

In: a study's reader. Out: records. Decides nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.study.reader import Reader


@dataclass(frozen=True)
class SessionRecord:
    """One time that a driver took the study up."""

    id: int
    opened_at: float  # Unix seconds
    host: str
    versions: Mapping[str, str]  # package -> version
    task: str  # content hash of the task's fixed files
    data: str  # content hash of the packed data


def sessions_of(reader: Reader) -> list[SessionRecord]:
    """All sessions, the first one first. Their hashes are equal: a study refuses any other."""
    rows = reader.db.execute(
        "SELECT id, opened_at, host, versions, task, data FROM session ORDER BY id"
    )
    return [
        SessionRecord(
            id=row["id"],
            opened_at=row["opened_at"],
            host=row["host"],
            versions=json.loads(row["versions"]),
            task=row["task"],
            data=row["data"],
        )
        for row in rows
    ]
