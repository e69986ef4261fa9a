"""The read side of a study's database: every question that a view, an export or a briefing asks.

Read-only, so that it may be used while the study runs, and from any process of the node. Every
query has a bound or an index: its time does not grow with the length of the study, but for
those that return all of it (`experiments`, `trials`).
"""

import hashlib
import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from statistics import median

from agent import ArmRecord
from scheduler.rules.order import Figure
from scheduler.rules.states import (
    ExperimentState,
    InstructionState,
    StopReason,
    StudyState,
    TrialKind,
)
from scheduler.study.calls import CallRecord, read_call
from scheduler.study.database import open_for_reading
from scheduler.study.records import (
    ChampionRecord,
    Experiment,
    InstructionRecord,
    JournalEvent,
    NotebookRecord,
    Reply,
    Study,
    TrialRecord,
)
from scheduler.study.rows import EXPERIMENT, MEASURED, experiment_of, repeats_of, trial_of
from scheduler.study.slot_time import read_slot_time
from scheduler.study.values import class_of, read_scalars, read_totals

LINEAGE = 500  # generations: those before are far behind what it is asked for, the leaders
CHAMPION = (
    "SELECT number, experiment, experiment.metric, at, champion.metric FROM champion"
    " JOIN experiment ON experiment.id = champion.experiment"
)
CODES = 32  # of which the text is kept: the champion's is asked for with every other one
CHECKED = 20  # newest champions whose order is checked
GAPS = 500  # newest trials from which "seconds lost between trials" is taken


