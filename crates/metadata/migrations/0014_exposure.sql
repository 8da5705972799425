-- How long vulnerabilities stay: a row from when the first image of a project is affected until the last one no longer
-- is (`gone`). Not an image's history: how many there are the index says. Severity is a rank, 5 for critical to 0 for
-- not rated; `package` is what the first affected image has it by. A rebuild leaves it out: what is present then begins
-- at its images' pushes.
CREATE TABLE exposure (
  project_id INT8 NOT NULL CONSTRAINT exposure_project REFERENCES project (id) ON DELETE CASCADE,
  vulnerability TEXT NOT NULL,
  first_present INT8 NOT NULL,
  severity INT8 NOT NULL,
  published INT8,
  package TEXT NOT NULL,
  fix_built INT8,
  gone INT8,
  tx INT8 NOT NULL,
  PRIMARY KEY (project_id, vulnerability, first_present)
) CLUSTERED;
CREATE UNIQUE INDEX exposure_open ON exposure (vulnerability, project_id) WHERE gone IS NULL;
CREATE INDEX exposure_unfixed ON exposure (project_id, package) WHERE gone IS NULL AND fix_built IS NULL;
CREATE INDEX exposure_gone ON exposure (gone) WHERE gone IS NOT NULL;
