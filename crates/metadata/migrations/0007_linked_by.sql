-- Who brought a blob last may use it under a new tag, although no tag that it may pull reaches the blob yet.
ALTER TABLE repository_blob ADD COLUMN linked_by INT8;