class Reader:
    """A read-only connection to one study. Used by one thread."""

    def __init__(self, path: Path) -> None:
        """Open the database; raises UsageError where there is none that can be read."""
        self.db = open_for_reading(path)  # for rooms of the study that ask what is theirs alone
        self._codes: dict[int, dict[str, str]] = {}

    def close(self) -> None:
        """Close the connection."""
        self.db.close()

    def __enter__(self) -> "Reader":
        """Use as a context manager: it closes itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    # ---- the study --------------------------------------------------------------------------

    def study(self) -> Study:
        """The study as a whole."""
        scalars = read_scalars(self.db)
        totals = read_totals(self.db)
        baseline = self.db.execute(
            "SELECT experiment.metric FROM champion JOIN experiment ON experiment.id = experiment"
            " WHERE number = 1"
        ).fetchone()
        tally, fleet = scalars.get("tally", {}), scalars.get("fleet", {})
        reason = scalars.get("reason")
        return Study(
            state=StudyState(scalars.get("study", StudyState.STOPPED)),
            reason=StopReason(reason) if reason else None,
            text=scalars.get("text", ""),
            slots=scalars.get("slots", 0),
            counts={
                state: count
                for state in ExperimentState
                if (count := int(totals.get(f"experiments:{state}", 0)))
            },
            champion=self.champion(),
            baseline=baseline and baseline["metric"],  # of all its trials
            opened_at=tally.get("opened_at", 0.0),
            seconds=tally.get("seconds_before", 0.0),
            trial_seconds=totals.get("trial_seconds", 0.0),
            train_seconds=totals.get("train_seconds", 0.0),
            lost_between_trials=self._lost_between_trials(),
            tokens=int(totals.get("tokens", 0)),
            dollars=totals.get("dollars", 0.0)
            if totals.get("priced_calls") == totals.get("calls")
            else None,
            calls=int(totals.get("calls", 0)),
            arms=self.arms(),
            troubles=scalars.get("troubles", {}),
            open_instructions=len(self.instructions(open_only=True)),
            kinds=dict(fleet.get("kinds", ())),
            reference=fleet.get("reference"),
            proposed=tally.get("proposed", 0),
            hardware=self._classes(),
            slot_time=read_slot_time(self.db, totals),
        )

    def _classes(self) -> tuple[str, ...]:
        """The classes of hardware that metrics were measured on, one step of the index for each."""
        rows = self.db.execute(
            "WITH RECURSIVE class (name) AS ("
            " SELECT min(hardware) FROM experiment WHERE metric IS NOT NULL UNION ALL SELECT"
            " (SELECT min(hardware) FROM experiment WHERE metric IS NOT NULL AND hardware > name)"
            " FROM class WHERE name IS NOT NULL)"
            " SELECT name FROM class WHERE name IS NOT NULL"
        )
        return tuple(row["name"] for row in rows)

    def _lost_between_trials(self) -> float | None:
        """Median seconds from the end of a trial to the start of the next on its slot."""
        rows = self.db.execute(
            "SELECT slot, started_at, finished_at"
            " FROM (SELECT * FROM outcome ORDER BY trial DESC LIMIT ?) JOIN trial ON trial = id"
            " WHERE started_at >= (SELECT max(opened_at) FROM session)",
            (GAPS,),
        ).fetchall()
        ends: dict[int, float] = {}
        gaps = []
        for slot, started, finished in sorted(map(tuple, rows), key=lambda r: r[1]):
            if slot in ends:
                gaps.append(max(0.0, started - ends[slot]))
            ends[slot] = finished
        return median(gaps) if gaps else None

    def champions(self) -> list[ChampionRecord]:
        """The line of the best, the baseline first."""
        return [ChampionRecord(*row) for row in self.db.execute(f"{CHAMPION} ORDER BY number")]

    def champion(self, number: int | None = None) -> ChampionRecord | None:
        """The newest champion, or the one of this number: 1 is the baseline."""
        row = self.db.execute(
            f"{CHAMPION} WHERE number = coalesce(?, (SELECT max(number) FROM champion))",  # noqa: S608
            (number,),
        ).fetchone()
        return row and ChampionRecord(*row)

    def ablations(self, newest: int) -> list[Experiment]:
        """What took a kept edit out of a champion, in order of their ids: so many, the newest."""
        query = "WHERE ablates IS NOT NULL ORDER BY id DESC LIMIT ?"
        return list(self._experiments(query, (newest,)))[::-1]

    def not_ablated(self) -> list[str]:
        """Why edits of the champion were not taken out, when that was asked for last."""
        row = self.db.execute(
            "SELECT refused FROM request WHERE purpose = 'ablate' AND answered_at IS NOT NULL"
            " ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return [] if row is None else [str(each) for each in json.loads(row["refused"])]

    def figures(self) -> list[Figure]:
        """What was measured of the newest champions and of the baseline, trial by trial."""
        rows = self.db.execute(
            "SELECT champion.number AS champion, trial.*, outcome.metric, audit_metric, device,"
            " gpu_ids, precision, experiment.hardware AS home FROM champion"
            " JOIN experiment ON experiment.id = champion.experiment"
            " JOIN trial ON trial.experiment = champion.experiment"
            " JOIN outcome ON outcome.trial = trial.id WHERE outcome.metric IS NOT NULL"
            " AND (champion.number = 1 OR champion.number >"
            " (SELECT max(number) FROM champion) - ?) ORDER BY champion.number, trial.id",
            (CHECKED,),
        )
        return [
            Figure(
                champion=row["champion"],
                experiment=row["experiment"],
                number=row["number"],
                kind=TrialKind(row["kind"]),
                metric=row["metric"],
                audit=row["audit_metric"],
                hardware=class_of(row),
                home=row["home"],
            )
            for row in rows
        ]

    def session_began(self) -> float:
        """When the newest session began; 0 before the first."""
        row = self.db.execute("SELECT opened_at FROM session ORDER BY id DESC LIMIT 1").fetchone()
        return 0.0 if row is None else float(row["opened_at"])

    def first_session(self) -> tuple[float, int, str]:
        """When and where the study was begun: opening time, pid and host. It never changes.

        Zeros and no host before the first session.
        """
        row = self.db.execute(
            "SELECT opened_at, pid, host FROM session ORDER BY id LIMIT 1"
        ).fetchone()
        return (0.0, 0, "") if row is None else (row["opened_at"], row["pid"], row["host"])

    def identity(self) -> str:
        """Eight hex digits that tell this study from others of its name; they never change."""
        return hashlib.sha256(repr(self.first_session()).encode()).hexdigest()[:8]

    def champion_number(self, experiment: int) -> int | None:
        """Which champion an experiment became, or None."""
        row = self.db.execute(
            "SELECT min(number) AS number FROM champion WHERE experiment = ?", (experiment,)
        ).fetchone()
        return None if row["number"] is None else int(row["number"])

    # ---- the journal ------------------------------------------------------------------------

    def events(self, *, after: int, limit: int) -> list[JournalEvent]:
        """The next facts after a place in the journal, in their order."""
        rows = self.db.execute(
            "SELECT seq, at, fact, data FROM journal WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return [JournalEvent(r["seq"], r["at"], r["fact"], json.loads(r["data"])) for r in rows]

    def newest_event(self) -> int:
        """The place of the newest fact in the journal; 0 before the first."""
        row = self.db.execute("SELECT seq FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
        return 0 if row is None else int(row["seq"])

    # ---- the agent --------------------------------------------------------------------------

    def arms(self) -> tuple[ArmRecord, ...]:
        """What each model and the tuner have done, in order of their names."""
        rows = self.db.execute("SELECT record FROM arm ORDER BY name")
        return tuple(ArmRecord(**json.loads(row["record"])) for row in rows)

    def call(self, number: int) -> CallRecord | None:
        """One call to a model with its prompt and its answer, or None where there is none."""
        row = self.db.execute("SELECT * FROM call WHERE id = ?", (number,)).fetchone()
        return None if row is None else read_call(row)

    def notebook(self) -> NotebookRecord | None:
        """The newest notebook, or None before the first."""
        row = self.db.execute("SELECT * FROM notebook ORDER BY id DESC LIMIT 1").fetchone()
        return row and NotebookRecord(row["text"], row["upto"], row["author"], row["at"])

    def lessons(self, *, after: int, limit: int) -> list[str]:
        """The newest lessons of decisions after the given one, in their order."""
        rows = self.db.execute(
            "SELECT lesson FROM experiment WHERE decision > ? AND lesson != ''"
            " ORDER BY decision DESC LIMIT ?",
            (after, limit),
        ).fetchall()
        return [row["lesson"] for row in reversed(rows)]

    def instructions(self, *, open_only: bool = False) -> list[InstructionRecord]:
        """What people asked for: the open ones by urgency, or all by number."""
        rest = (
            "WHERE state IN ('queued', 'in use') ORDER BY priority DESC, id"
            if open_only
            else "ORDER BY id"
        )
        rows = self.db.execute(f"SELECT * FROM instruction {rest}").fetchall()  # noqa: S608
        return [self._instruction(row) for row in rows]

    def latest_instructions(self, count: int) -> list[InstructionRecord]:
        """The newest instructions, the newest first."""
        rows = self.db.execute("SELECT * FROM instruction ORDER BY id DESC LIMIT ?", (count,))
        return [self._instruction(row) for row in rows.fetchall()]

    def instruction(self, key: str) -> InstructionRecord | None:
        """The instruction that came in the letter with this key, or None."""
        row = self.db.execute("SELECT * FROM instruction WHERE key = ?", (key,)).fetchone()
        return None if row is None else self._instruction(row)

    def reply(self, key: str) -> Reply | None:
        """What became of the letter with this key, or None as long as nothing has."""
        row = self.db.execute("SELECT * FROM letter WHERE key = ?", (key,)).fetchone()
        return None if row is None else Reply(**dict(row))

    def _instruction(self, row: sqlite3.Row) -> InstructionRecord:
        served_by = self.db.execute(
            "SELECT id FROM experiment WHERE instruction = ? ORDER BY id", (row["id"],)
        )
        return InstructionRecord(
            id=row["id"],
            text=row["text"],
            priority=row["priority"],
            state=InstructionState(row["state"]),
            expires=row["expires"],
            created_at=row["created_at"],
            moved_at=row["moved_at"],
            experiments=tuple(each["id"] for each in served_by),
        )

    # ---- experiments ------------------------------------------------------------------------

    def experiment(self, number: int) -> Experiment | None:
        """One experiment, or None where there is no such number."""
        return next(self._experiments("WHERE id = ?", (number,)), None)

    def baseline(self) -> Experiment | None:
        """The newest baseline: the one that is the champion, or that is to become it."""
        return next(self._experiments("WHERE parent IS NULL ORDER BY id DESC LIMIT 1"), None)

    def count(self) -> int:
        """How many experiments there are; they are numbered from 0 without a gap."""
        (highest,) = self.db.execute("SELECT max(id) FROM experiment").fetchone()
        return 0 if highest is None else int(highest) + 1

    def experiments(self) -> Iterator[Experiment]:
        """All experiments, in order of their numbers."""
        return self._experiments("ORDER BY id")

    def page(
        self, *, after: int, limit: int, state: ExperimentState | None = None
    ) -> list[Experiment]:
        """The next experiments after an id, in order of their ids, of one state or of all."""
        where, values = ("AND state = ?", (state,)) if state else ("", ())
        query = f"WHERE id > ? {where} ORDER BY id LIMIT ?"
        return list(self._experiments(query, (after, *values, limit)))

    def leaders(self, count: int, *, minimize: bool = True) -> list[Experiment]:
        """The best by metric, the best first, of today's champion's class of hardware.

        Failures have no metric and no rank, and across classes figures don't compare.
        """
        order = "ASC" if minimize else "DESC"
        query = f"WHERE metric IS NOT NULL AND hardware = ? ORDER BY metric {order}, id LIMIT ?"
        return list(self._experiments(query, (self._reference_class(), count)))

    def _reference_class(self) -> str | None:
        """The class of hardware that the champion's metric was measured on."""
        row = self.db.execute(
            "SELECT hardware FROM champion JOIN experiment ON experiment.id = experiment"
            " ORDER BY number DESC LIMIT 1"
        ).fetchone()
        return None if row is None else str(row["hardware"])

    def kept(self) -> Iterator[Experiment]:
        """All that were kept, in order of their numbers."""
        return self._experiments("WHERE state = 'keep' ORDER BY id")

    def kept_children(self, number: int, count: int = 20) -> list[Experiment]:
        """Those that were kept and stand directly on this one, the newest first."""
        query = "WHERE parent = ? AND state = 'keep' ORDER BY id DESC LIMIT ?"
        return list(self._experiments(query, (number, count)))

    def fates(self) -> Iterator[tuple[int, ExperimentState, float | None]]:
        """Number, state and metric of all that are decided, in order of their numbers.

        Of what was discarded, only those of today's champion's class of hardware.
        """
        rows = self.db.execute(
            "SELECT id, state, metric FROM experiment WHERE decided_at IS NOT NULL"
            " AND (state != 'discard' OR hardware = ?) ORDER BY id",
            (self._reference_class(),),
        )
        for row in rows:
            yield row["id"], ExperimentState(row["state"]), row["metric"]

    def spread(self) -> dict[int, tuple[float, float]]:
        """The lowest and the highest trial of each experiment whose metric is a mean of several."""
        rows = self.db.execute(
            f"SELECT id, parent, hardware, {MEASURED} AS measured FROM experiment"  # noqa: S608
            " WHERE id IN (SELECT experiment FROM trial WHERE number > 1)"
        )
        found = {
            row["id"]: repeats_of(row["measured"], row["hardware"], baseline=row["parent"] is None)
            for row in rows
        }
        return {n: (each.low, each.high) for n, each in found.items() if each and each.trials > 1}

    def recent(self, count: int) -> list[Experiment]:
        """The latest to be decided, the newest first."""
        return list(
            self._experiments(
                "WHERE decided_at IS NOT NULL ORDER BY decided_at DESC, id DESC LIMIT ?", (count,)
            )
        )

    def alike(self, skeleton: str, count: int) -> list[Experiment]:
        """The newest decided ones that differ from a code in the values of constants only."""
        return list(
            self._experiments(
                "WHERE skeleton = ? AND decided_at IS NOT NULL ORDER BY id DESC LIMIT ?",
                (skeleton, count),
            )
        )

    def metrics(self, numbers: Collection[int]) -> dict[int, float | None]:
        """The metrics of these experiments, as far as they are of the champion's class."""
        marks = ", ".join("?" * len(numbers))
        rows = self.db.execute(
            f"SELECT id, metric FROM experiment WHERE id IN ({marks}) AND hardware = ?",  # noqa: S608
            (*numbers, self._reference_class()),
        )
        return {row["id"]: row["metric"] for row in rows}

    def estimates(self, numbers: Collection[int]) -> dict[int, float]:
        """What these would measure on the reference, if the effect is what it was elsewhere.

        The metric of the champion that they faced with the difference that they were judged by.
        """
        marks = ", ".join("?" * len(numbers))
        rows = self.db.execute(
            "SELECT judgement.experiment AS id, json_extract(evidence, '$.effect')"  # noqa: S608
            " + (SELECT crowned.metric FROM champion JOIN experiment AS crowned"
            " ON crowned.id = champion.experiment WHERE champion.at <= judgement.at"
            " AND crowned.hardware = ? ORDER BY champion.number DESC LIMIT 1) AS value"
            f" FROM judgement WHERE judgement.experiment IN ({marks})",
            (self._reference_class(), *numbers),
        )
        return {row["id"]: row["value"] for row in rows if row["value"] is not None}

    def lineage(self, number: int) -> set[int]:
        """An experiment, its parent, and so on, for `LINEAGE` generations."""
        rows = self.db.execute(
            "WITH RECURSIVE line (id) AS (SELECT ? UNION SELECT parent FROM experiment"
            " JOIN line USING (id) WHERE parent IS NOT NULL LIMIT ?) SELECT id FROM line",
            (number, LINEAGE),
        )
        return {row["id"] for row in rows}

    def undecided(self, newest: int = -1) -> list[Experiment]:
        """Queued, running or waiting for a decision, in order of their numbers: all, or so many."""
        query = "WHERE decided_at IS NULL ORDER BY id DESC LIMIT ?"
        return list(self._experiments(query, (newest,)))[::-1]

    def queue(self, count: int) -> list[Experiment]:
        """The experiments whose trials are planned, in the order of the queue."""
        return list(
            self._experiments(
                "JOIN (SELECT experiment AS queued, min(rank) AS rank FROM trial"
                # Left alone, SQLite takes the index of all trials, as that one is grouped already.
                " INDEXED BY trial_open"
                " WHERE state IN ('planned', 'running') AND state = 'planned' GROUP BY experiment)"
                " ON queued = id"
                " ORDER BY rank LIMIT ?",
                (count,),
            )
        )

    def known_fingerprints(self, fingerprints: Sequence[str]) -> set[str]:
        """Those of the given fingerprints that an experiment of the study has."""
        marks = ", ".join("?" * len(fingerprints))
        rows = self.db.execute(
            f"SELECT DISTINCT fingerprint FROM experiment WHERE fingerprint IN ({marks})",  # noqa: S608
            tuple(fingerprints),
        )
        return {row[0] for row in rows}

    def same_code(self, fingerprint: str) -> int | None:
        """The first experiment of the same code but for layout and comments, or None."""
        row = self.db.execute(
            "SELECT min(id) AS id FROM experiment WHERE fingerprint = ?", (fingerprint,)
        ).fetchone()
        return None if row["id"] is None else int(row["id"])

    def files(self, experiment: int) -> dict[str, str]:
        """The editable files of an experiment: relative path -> text. They never change."""
        if known := self._codes.get(experiment):
            return dict(known)
        rows = self.db.execute(
            "SELECT path, text FROM file JOIN blob ON blob = hash WHERE experiment = ?"
            " ORDER BY path",
            (experiment,),
        )
        found = {row["path"]: row["text"] for row in rows}
        if len(self._codes) >= CODES:
            self._codes.pop(next(iter(self._codes)))
        self._codes[experiment] = found
        return dict(found)

    def _experiments(self, rest: str, values: Sequence[object] = ()) -> Iterator[Experiment]:
        query = f"SELECT {EXPERIMENT} FROM experiment {rest}"  # noqa: S608 - from this file only
        cursor = self.db.cursor()
        cursor.row_factory = None  # plain tuples, which can be looked up
        yield from map(experiment_of, cursor.execute(query, tuple(values)))

    # ---- trials -----------------------------------------------------------------------------

    def trials(self, experiment: int | None = None) -> list[TrialRecord]:
        """The trials of one experiment, or of all, in order of their ids."""
        where, values = (
            ("WHERE experiment = ?", (experiment,)) if experiment is not None else ("", ())
        )
        return self._trials(f"{where} ORDER BY trial.id", values)

    def trial(self, number: int) -> TrialRecord | None:
        """One trial, or None where there is no such number."""
        return next(iter(self._trials("WHERE trial.id = ?", (number,))), None)

    def trials_after(self, number: int, limit: int) -> list[TrialRecord]:
        """The next trials after an id, in order of their ids."""
        return self._trials("WHERE trial.id > ? ORDER BY trial.id LIMIT ?", (number, limit))

    def device(self) -> str:
        """What the newest trial ran on; "" before the first, or where none of late had any."""
        row = self.db.execute(
            "SELECT device FROM (SELECT device FROM outcome ORDER BY trial DESC LIMIT ?)"
            " WHERE device != '' LIMIT 1",
            (GAPS,),
        ).fetchone()
        return "" if row is None else str(row["device"])

    def running_trials(self) -> list[TrialRecord]:
        """The trials that hold a slot, in order of the slots."""
        return self._trials(
            "WHERE trial.state IN ('planned', 'running') AND trial.state = 'running' ORDER BY slot"
        )

    def _trials(self, rest: str, values: Sequence[object] = ()) -> list[TrialRecord]:
        rows = self.db.execute(
            "SELECT trial.*, outcome.*, trial.reason AS why, outcome.reason AS said FROM trial"  # noqa: S608
            f" LEFT JOIN outcome ON outcome.trial = trial.id {rest}",
            tuple(values),
        )
        return [trial_of(row) for row in rows]
