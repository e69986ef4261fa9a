-- The database of one study. Written by the results actor alone; anyone may read it.
-- Times are Unix seconds, durations seconds, memory bytes. A failure has no metric: NULL, never 0.

CREATE TABLE session (        -- one row for each time that a driver took the study up
    id          INTEGER PRIMARY KEY,
    opened_at   REAL NOT NULL,
    pid         INTEGER NOT NULL,
    host        TEXT NOT NULL,
    versions    TEXT NOT NULL,  -- JSON: package -> version
    task        TEXT NOT NULL,  -- content hashes of the task's fixed files and of the packed data:
    data        TEXT NOT NULL   -- figures compare only where they are those of the first session
);

CREATE TABLE blob (           -- texts by content: an unchanged file is stored once
    hash        TEXT PRIMARY KEY,
    text        TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE experiment (
    id          INTEGER PRIMARY KEY,
    parent      INTEGER REFERENCES experiment,  -- NULL: a baseline
    title       TEXT NOT NULL,
    hypothesis  TEXT NOT NULL,
    origin      TEXT NOT NULL,  -- baseline, tuner, person, or a model's name
    request     INTEGER,        -- the request for proposals that it answers
    state       TEXT NOT NULL,
    metric      REAL,           -- of its trials on one class of hardware (rules/estimate.py), once decided
    reason      TEXT NOT NULL DEFAULT '',
    wanted      INTEGER NOT NULL DEFAULT 1,  -- outcomes that its decision needs
    losses      INTEGER NOT NULL DEFAULT 0,  -- trials lost for which it may be to blame
    champions   INTEGER NOT NULL,  -- how many there had been at its briefing
    staleness   INTEGER,        -- champions that came between its briefing and its start
    fingerprint TEXT NOT NULL,
    skeleton    TEXT NOT NULL,
    constants   TEXT NOT NULL,  -- JSON: name -> number
    created_at  REAL NOT NULL,
    decided_at  REAL,
    expected    TEXT NOT NULL DEFAULT '',  -- of the metric, in its author's words
    lesson      TEXT NOT NULL DEFAULT '',  -- one line, once decided: expected against observed
    instruction INTEGER,  -- the one that it serves
    combines    INTEGER,  -- another experiment whose change it brings in
    mends       INTEGER,  -- the crashed experiment whose idea it carries on
    mended      INTEGER NOT NULL DEFAULT 0,  -- how many crashed before it in this line
    call        INTEGER,  -- the call of the model that it came from
    decision    INTEGER,  -- the how-many-eth of the study, once decided
    rebases     TEXT NOT NULL DEFAULT '[]',  -- JSON: overtaken wins whose edits it carries over
    ablates     INTEGER,  -- the kept experiment whose edit it takes out of its parent's code
    size        INTEGER NOT NULL DEFAULT 0,  -- of its code, in nodes of the syntax tree; 0: not counted
    hardware    TEXT NOT NULL DEFAULT ''  -- the class that its metric was measured on
);
CREATE INDEX experiment_baseline ON experiment (id) WHERE parent IS NULL;
CREATE INDEX experiment_by_metric ON experiment (metric) WHERE metric IS NOT NULL;
CREATE INDEX experiment_by_class ON experiment (hardware, metric) WHERE metric IS NOT NULL;
CREATE INDEX experiment_by_decision ON experiment (decided_at) WHERE decided_at IS NOT NULL;
CREATE INDEX experiment_open ON experiment (id) WHERE decided_at IS NULL;
CREATE INDEX experiment_by_fingerprint ON experiment (fingerprint);
CREATE INDEX experiment_by_skeleton ON experiment (skeleton) WHERE decided_at IS NOT NULL;
CREATE INDEX experiment_by_state ON experiment (state);

CREATE TABLE file (           -- every editable file of every experiment, also of discarded ones
    experiment  INTEGER NOT NULL REFERENCES experiment,
    path        TEXT NOT NULL,
    blob        TEXT NOT NULL REFERENCES blob,
    PRIMARY KEY (experiment, path)
) WITHOUT ROWID;

CREATE TABLE trial (
    id          INTEGER PRIMARY KEY,
    experiment  INTEGER NOT NULL REFERENCES experiment,
    number      INTEGER NOT NULL,
    seed        INTEGER NOT NULL,
    rank        INTEGER NOT NULL,  -- order in the queue; negative: first in line
    state       TEXT NOT NULL,
    slot        INTEGER,
    reason      TEXT NOT NULL DEFAULT '',  -- why it was lost or cancelled
    planned_at  REAL NOT NULL,
    assigned_at REAL,              -- when it was given a slot
    ended_at    REAL,
    kind        TEXT NOT NULL DEFAULT 'usual',  -- or long: with a longer budget, decides nothing
    wants       TEXT NOT NULL DEFAULT '',  -- the kind of slot: a Ray accelerator type, reference
    blamed      INTEGER NOT NULL DEFAULT 0,  -- lost, and its code may be the cause
    accelerator TEXT NOT NULL DEFAULT ''   -- of the slot that it was given; empty: nameless
);
CREATE INDEX trial_by_experiment ON trial (experiment);
CREATE INDEX trial_open ON trial (rank) WHERE state IN ('planned', 'running');
CREATE INDEX trial_held ON trial (ended_at) WHERE ended_at IS NOT NULL AND assigned_at IS NOT NULL;

CREATE TABLE slot_count (     -- how many slots there were from when on, by the driver's clock
    id          INTEGER PRIMARY KEY,
    at          REAL NOT NULL,
    slots       INTEGER NOT NULL,
    why         TEXT NOT NULL   -- counted; over: a session ended, or was heard of last; guessed
);

CREATE TABLE outcome (        -- at most one for each trial: its id is the idempotency key
    trial       INTEGER PRIMARY KEY REFERENCES trial,
    status      TEXT NOT NULL,
    reason      TEXT NOT NULL,
    metric      REAL,
    startup     REAL NOT NULL,  -- seconds in each phase
    warm_up     REAL NOT NULL,
    train       REAL NOT NULL,
    eval        REAL NOT NULL,
    teardown    REAL NOT NULL,
    started_at  REAL NOT NULL,
    finished_at REAL NOT NULL,
    steps       INTEGER NOT NULL,
    tokens      INTEGER NOT NULL,
    parameters  INTEGER NOT NULL,
    train_loss  REAL,
    peak_memory_bytes        INTEGER NOT NULL,
    peak_device_memory_bytes INTEGER NOT NULL,
    device      TEXT NOT NULL,
    gpu_ids     TEXT NOT NULL,  -- comma-separated
    node        TEXT NOT NULL,
    sandbox     TEXT NOT NULL,  -- the level in force: strict or basic
    judge       TEXT NOT NULL,  -- which path computed the metric; empty: none did
    log_tail    TEXT NOT NULL,  -- the whole log lies in experiments/ID/trial-N.log
    audit_metric REAL,          -- of the same model on the audit split, where that was asked
    precision   TEXT NOT NULL DEFAULT '',  -- of the arithmetic on the device
    metrics     TEXT NOT NULL DEFAULT '{}',  -- JSON: figures beside the metric, name -> number
    warm        INTEGER NOT NULL DEFAULT 0  -- it ran in a process that was started before
);

CREATE TABLE champion (       -- the line of the best; a later one overtakes, none is revoked
    number      INTEGER PRIMARY KEY,
    experiment  INTEGER NOT NULL REFERENCES experiment,
    metric      REAL NOT NULL,
    at          REAL NOT NULL
);

CREATE TABLE request (        -- calls to the agent
    id          INTEGER PRIMARY KEY,
    count       INTEGER NOT NULL,
    asked_at    REAL NOT NULL,
    answered_at REAL,
    accepted    INTEGER,
    refused     TEXT NOT NULL DEFAULT '[]',  -- JSON: why proposals were refused
    error       TEXT NOT NULL DEFAULT '',
    seconds     REAL,
    input_tokens  INTEGER,
    output_tokens INTEGER,
    dollars     REAL,
    purpose     TEXT NOT NULL DEFAULT 'improve',  -- or fill, mend, rebase
    arm         TEXT NOT NULL DEFAULT ''  -- whose answer it mainly was
);

CREATE TABLE call (           -- attempts to have a model answer, the failed ones too
    id          INTEGER PRIMARY KEY,
    request     INTEGER NOT NULL,
    model       TEXT NOT NULL,
    purpose     TEXT NOT NULL,  -- improve, mend, rebase, repair
    at          REAL NOT NULL,
    prompt      BLOB NOT NULL,  -- zlib: JSON, a list of [role, text]
    answer      BLOB,           -- zlib: text, as far as it came
    state       TEXT NOT NULL,  -- open (reserved), settled, lost (its agent died: counts in full)
    error       TEXT NOT NULL DEFAULT '',
    input_tokens  INTEGER NOT NULL,  -- at most, while it is open
    output_tokens INTEGER NOT NULL,
    dollars     REAL,           -- NULL: the price is not known
    seconds     REAL NOT NULL DEFAULT 0
);
CREATE INDEX call_open ON call (id) WHERE state = 'open';
CREATE INDEX call_by_request ON call (request);
-- Sums are asked for each second; without this each prompt of the study would be read for them.

CREATE TABLE arm (            -- what each model and the tuner have done; see agent.portfolio
    name        TEXT PRIMARY KEY,
    record      TEXT NOT NULL   -- JSON: the fields of ArmRecord
) WITHOUT ROWID;

CREATE TABLE instruction (    -- what people asked for while the study ran
    id          INTEGER PRIMARY KEY,
    key         TEXT NOT NULL UNIQUE,  -- of the letter it came in: one that comes twice counts once
    text        TEXT NOT NULL,
    priority    INTEGER NOT NULL,
    state       TEXT NOT NULL,
    expires     INTEGER,        -- with this decision of the study
    created_at  REAL NOT NULL,
    moved_at    REAL NOT NULL
);
CREATE INDEX instruction_open ON instruction (id) WHERE state IN ('queued', 'in use');
CREATE INDEX experiment_by_instruction ON experiment (instruction) WHERE instruction IS NOT NULL;
CREATE UNIQUE INDEX experiment_by_number ON experiment (decision) WHERE decision IS NOT NULL;

CREATE TABLE letter (         -- what became of each letter that was taken up
    key         TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    digest      TEXT NOT NULL,  -- equal for letters that ask for the same
    at          REAL NOT NULL,
    number      INTEGER,        -- of the instruction or experiment that it made or moved
    refused     TEXT NOT NULL   -- why it could not be done; empty: it was
) WITHOUT ROWID;

CREATE TABLE judgement (      -- on what evidence each experiment was kept or discarded
    experiment  INTEGER PRIMARY KEY REFERENCES experiment,
    at          REAL NOT NULL,
    evidence    TEXT NOT NULL   -- JSON: the fields of Evidence
);

CREATE TABLE notebook (       -- what the study has learned, condensed; the newest one counts
    id          INTEGER PRIMARY KEY,
    at          REAL NOT NULL,
    upto        INTEGER NOT NULL,  -- the newest decision that it covers
    author      TEXT NOT NULL,  -- a model's name, or rules
    text        TEXT NOT NULL
);

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
        new.startup + new.warm_up + new.train + new.eval + new.teardown),
        ('startup_seconds', new.startup), ('warm_up_seconds', new.warm_up),
        ('eval_seconds', new.eval), ('teardown_seconds', new.teardown)
        ON CONFLICT DO UPDATE SET value = value + excluded.value;
