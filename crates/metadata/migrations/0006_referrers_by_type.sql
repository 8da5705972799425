-- A rare type among many referrers of one subject is found without reading the others.
CREATE INDEX manifest_by_subject_and_type ON manifest (repository_id, subject, artifact_type, digest) WHERE subject IS NOT NULL;
