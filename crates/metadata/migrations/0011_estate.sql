-- Artifacts whose place in the estate's index is out of date: judged anew, or gone from a repository. The duty that keeps
-- the index takes a row away in the transaction that publishes what it did.
CREATE TABLE estate_dirty (
  digest TEXT PRIMARY KEY,
  tx INT8 NOT NULL
) CLUSTERED;

-- @sqlite
CREATE TRIGGER manifest_leaves_estate AFTER DELETE ON manifest BEGIN
  INSERT INTO estate_dirty (digest, tx) VALUES (old.digest, old.tx) ON CONFLICT (digest) DO NOTHING;
END;

-- @postgres
CREATE FUNCTION bonded_leaves_estate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO estate_dirty (digest, tx) VALUES (old.digest, old.tx) ON CONFLICT (digest) DO NOTHING;
  RETURN NULL;
END
$$;
CREATE TRIGGER manifest_leaves_estate AFTER DELETE ON manifest
  FOR EACH ROW EXECUTE FUNCTION bonded_leaves_estate();
