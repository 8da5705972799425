-- What the engine, the jobs, the outbox, the schedules and the leases need. See src/dialect.rs for the spelling.

-- One row per committed transaction; tells whether a commit whose answer was lost was kept. Pruned.
CREATE TABLE tx (
    id INT8 NOT NULL,
    committed_at INT8 NOT NULL,
    CONSTRAINT tx_pk PRIMARY KEY (id)
);
CREATE INDEX tx_by_time ON tx (committed_at);

-- Blocks of ids: next is the first id that was never reserved.
CREATE TABLE id_block (
    name TEXT NOT NULL,
    next INT8 NOT NULL,
    CONSTRAINT id_block_pk PRIMARY KEY (name)
) CLUSTERED;
INSERT INTO id_block (name, next) VALUES ('id', 1);

-- Events: inserted with the state that they tell of, deleted with the jobs that they cause.
CREATE TABLE outbox (
    id INT8 NOT NULL,
    tx INT8 NOT NULL,
    kind TEXT NOT NULL,
    project INT8,
    payload TEXT NOT NULL,
    created_at INT8 NOT NULL,
    attempts INT8 NOT NULL DEFAULT 0,
    retry_at INT8 NOT NULL DEFAULT 0,
    error TEXT,
    CONSTRAINT outbox_pk PRIMARY KEY (id)
);
CREATE INDEX outbox_by_time ON outbox (created_at, id);

-- state: queued, running, succeeded, failed, cancelled, superseded.
CREATE TABLE job (
    id INT8 NOT NULL,
    tx INT8 NOT NULL,
    kind TEXT NOT NULL,
    dedupe TEXT,
    project INT8,
    state TEXT NOT NULL,
    priority INT8 NOT NULL,
    run_at INT8 NOT NULL,
    attempts INT8 NOT NULL DEFAULT 0,
    max_attempts INT8 NOT NULL,
    payload TEXT NOT NULL,
    checkpoint TEXT,
    progress_done INT8 NOT NULL DEFAULT 0,
    progress_total INT8,
    lease_owner TEXT,
    lease_until INT8,
    lease_tx INT8,
    term INT8 NOT NULL DEFAULT 0,
    cancel_requested INT8 NOT NULL DEFAULT 0,
    error TEXT,
    created_at INT8 NOT NULL,
    started_at INT8,
    finished_at INT8,
    CONSTRAINT job_pk PRIMARY KEY (id)
);
CREATE UNIQUE INDEX job_one_queued ON job (kind, dedupe) WHERE state = 'queued' AND dedupe IS NOT NULL;
CREATE UNIQUE INDEX job_one_running ON job (kind, dedupe) WHERE state = 'running' AND dedupe IS NOT NULL;
CREATE INDEX job_queue ON job (priority DESC, run_at, id) WHERE state = 'queued';
CREATE INDEX job_due ON job (run_at) WHERE state = 'queued';
CREATE INDEX job_running ON job (lease_until) WHERE state = 'running';
CREATE INDEX job_by_lease_tx ON job (lease_tx) WHERE state = 'running';
CREATE INDEX job_by_kind ON job (kind, id);
CREATE INDEX job_finished ON job (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE job_log (
    id INT8 NOT NULL,
    job INT8 NOT NULL,
    at INT8 NOT NULL,
    level TEXT NOT NULL,
    message TEXT NOT NULL,
    CONSTRAINT job_log_pk PRIMARY KEY (job, id),
    CONSTRAINT job_log_job_fk FOREIGN KEY (job) REFERENCES job (id) ON DELETE CASCADE
) CLUSTERED;

-- A schedule enqueues its job when next_at has come; a compare-and-swap on next_at lets one process do so.
CREATE TABLE schedule (
    name TEXT NOT NULL,
    tx INT8 NOT NULL,
    kind TEXT NOT NULL,
    cron TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    payload TEXT NOT NULL,
    priority INT8 NOT NULL,
    enabled INT8 NOT NULL,
    project INT8,
    next_at INT8 NOT NULL,
    last_at INT8,
    CONSTRAINT schedule_pk PRIMARY KEY (name)
) CLUSTERED;
CREATE INDEX schedule_due ON schedule (next_at) WHERE enabled = 1;

-- Named leases: one holder at a time, fenced by a term that grows with every change of holder.
CREATE TABLE lease (
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    term INT8 NOT NULL,
    until INT8 NOT NULL,
    CONSTRAINT lease_pk PRIMARY KEY (name)
) CLUSTERED;

-- What the conformance suite of the engines works on; empty otherwise.
CREATE TABLE suite_parent (
    id INT8 NOT NULL,
    CONSTRAINT suite_parent_pk PRIMARY KEY (id)
);
CREATE TABLE suite_row (
    id INT8 NOT NULL,
    parent INT8,
    name TEXT NOT NULL,
    amount INT8 NOT NULL,
    content BYTEA,
    CONSTRAINT suite_row_pk PRIMARY KEY (id),
    CONSTRAINT suite_row_name_unique UNIQUE (name),
    CONSTRAINT suite_row_amount_limit CHECK (amount < 1000000),
    CONSTRAINT suite_row_parent_fk FOREIGN KEY (parent) REFERENCES suite_parent (id)
);
CREATE INDEX suite_row_by_parent ON suite_row (parent);

-- @postgres
-- Raises unless the number of rows of a step is as expected (most < 0: no upper bound).
CREATE FUNCTION bonded_expect(counted INT8, fewest INT8, most INT8) RETURNS INT8 LANGUAGE plpgsql AS $$
BEGIN
    IF counted < fewest OR (most >= 0 AND counted > most) THEN
        RAISE EXCEPTION 'expected % to % rows, found %', fewest, most, counted USING ERRCODE = 'BD001';
    END IF;
    RETURN counted;
END
$$;
CREATE FUNCTION bonded_texts(list TEXT) RETURNS TABLE (value TEXT) LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_array_elements_text(list::jsonb)
$$;
CREATE FUNCTION bonded_ints(list TEXT) RETURNS TABLE (value INT8) LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_array_elements_text(list::jsonb)::int8
$$;
