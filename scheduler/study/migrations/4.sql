-- Schema 4: the evidence of each decision.

CREATE TABLE judgement (      -- on what evidence each experiment was kept or discarded
    experiment  INTEGER PRIMARY KEY REFERENCES experiment,
    at          REAL NOT NULL,
    evidence    TEXT NOT NULL   -- JSON: the fields of Evidence
);
