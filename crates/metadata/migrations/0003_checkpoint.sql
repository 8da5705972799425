-- The checkpoint: which rows changed since the last segment was written into blob storage.
-- Triggers name every change of what a rebuild brings back; the duty reads the rows of a page in the same snapshot,
-- writes them, and removes what it took. Columns that are derived or only counted do not count as a change.

-- @sqlite
CREATE TABLE change (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  a INTEGER NOT NULL,
  b TEXT NOT NULL
) STRICT;
CREATE TRIGGER organisation_insert AFTER INSERT ON organisation BEGIN
  INSERT INTO change (kind, a, b) VALUES ('organisation', new.id, '');
END;
CREATE TRIGGER organisation_update AFTER UPDATE ON organisation BEGIN
  INSERT INTO change (kind, a, b) VALUES ('organisation', new.id, '');
END;
CREATE TRIGGER organisation_delete AFTER DELETE ON organisation BEGIN
  INSERT INTO change (kind, a, b) VALUES ('organisation', old.id, '');
END;
CREATE TRIGGER principal_insert AFTER INSERT ON principal BEGIN
  INSERT INTO change (kind, a, b) VALUES ('principal', new.id, '');
END;
CREATE TRIGGER principal_update AFTER UPDATE ON principal BEGIN
  INSERT INTO change (kind, a, b) VALUES ('principal', new.id, '');
END;
CREATE TRIGGER principal_delete AFTER DELETE ON principal BEGIN
  INSERT INTO change (kind, a, b) VALUES ('principal', old.id, '');
END;
CREATE TRIGGER project_insert AFTER INSERT ON project BEGIN
  INSERT INTO change (kind, a, b) VALUES ('project', new.id, '');
END;
CREATE TRIGGER project_update AFTER UPDATE ON project BEGIN
  INSERT INTO change (kind, a, b) VALUES ('project', new.id, '');
END;
CREATE TRIGGER project_delete AFTER DELETE ON project BEGIN
  INSERT INTO change (kind, a, b) VALUES ('project', old.id, '');
END;
CREATE TRIGGER access_grant_insert AFTER INSERT ON access_grant BEGIN
  INSERT INTO change (kind, a, b) VALUES ('access_grant', new.id, '');
END;
CREATE TRIGGER access_grant_update AFTER UPDATE ON access_grant BEGIN
  INSERT INTO change (kind, a, b) VALUES ('access_grant', new.id, '');
END;
CREATE TRIGGER access_grant_delete AFTER DELETE ON access_grant BEGIN
  INSERT INTO change (kind, a, b) VALUES ('access_grant', old.id, '');
END;
CREATE TRIGGER signing_key_insert AFTER INSERT ON signing_key BEGIN
  INSERT INTO change (kind, a, b) VALUES ('signing_key', new.id, '');
END;
CREATE TRIGGER signing_key_update AFTER UPDATE ON signing_key BEGIN
  INSERT INTO change (kind, a, b) VALUES ('signing_key', new.id, '');
END;
CREATE TRIGGER signing_key_delete AFTER DELETE ON signing_key BEGIN
  INSERT INTO change (kind, a, b) VALUES ('signing_key', old.id, '');
END;
CREATE TRIGGER repository_insert AFTER INSERT ON repository BEGIN
  INSERT INTO change (kind, a, b) VALUES ('repository', new.id, '');
END;
CREATE TRIGGER repository_update AFTER UPDATE OF project_id, name, full_name, kind, flags, pushed_at ON repository BEGIN
  INSERT INTO change (kind, a, b) VALUES ('repository', new.id, '');
END;
CREATE TRIGGER repository_delete AFTER DELETE ON repository BEGIN
  INSERT INTO change (kind, a, b) VALUES ('repository', old.id, '');
END;
CREATE TRIGGER deleted_manifest_insert AFTER INSERT ON deleted_manifest BEGIN
  INSERT INTO change (kind, a, b) VALUES ('deleted_manifest', new.id, '');
END;
CREATE TRIGGER deleted_manifest_delete AFTER DELETE ON deleted_manifest BEGIN
  INSERT INTO change (kind, a, b) VALUES ('deleted_manifest', old.id, '');
END;
CREATE TRIGGER repository_blob_insert AFTER INSERT ON repository_blob BEGIN
  INSERT INTO change (kind, a, b) VALUES ('repository_blob', new.repository_id, new.digest);
END;
CREATE TRIGGER repository_blob_delete AFTER DELETE ON repository_blob BEGIN
  INSERT INTO change (kind, a, b) VALUES ('repository_blob', old.repository_id, old.digest);
END;
CREATE TRIGGER manifest_insert AFTER INSERT ON manifest BEGIN
  INSERT INTO change (kind, a, b) VALUES ('manifest', new.repository_id, new.digest);
END;
CREATE TRIGGER manifest_update AFTER UPDATE OF media_type ON manifest BEGIN
  INSERT INTO change (kind, a, b) VALUES ('manifest', new.repository_id, new.digest);
END;
CREATE TRIGGER manifest_delete AFTER DELETE ON manifest BEGIN
  INSERT INTO change (kind, a, b) VALUES ('manifest', old.repository_id, old.digest);
END;
CREATE TRIGGER tag_insert AFTER INSERT ON tag BEGIN
  INSERT INTO change (kind, a, b) VALUES ('tag', new.repository_id, new.name);
END;
CREATE TRIGGER tag_update AFTER UPDATE ON tag BEGIN
  INSERT INTO change (kind, a, b) VALUES ('tag', new.repository_id, new.name);
END;
CREATE TRIGGER tag_delete AFTER DELETE ON tag BEGIN
  INSERT INTO change (kind, a, b) VALUES ('tag', old.repository_id, old.name);
