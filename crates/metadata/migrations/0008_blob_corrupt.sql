-- How many blobs are out of service is asked for by the metrics.
CREATE INDEX blob_corrupt ON blob (digest) WHERE corrupt = 1;
