-- Artifacts whose place in the estate's index is out of date: judged anew, come to a repository, or gone from one. The
-- duty that keeps the index takes a row away in the transaction that publishes what it did, unless `tx` says that it was
-- marked again meanwhile: every mark has another value.
CREATE TABLE estate_dirty (
  digest TEXT PRIMARY KEY,
  tx INT8 NOT NULL
) CLUSTERED;

-- @sqlite
CREATE TRIGGER manifest_leaves_estate AFTER DELETE ON manifest BEGIN
  INSERT INTO estate_dirty (digest, tx) VALUES (old.digest, -1)
    ON CONFLICT (digest) DO UPDATE SET tx = -abs(estate_dirty.tx) - 1;
END;
CREATE TRIGGER manifest_joins_estate AFTER INSERT ON manifest
WHEN EXISTS (SELECT 1 FROM scan WHERE digest = new.digest) BEGIN
  INSERT INTO estate_dirty (digest, tx) VALUES (new.digest, -1)
    ON CONFLICT (digest) DO UPDATE SET tx = -abs(estate_dirty.tx) - 1;
END;

-- @postgres
CREATE FUNCTION bonded_moves_in_estate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  moved TEXT;
BEGIN
  IF TG_OP = 'DELETE' THEN
    moved := old.digest;
  ELSIF EXISTS (SELECT 1 FROM scan WHERE digest = new.digest) THEN
    moved := new.digest;
  ELSE
    RETURN NULL;
  END IF;
  INSERT INTO estate_dirty (digest, tx) VALUES (moved, -1)
    ON CONFLICT (digest) DO UPDATE SET tx = -abs(estate_dirty.tx) - 1;
  RETURN NULL;
END
$$;
CREATE TRIGGER manifest_moves_in_estate AFTER INSERT OR DELETE ON manifest
  FOR EACH ROW EXECUTE FUNCTION bonded_moves_in_estate();
