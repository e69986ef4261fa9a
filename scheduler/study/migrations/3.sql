-- Schema 3: letters have replies, decisions their evidence.

CREATE TABLE letter (         -- what became of each letter that was taken up
    key         TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    digest      TEXT NOT NULL,  -- equal for letters that ask for the same
    at          REAL NOT NULL,
    number      INTEGER,        -- of the instruction or experiment that it made or moved
    refused     TEXT NOT NULL   -- why it could not be done; empty: it was
) WITHOUT ROWID;
INSERT INTO letter SELECT key, 'instruct', '', created_at, id, '' FROM instruction;

CREATE TABLE judgement (      -- on what evidence each experiment was kept or discarded
    experiment  INTEGER PRIMARY KEY REFERENCES experiment,
    at          REAL NOT NULL,
    evidence    TEXT NOT NULL   -- JSON: the fields of Evidence
);
