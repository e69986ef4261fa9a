"""A study of any length within seconds: the rows of a short one, over and over.

In: a synthetic study whose experiments are all decided, and how many times as long it is to be.
Out: the same study with so many copies of its experiments, files, trials, outcomes and requests,
one after the other in time, a lesson for each experiment and a call for each of a model's.
Champions stay those of the first: a copy of one is a discarded experiment. The code is that of the
first too, so that the database is smaller than a real one.
"""

import sqlite3
from pathlib import Path

COPIED = {
    "experiment": {
        "id": "id + :k * :experiments",
        "parent": "coalesce(parent + :k * :experiments, 0)",
        "request": "request + :k * :requests",
        "state": "iif(state = 'keep', 'discard', state)",
        "metric": "metric + 1e-7 * :k",
        "created_at": "created_at + :k * :seconds",
        "decided_at": "decided_at + :k * :seconds",
        "fingerprint": "fingerprint || '-' || :k",
        "decision": "decision + :k * :experiments",
    },
    "file": {"experiment": "experiment + :k * :experiments"},
    "trial": {
        "id": "id + :k * :trials",
        "experiment": "experiment + :k * :experiments",
        "rank": "rank + :k * :trials",
        "planned_at": "planned_at + :k * :seconds",
        "assigned_at": "assigned_at + :k * :seconds",
        "ended_at": "ended_at + :k * :seconds",
    },
    "outcome": {
        "trial": "trial + :k * :trials",
        "started_at": "started_at + :k * :seconds",
        "finished_at": "finished_at + :k * :seconds",
    },
    "request": {
        "id": "id + :k * :requests",
        "asked_at": "asked_at + :k * :seconds",
        "answered_at": "answered_at + :k * :seconds",
    },
}
"""Columns that a copy has otherwise. `:k` is its number."""
OWN = {"experiment": "id < :experiments", "file": "experiment < :experiments"} | {
    "trial": "id <= :trials",
    "outcome": "trial <= :trials",
    "request": "id <= :requests",
}
CALLS = (
    "INSERT INTO call (request, model, purpose, at, prompt, answer, state, input_tokens,"
    " output_tokens, dollars, seconds) SELECT request, origin, 'improve', created_at,"
    " randomblob(2000), randomblob(500), 'settled', 12000, 900, 0.01, 9.0 FROM experiment"
    " WHERE origin = 'a-model'"
)


def lengthen(path: Path, times: int) -> int:
    """Make a study's database so many times as long; return how many experiments it has now."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    experiments, seconds = db.execute(
        "SELECT max(id) + 1, max(decided_at) - min(created_at) + 1 FROM experiment"
    ).fetchone()
    values = {
        "experiments": experiments,
        "seconds": seconds,
        "trials": db.execute("SELECT max(id) FROM trial").fetchone()[0],
        "requests": db.execute("SELECT max(id) FROM request").fetchone()[0],
    }
    db.execute("BEGIN")
    for k in range(1, times):
        for table, changed in COPIED.items():
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            chosen = ", ".join(changed.get(name, name) for name in columns)
            db.execute(
                f"INSERT INTO {table} SELECT {chosen} FROM {table} WHERE {OWN[table]}",
                {**values, "k": k},
            )
    db.execute(CALLS)
    db.execute("UPDATE experiment SET lesson = '#' || id || ' ' || title || ': as expected'")
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return int(experiments * times)