END;
CREATE TRIGGER slots_counted AFTER INSERT ON slot_count BEGIN
    INSERT INTO total SELECT 'slot_seconds', slots * max(0.0, new.at - at)
        FROM slot_count WHERE id = new.id - 1
        ON CONFLICT DO UPDATE SET value = value + excluded.value;
END;
CREATE TRIGGER trial_ended AFTER UPDATE OF ended_at ON trial
    WHEN old.ended_at IS NULL AND new.ended_at IS NOT NULL AND new.assigned_at IS NOT NULL
BEGIN  -- what a killed session ran has held its slot until that was heard of last
    INSERT INTO total VALUES ('held:' || new.state, max(0.0, min(new.ended_at, coalesce((
        SELECT iif(why = 'over', at, NULL) FROM slot_count ORDER BY id DESC LIMIT 1
        ), new.ended_at)) - new.assigned_at))
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

CREATE TABLE journal (        -- every fact in order, for those who follow the study
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    at          REAL NOT NULL,
    fact        TEXT NOT NULL,
    data        TEXT NOT NULL  -- JSON
);
CREATE INDEX journal_of_states ON journal (at) WHERE fact = 'StudyMoved';

CREATE TABLE outbox (         -- actions of the newest event, until the next event confirms them
    seq         INTEGER PRIMARY KEY,
    action      TEXT NOT NULL,
    data        TEXT NOT NULL  -- JSON
);

CREATE TABLE scalar (         -- the rest of the rules' state: one JSON value a name
    name        TEXT PRIMARY KEY,
    value       TEXT NOT NULL
) WITHOUT ROWID;
