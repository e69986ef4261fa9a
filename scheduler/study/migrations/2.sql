-- From schema 1 to schema 2: language models, instructions, the notebook.
ALTER TABLE experiment ADD COLUMN expected TEXT NOT NULL DEFAULT '';
ALTER TABLE experiment ADD COLUMN lesson TEXT NOT NULL DEFAULT '';
ALTER TABLE experiment ADD COLUMN instruction INTEGER;
ALTER TABLE experiment ADD COLUMN combines INTEGER;
ALTER TABLE experiment ADD COLUMN mends INTEGER;
ALTER TABLE experiment ADD COLUMN mended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE experiment ADD COLUMN call INTEGER;
ALTER TABLE experiment ADD COLUMN decision INTEGER;
UPDATE experiment SET decision = (
    SELECT nth FROM (
        SELECT id AS who, row_number() OVER (ORDER BY decided_at, id) AS nth
        FROM experiment WHERE decided_at IS NOT NULL
    ) WHERE who = id
) WHERE decided_at IS NOT NULL;
ALTER TABLE request ADD COLUMN purpose TEXT NOT NULL DEFAULT 'improve';
ALTER TABLE request ADD COLUMN arm TEXT NOT NULL DEFAULT '';
UPDATE scalar SET value = '{}' WHERE name = 'asked';  -- requests of a session that is over
CREATE TABLE call (         
    id          INTEGER PRIMARY KEY,
    request     INTEGER NOT NULL,
    model       TEXT NOT NULL,
    purpose     TEXT NOT NULL,
    at          REAL NOT NULL,
    prompt      BLOB NOT NULL,
    answer      BLOB,         
    state       TEXT NOT NULL,
    error       TEXT NOT NULL DEFAULT '',
    input_tokens  INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    dollars     REAL,         
    seconds     REAL NOT NULL DEFAULT 0
);
CREATE INDEX call_open ON call (id) WHERE state = 'open';
CREATE INDEX call_by_request ON call (request);

CREATE TABLE arm (          
    name        TEXT PRIMARY KEY,
    record      TEXT NOT NULL 
) WITHOUT ROWID;

CREATE TABLE instruction (  
    id          INTEGER PRIMARY KEY,
    key         TEXT NOT NULL UNIQUE,
    text        TEXT NOT NULL,
    priority    INTEGER NOT NULL,
    state       TEXT NOT NULL,
    expires     INTEGER,      
    created_at  REAL NOT NULL,
    moved_at    REAL NOT NULL
);
CREATE INDEX instruction_open ON instruction (id) WHERE state IN ('queued', 'in use');
CREATE INDEX experiment_by_instruction ON experiment (instruction) WHERE instruction IS NOT NULL;
CREATE UNIQUE INDEX experiment_by_number ON experiment (decision) WHERE decision IS NOT NULL;

CREATE TABLE notebook (     
    id          INTEGER PRIMARY KEY,
    at          REAL NOT NULL,
    upto        INTEGER NOT NULL,
    author      TEXT NOT NULL,
    text        TEXT NOT NULL
);

DROP INDEX experiment_by_skeleton;
CREATE INDEX experiment_by_skeleton ON experiment (skeleton) WHERE decided_at IS NOT NULL;
CREATE INDEX experiment_by_state ON experiment (state);

CREATE TABLE total (          -- sums over whole tables, which views ask for once a second
    name        TEXT PRIMARY KEY,  -- experiments:STATE, trial_seconds, calls, ...
    value       REAL NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER experiment_added AFTER INSERT ON experiment BEGIN
    INSERT INTO total VALUES ('experiments:' || new.state, 1)
        ON CONFLICT DO UPDATE SET value = value + 1;
END;
CREATE TRIGGER experiment_moved AFTER UPDATE OF state ON experiment WHEN old.state != new.state
BEGIN
    UPDATE total SET value = value - 1 WHERE name = 'experiments:' || old.state;
    INSERT INTO total VALUES ('experiments:' || new.state, 1)
        ON CONFLICT DO UPDATE SET value = value + 1;
END;
CREATE TRIGGER outcome_added AFTER INSERT ON outcome BEGIN
    INSERT INTO total VALUES ('train_seconds', new.train), ('trial_seconds',
        new.startup + new.warm_up + new.train + new.eval + new.teardown)
        ON CONFLICT DO UPDATE SET value = value + excluded.value;
END;
CREATE TRIGGER call_added AFTER INSERT ON call BEGIN
    INSERT INTO total VALUES ('calls', 1), ('priced_calls', new.dollars IS NOT NULL),
        ('tokens', new.input_tokens + new.output_tokens), ('dollars', coalesce(new.dollars, 0))
        ON CONFLICT DO UPDATE SET value = value + excluded.value;
END;
CREATE TRIGGER call_settled AFTER UPDATE OF input_tokens, output_tokens, dollars ON call BEGIN
    INSERT INTO total VALUES
        ('priced_calls', (new.dollars IS NOT NULL) - (old.dollars IS NOT NULL)),
        ('tokens',
            new.input_tokens + new.output_tokens - old.input_tokens - old.output_tokens),
        ('dollars', coalesce(new.dollars, 0) - coalesce(old.dollars, 0))
        ON CONFLICT DO UPDATE SET value = value + excluded.value;
END;
INSERT INTO total SELECT 'experiments:' || state, count(*) FROM experiment GROUP BY state;
INSERT INTO total SELECT 'train_seconds', total(train) FROM outcome;
INSERT INTO total
    SELECT 'trial_seconds', total(startup + warm_up + train + eval + teardown) FROM outcome;
