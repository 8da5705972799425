-- The worst verdicts are the index's to find.
DROP INDEX scan_by_worst;
