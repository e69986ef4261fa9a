-- Schema 4: wins that were overtaken are run again on today's champion.

ALTER TABLE experiment ADD COLUMN rebases TEXT NOT NULL DEFAULT '[]';
ALTER TABLE experiment ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
