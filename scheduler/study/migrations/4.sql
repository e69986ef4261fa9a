-- Schema 4: wins that were overtaken are run again; sizes of code; what a trial is for; the audit split.

ALTER TABLE experiment ADD COLUMN rebases TEXT NOT NULL DEFAULT '[]';
ALTER TABLE experiment ADD COLUMN ablates INTEGER;
ALTER TABLE experiment ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trial ADD COLUMN kind TEXT NOT NULL DEFAULT 'usual';
ALTER TABLE outcome ADD COLUMN audit_metric REAL;
