-- Schema 5: where the time of the slots goes, and figures beside the metric. How many slots there
-- were was not recorded: for older sessions it is guessed from their trials, from the first that began
-- to the last that ended.

CREATE TABLE slot_count (
    id          INTEGER PRIMARY KEY,
    at          REAL NOT NULL,
    slots       INTEGER NOT NULL,
    why         TEXT NOT NULL
);
CREATE INDEX trial_held ON trial (ended_at) WHERE ended_at IS NOT NULL AND assigned_at IS NOT NULL;
CREATE INDEX journal_of_states ON journal (at) WHERE fact = 'StudyMoved';
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
DROP TRIGGER outcome_added;
CREATE TRIGGER outcome_added AFTER INSERT ON outcome BEGIN
    INSERT INTO total VALUES ('train_seconds', new.train), ('trial_seconds',
        new.startup + new.warm_up + new.train + new.eval + new.teardown),
        ('startup_seconds', new.startup), ('warm_up_seconds', new.warm_up),
        ('eval_seconds', new.eval), ('teardown_seconds', new.teardown)
        ON CONFLICT DO UPDATE SET value = value + excluded.value;
END;

CREATE TEMP TABLE held AS  -- what a killed session ran ended when the next one began: no later than
    SELECT session.id AS session, slot, state, assigned_at,  -- the last that happened in its own
        min(ended_at, coalesce((SELECT max(at) FROM journal WHERE at < coalesce((
            SELECT opened_at FROM session AS later WHERE later.id = session.id + 1), 9e99)
        ), ended_at)) AS ended_at
    FROM trial JOIN session ON session.id = (
        SELECT max(id) FROM session AS own WHERE own.opened_at <= trial.assigned_at)
    WHERE assigned_at IS NOT NULL AND ended_at IS NOT NULL;
INSERT INTO slot_count (at, slots, why)
    SELECT at, slots, why FROM (
        SELECT session, min(assigned_at) AS at, max(slot) + 1 AS slots, 'guessed' AS why
        FROM held GROUP BY session
        UNION ALL SELECT session, max(ended_at), 0, 'over' FROM held GROUP BY session
    ) ORDER BY session, at;
INSERT INTO total
    SELECT 'held:' || state, sum(max(0.0, ended_at - assigned_at)) FROM held GROUP BY state;
INSERT INTO total SELECT 'startup_seconds', sum(startup) FROM outcome HAVING count(*);
INSERT INTO total SELECT 'warm_up_seconds', sum(warm_up) FROM outcome HAVING count(*);
INSERT INTO total SELECT 'eval_seconds', sum(eval) FROM outcome HAVING count(*);
INSERT INTO total SELECT 'teardown_seconds', sum(teardown) FROM outcome HAVING count(*);
DROP TABLE held;

-- Figures that a repository of one's own reports beside its metric.
ALTER TABLE outcome ADD COLUMN metrics TEXT NOT NULL DEFAULT '{}';

-- Whether a trial ran in a process that was started before: none did.
ALTER TABLE outcome ADD COLUMN warm INTEGER NOT NULL DEFAULT 0;

-- An experiment's metric leaves its first trial out, by which it was chosen, where there are others.
UPDATE experiment SET metric = coalesce((
    SELECT avg(outcome.metric) FROM trial JOIN outcome ON outcome.trial = trial.id
    WHERE trial.experiment = experiment.id AND kind = 'usual' AND number > 1
    AND outcome.metric IS NOT NULL AND experiment.hardware = CASE WHEN gpu_ids LIKE '%,%'
        THEN (length(gpu_ids) - length(replace(gpu_ids, ',', '')) + 1) || ' x ' ELSE '' END
        || device || iif(precision = '', '', ', ' || precision)
), metric) WHERE metric IS NOT NULL AND parent IS NOT NULL;
