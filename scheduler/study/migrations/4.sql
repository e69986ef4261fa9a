-- Schema 4: what a trial is for, and the score on the audit split.
ALTER TABLE trial ADD COLUMN kind TEXT NOT NULL DEFAULT 'usual';
ALTER TABLE outcome ADD COLUMN audit_metric REAL;
