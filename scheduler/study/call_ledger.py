"""The ledger of calls to language models, in the study's database.

In: what a call may cost at most, before it is made; what it did cost, with its prompt and answer,
after it. Out: a number for each call, and a refusal where a limit leaves no room. Each change is a
transaction of its own: calls are no events of the rules. A call that was open when its agent died
counts in full, as nobody knows what it cost.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from agent import ArmRecord
from agent.ledger import Account, Intent, Limits, Settlement
from scheduler.study.calls import pack
from scheduler.study.facts import write_arms
from scheduler.study.values import read_totals


class Calls:
    """The write side. Used by the results actor, within its only thread."""

    def __init__(
        self,
        db: sqlite3.Connection,
        limits: Limits,
        transaction: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Take the ledger up; what an earlier process left open is lost, and counts in full."""
        self._db, self._limits, self._transaction = db, limits, transaction
        if db.execute("SELECT 1 FROM call WHERE state = 'open'").fetchone():
            with transaction():
                db.execute("UPDATE call SET state = 'lost' WHERE state = 'open'")
        totals = read_totals(db)
        dollars, tokens = totals.get("dollars", 0.0), totals.get("tokens", 0.0)
        calls, priced = (int(totals.get(name, 0)) for name in ("calls", "priced_calls"))
        self.account = Account(dollars, int(tokens), calls, calls - priced)

    def reserve(self, at: float, intent: Intent) -> int:
        """Reserve the most that a call may cost; return its number. Raises SpentError."""
        after = self.account.admit(intent, self._limits)
        prompt = json.dumps([[message.role, message.text] for message in intent.prompt])
        with self._transaction():
            number = self._db.execute(
                "INSERT INTO call (request, model, purpose, at, prompt, state, input_tokens,"
                " output_tokens, dollars) VALUES (?, ?, ?, ?, ?, 'open', ?, ?, ?)",
                (
                    intent.request,
                    intent.model,
                    intent.purpose,
                    at,
                    pack(prompt),
                    intent.input_tokens,
                    intent.most_output_tokens,
                    intent.dollars,
                ),
            ).lastrowid
        assert number is not None
        self.account = after
        return number

    def settle(
        self,
        number: int,
        settlement: Settlement,
        records: Callable[[str], Iterable[ArmRecord]] = lambda _: (),
    ) -> None:
        """Record what became of a call, and the arms' `records` that follow for its model.

        A call that was settled before stays as it is.
        """
        row = self._db.execute("SELECT * FROM call WHERE id = ?", (number,)).fetchone()
        if row is None or row["state"] == "settled":
            return
        with self._transaction():
            self._db.execute(
                "UPDATE call SET state = 'settled', answer = ?, error = ?, input_tokens = ?,"
                " output_tokens = ?, dollars = ?, seconds = ? WHERE id = ?",
                (
                    pack(settlement.answer),
                    settlement.error,
                    settlement.input_tokens,
                    settlement.output_tokens,
                    settlement.dollars,
                    settlement.seconds,
                    number,
                ),
            )
            write_arms(self._db, records(row["model"]))
        intent = Intent(
            row["request"],
            row["model"],
            row["purpose"],
            (),
            row["input_tokens"],
            row["output_tokens"],
            row["dollars"],
        )
        self.account = self.account.settle(intent, settlement)