END;
CREATE TRIGGER setting_insert AFTER INSERT ON setting BEGIN
  INSERT INTO change (kind, a, b) VALUES ('setting', 0, new.name);
END;
CREATE TRIGGER setting_update AFTER UPDATE ON setting BEGIN
  INSERT INTO change (kind, a, b) VALUES ('setting', 0, new.name);
END;
CREATE TRIGGER setting_delete AFTER DELETE ON setting BEGIN
  INSERT INTO change (kind, a, b) VALUES ('setting', 0, old.name);
END;
CREATE TRIGGER blob_insert AFTER INSERT ON blob BEGIN
  INSERT INTO change (kind, a, b) VALUES ('blob', 0, new.digest);
END;
CREATE TRIGGER blob_update AFTER UPDATE OF object_key, corrupt ON blob BEGIN
  INSERT INTO change (kind, a, b) VALUES ('blob', 0, new.digest);
END;
CREATE TRIGGER blob_delete AFTER DELETE ON blob BEGIN
  INSERT INTO change (kind, a, b) VALUES ('blob', 0, old.digest);
END;

-- @postgres
CREATE TABLE change (
  id INT8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind TEXT COLLATE "C" NOT NULL,
  a INT8 NOT NULL,
  b TEXT COLLATE "C" NOT NULL
);
CREATE FUNCTION bonded_changed_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    INSERT INTO change (kind, a, b) VALUES (TG_TABLE_NAME, old.id, '');
  ELSE
    INSERT INTO change (kind, a, b) VALUES (TG_TABLE_NAME, new.id, '');
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER organisation_changed AFTER INSERT OR UPDATE OR DELETE ON organisation
  FOR EACH ROW EXECUTE FUNCTION bonded_changed_id();
CREATE TRIGGER principal_changed AFTER INSERT OR UPDATE OR DELETE ON principal
  FOR EACH ROW EXECUTE FUNCTION bonded_changed_id();
CREATE TRIGGER project_changed AFTER INSERT OR UPDATE OR DELETE ON project
  FOR EACH ROW EXECUTE FUNCTION bonded_changed_id();
CREATE TRIGGER access_grant_changed AFTER INSERT OR UPDATE OR DELETE ON access_grant
  FOR EACH ROW EXECUTE FUNCTION bonded_changed_id();
CREATE TRIGGER signing_key_changed AFTER INSERT OR UPDATE OR DELETE ON signing_key
  FOR EACH ROW EXECUTE FUNCTION bonded_changed_id();
CREATE TRIGGER repository_changed AFTER INSERT OR UPDATE OF project_id, name, full_name, kind, flags, pushed_at OR DELETE ON repository
  FOR EACH ROW EXECUTE FUNCTION bonded_changed_id();
CREATE TRIGGER deleted_manifest_changed AFTER INSERT OR DELETE ON deleted_manifest
  FOR EACH ROW EXECUTE FUNCTION bonded_changed_id();
CREATE FUNCTION bonded_changed_pair_digest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    INSERT INTO change (kind, a, b) VALUES (TG_TABLE_NAME, old.repository_id, old.digest);
  ELSE
    INSERT INTO change (kind, a, b) VALUES (TG_TABLE_NAME, new.repository_id, new.digest);
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER repository_blob_changed AFTER INSERT OR DELETE ON repository_blob
  FOR EACH ROW EXECUTE FUNCTION bonded_changed_pair_digest();
CREATE TRIGGER manifest_changed AFTER INSERT OR UPDATE OF media_type OR DELETE ON manifest
  FOR EACH ROW EXECUTE FUNCTION bonded_changed_pair_digest();
CREATE FUNCTION bonded_changed_pair_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    INSERT INTO change (kind, a, b) VALUES (TG_TABLE_NAME, old.repository_id, old.name);
  ELSE
    INSERT INTO change (kind, a, b) VALUES (TG_TABLE_NAME, new.repository_id, new.name);
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER tag_changed AFTER INSERT OR UPDATE OR DELETE ON tag
  FOR EACH ROW EXECUTE FUNCTION bonded_changed_pair_name();
CREATE FUNCTION bonded_changed_text_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    INSERT INTO change (kind, a, b) VALUES (TG_TABLE_NAME, 0, old.name);
  ELSE
    INSERT INTO change (kind, a, b) VALUES (TG_TABLE_NAME, 0, new.name);
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER setting_changed AFTER INSERT OR UPDATE OR DELETE ON setting
  FOR EACH ROW EXECUTE FUNCTION bonded_changed_text_name();
CREATE FUNCTION bonded_changed_text_digest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    INSERT INTO change (kind, a, b) VALUES (TG_TABLE_NAME, 0, old.digest);
  ELSE
    INSERT INTO change (kind, a, b) VALUES (TG_TABLE_NAME, 0, new.digest);
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER blob_changed AFTER INSERT OR UPDATE OF object_key, corrupt OR DELETE ON blob
  FOR EACH ROW EXECUTE FUNCTION bonded_changed_text_digest();

-- @shared
-- What was there before this migration is not in it: the first checkpoint takes everything.
ALTER TABLE checkpoint DROP COLUMN outbox_id;
ALTER TABLE checkpoint ADD COLUMN state TEXT NOT NULL DEFAULT '{}';

-- Records of a checkpoint on their way back; empty but during a rebuild.
CREATE TABLE rebuild_row (
  kind TEXT NOT NULL,
  a INT8 NOT NULL,
  b TEXT NOT NULL,
  fields TEXT NOT NULL,
  bytes BYTEA,
  extra BYTEA,
  CONSTRAINT rebuild_row_key PRIMARY KEY (kind, a, b)
) CLUSTERED;
