-- Schema 4: wins that were overtaken are run again; sizes of code; what a trial
-- is for; the audit split; classes of hardware have a precision, slots have a kind.

ALTER TABLE experiment ADD COLUMN rebases TEXT NOT NULL DEFAULT '[]';
ALTER TABLE experiment ADD COLUMN ablates INTEGER;
ALTER TABLE experiment ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trial ADD COLUMN kind TEXT NOT NULL DEFAULT 'usual';
ALTER TABLE outcome ADD COLUMN audit_metric REAL;

ALTER TABLE outcome ADD COLUMN precision TEXT NOT NULL DEFAULT '';
UPDATE outcome SET precision = CASE -- what the harness has used since its first version
    WHEN device = '' THEN '' WHEN device IN ('cpu', 'mps') THEN 'float32' ELSE 'bfloat16' END;
UPDATE scalar SET value = (
    SELECT json_group_object(CASE
        WHEN key = '' THEN key
        WHEN key LIKE '%cpu' OR key LIKE '%mps' THEN key || ', float32'
        ELSE key || ', bfloat16' END, json(value)) FROM json_each(scalar.value)
) WHERE name = 'noise';
ALTER TABLE trial ADD COLUMN blamed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trial ADD COLUMN wants TEXT NOT NULL DEFAULT '';
ALTER TABLE trial ADD COLUMN accelerator TEXT NOT NULL DEFAULT '';
UPDATE trial SET wants = 'reference' WHERE state IN ('planned', 'running') AND (
    number > 1 OR experiment IN (SELECT id FROM experiment WHERE parent IS NULL));
ALTER TABLE experiment ADD COLUMN hardware TEXT NOT NULL DEFAULT '';
UPDATE experiment SET hardware = coalesce((
    SELECT CASE WHEN gpu_ids LIKE '%,%'
        THEN (length(gpu_ids) - length(replace(gpu_ids, ',', '')) + 1) || ' x ' ELSE '' END
        || device || iif(precision = '', '', ', ' || precision)
    FROM trial JOIN outcome ON outcome.trial = trial.id
    WHERE trial.experiment = experiment.id AND outcome.metric IS NOT NULL
    ORDER BY trial.id LIMIT 1
), '') WHERE metric IS NOT NULL;
CREATE INDEX experiment_by_class ON experiment (hardware, metric) WHERE metric IS NOT NULL;
