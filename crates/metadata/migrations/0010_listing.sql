-- What the lists of both APIs read: repositories that hold something, artifacts newest first; and what a repository is
-- for, in its owners' words.
CREATE INDEX repository_live ON repository (project_id, name) WHERE manifest_count > 0;
-- Whether a manifest has a tag that is no evidence is asked for each of a page.
DROP INDEX tag_by_digest;
CREATE INDEX tag_by_digest ON tag (repository_id, digest, evidence);
CREATE INDEX manifest_by_push ON manifest (repository_id, pushed_at, digest);
ALTER TABLE repository ADD COLUMN description TEXT NOT NULL DEFAULT '';

-- @sqlite
DROP TRIGGER repository_update;
CREATE TRIGGER repository_update AFTER UPDATE OF project_id, name, full_name, kind, flags, pushed_at, description ON repository BEGIN
  INSERT INTO change (kind, a, b) VALUES ('repository', new.id, '');
END;

-- @postgres
DROP TRIGGER repository_changed ON repository;
CREATE TRIGGER repository_changed AFTER INSERT OR UPDATE OF project_id, name, full_name, kind, flags, pushed_at, description OR DELETE ON repository
  FOR EACH ROW EXECUTE FUNCTION bonded_changed_id();
