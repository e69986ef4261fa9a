-- Schema 5: figures that a repository of one's own reports beside its metric.

ALTER TABLE outcome ADD COLUMN metrics TEXT NOT NULL DEFAULT '{}';
