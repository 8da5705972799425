//! Bringing rows back from a checkpoint: records are staged as they are read, the newest state of each row winning,
//! and then moved into their tables in an order that foreign keys allow.
//!
//! While it runs the database carries a mark, so that no server takes half of it for the whole. A row that refers to
//! one that is not there is left out: it can only be of the moment at which the database was lost.

use oci::Digest;

use super::blob::BlobRow;
use super::checkpoint::{Kind, Record};
use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::Value;
use crate::{Timestamp, params};

/// The setting that marks a rebuild in progress.
const MARK: &str = "rebuild.unfinished";

/// Ids that were given out after the checkpoint may still be known outside: no new row gets one of them.
const ID_GAP: i64 = 1 << 32;

crate::statements! {
    BLANK = Read "SELECT 1 FROM principal UNION ALL SELECT 1 FROM project UNION ALL SELECT 1 FROM blob UNION ALL SELECT 1 FROM setting LIMIT 1";
    SET_MARK = Write "INSERT INTO setting (name, value, tx) VALUES ($1, '', $2)";
    MARKED = Read "SELECT 1 FROM setting WHERE name = $1";
    CLEAR_MARK = Write "DELETE FROM setting WHERE name = $1";
    STAGE = Write "INSERT INTO rebuild_row (kind, a, b, fields, bytes, extra) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (kind, a, b) DO UPDATE SET fields = excluded.fields, bytes = excluded.bytes, extra = excluded.extra";
    UNSTAGE = Write "DELETE FROM rebuild_row WHERE kind = $1 AND a = $2 AND b = $3";
    STAGED = Scan "SELECT a, b, fields, bytes, extra FROM rebuild_row WHERE kind = $1 ORDER BY a, b LIMIT $2";
    CLEAR_STAGED = Write "DELETE FROM rebuild_row WHERE kind = $1 AND (a, b) <= ($2, $3)";
    ORGANISATION = Write "INSERT INTO organisation (id, name, created_at, tx) VALUES ($1, $2, $3, $4)";
    PRINCIPAL = Write "INSERT INTO principal (id, kind, name, name_key, display_name, email, password, disabled, epoch, created_at, generation, tx) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11)";
    PROJECT = Write "INSERT INTO project (id, organisation_id, name, visibility, created_at, created_by, generation, tx) SELECT $1, o.id, $3, $4, $5, $6, 1, $7 FROM organisation o WHERE o.id = $2";
    GRANT = Write "INSERT INTO access_grant (id, principal_id, project_id, role, effect, conditions, created_at, generation, tx) SELECT $1, p.id, CAST($3 AS INT8), $4, $5, $6, $7, 1, $8 FROM principal p WHERE p.id = $2 AND (CAST($3 AS INT8) IS NULL OR EXISTS (SELECT 1 FROM project j WHERE j.id = CAST($3 AS INT8)))";
    SIGNING_KEY = Write "INSERT INTO signing_key (id, created_at, signs_until, verifies_until, private_key, public_key, tx) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    SETTING = Write "INSERT INTO setting (name, value, tx) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING";
    REPOSITORY = Write "INSERT INTO repository (id, project_id, name, full_name, kind, flags, pull_count, created_at, pushed_at, pulled_at, description, tx) SELECT $1, p.id, $3, $4, $5, $6, $7, $8, $9, $10, COALESCE($11, ''), $12 FROM project p WHERE p.id = $2";
    BLOB = Write "INSERT INTO blob (digest, size_bytes, object_key, corrupt, created_at, checked_at, tx) VALUES ($1, $2, $3, $4, $5, 0, $6)";
    LINK = Write "INSERT INTO repository_blob (repository_id, digest, lease_until, tx) SELECT r.id, b.digest, $3, $4 FROM repository r, blob b WHERE r.id = $1 AND b.digest = $2";
    MANIFEST = Write "INSERT INTO manifest (repository_id, digest, media_type, artifact_type, subject, size_bytes, content_bytes, height, annotations, pushed_at, pushed_by, bytes, tx) SELECT r.id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 FROM repository r WHERE r.id = $1";
    MANIFEST_BLOBS = Write "INSERT INTO manifest_blob (repository_id, manifest, blob) SELECT m.repository_id, m.digest, rb.digest FROM manifest m JOIN repository_blob rb ON rb.repository_id = m.repository_id WHERE m.repository_id = $1 AND m.digest = $2 AND rb.digest IN (SELECT value FROM bonded_texts($3))";
    MANIFEST_GAPS = Write "INSERT INTO manifest_gap (repository_id, manifest, blob) SELECT m.repository_id, m.digest, w.value FROM manifest m, bonded_texts($3) w WHERE m.repository_id = $1 AND m.digest = $2 AND NOT EXISTS (SELECT 1 FROM repository_blob rb WHERE rb.repository_id = $1 AND rb.digest = w.value)";
    MANIFEST_CHILDREN = Write "INSERT INTO manifest_child (repository_id, parent, child) SELECT m.repository_id, m.digest, w.value FROM manifest m, bonded_texts($3) w WHERE m.repository_id = $1 AND m.digest = $2";
    TAG = Write "INSERT INTO tag (repository_id, name, name_key, digest, evidence, moved_at, moved_by, tx) SELECT m.repository_id, $2, $3, m.digest, $5, $6, $7, $8 FROM manifest m WHERE m.repository_id = $1 AND m.digest = $4";
    DELETED = Write "INSERT INTO deleted_manifest (id, repository_id, digest, media_type, tags, deleted_at, deleted_by, bytes, tx) SELECT $1, r.id, $3, $4, $5, $6, $7, $8, $9 FROM repository r WHERE r.id = $2";
    DELETED_BLOBS = Write "INSERT INTO deleted_manifest_blob (deleted_id, blob) SELECT d.id, b.digest FROM deleted_manifest d, blob b WHERE d.id = $1 AND b.digest IN (SELECT value FROM bonded_texts($2))";
    COUNT = Write "UPDATE repository SET manifest_count = (SELECT count(*) FROM manifest m WHERE m.repository_id = repository.id), tag_count = (SELECT count(*) FROM tag t WHERE t.repository_id = repository.id) WHERE id IN (SELECT value FROM bonded_ints($1))";
    REPOSITORY_IDS = Scan "SELECT id FROM repository WHERE id > $1 ORDER BY id LIMIT $2";
    OBJECTS = Scan "SELECT object_key, size_bytes, digest, corrupt FROM blob WHERE object_key > $1 ORDER BY object_key LIMIT $2";
    SET_NEXT_ID = Write "UPDATE id_block SET next = GREATEST(next, $1) WHERE name = 'id'";
    FORGET_CHANGES = Write "DELETE FROM change WHERE id IN (SELECT id FROM change ORDER BY id LIMIT $1)";
    TOTALS = Scan "SELECT (SELECT count(*) FROM organisation), (SELECT count(*) FROM principal), (SELECT count(*) FROM project), (SELECT count(*) FROM access_grant), (SELECT count(*) FROM signing_key), (SELECT count(*) FROM setting), (SELECT count(*) FROM repository), (SELECT count(*) FROM blob), (SELECT count(*) FROM repository_blob), (SELECT count(*) FROM manifest), (SELECT count(*) FROM tag), (SELECT count(*) FROM deleted_manifest)";
}

/// What a manifest refers to, derived from its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Configuration and layers, without duplicates.
    pub blobs: Vec<Digest>,
    /// Entries of an index, without duplicates.
    pub children: Vec<Digest>,
}

impl Store {
    /// Whether nobody has used this database yet.
    pub async fn is_blank(&self) -> Result<bool, StoreError> {
        Ok(self.row(&BLANK, &[]).await?.is_none())
    }

    /// Whether a rebuild of this database was begun and not finished.
    pub async fn is_half_rebuilt(&self) -> Result<bool, StoreError> {
        Ok(self.row(&MARKED, &params![MARK]).await?.is_some())
    }

    /// The first records of a kind that wait to be moved.
    pub async fn staged(&self, kind: Kind, limit: u32) -> Result<Vec<Record>, StoreError> {
        let rows = self.rows(&STAGED, &params![kind.name(), limit]).await?;
        let record = |row: &crate::Row| {
            Ok(Record {
                kind,
                a: row.int(0)?,
                b: row.text(1)?.to_owned(),
                fields: Some(row.text(2)?.to_owned()),
                bytes: row.opt_bytes(3)?,
                extra: row.opt_bytes(4)?,
                pending_bytes: 0,
            })
        };
        rows.iter().map(record).collect()
    }

    /// Repositories in order of id after `last`.
    pub async fn repository_ids(&self, last: i64, limit: u32) -> Result<Vec<i64>, StoreError> {
        self.rows(&REPOSITORY_IDS, &params![last, limit]).await?.iter().map(|row| row.int(0)).collect()
    }

    /// Blobs in order of their objects' keys after `last`.
    pub async fn blobs_by_object(&self, last: &str, limit: u32) -> Result<Vec<BlobRow>, StoreError> {
        let rows = self.rows(&OBJECTS, &params![last, limit]).await?;
        rows.iter()
            .map(|row| {
                Ok(BlobRow {
                    object_key: row.text(0)?.to_owned(),
                    size_bytes: row.uint(1)?,
                    digest: row.digest(2)?,
                    corrupt: row.bool(3)?,
                })
            })
            .collect()
    }

    /// Rows of every kind.
    pub async fn totals(&self) -> Result<Vec<(Kind, u64)>, StoreError> {
        let row = self.row(&TOTALS, &[]).await?;
        let row = row.ok_or_else(|| StoreError::inconsistent("counts have no row"))?;
        Kind::ALL.into_iter().enumerate().map(|(at, kind)| Ok((kind, row.uint(at)?))).collect()
    }
}

/// Marks the database as one that is being rebuilt; another rebuild is a conflict at `mark`.
pub fn begin(tx: &mut Tx) {
    let by = tx.id();
    tx.step_or(&SET_MARK, params![MARK, by], Expect::Rows(1), "mark");
}

/// Removes the mark; new ids lie above all that were ever given out.
pub fn finish(tx: &mut Tx, next_id: i64) {
    tx.step(&SET_NEXT_ID, params![next_id.saturating_add(ID_GAP)], Expect::Rows(1));
    tx.step_or(&CLEAR_MARK, params![MARK], Expect::Rows(1), "mark");
}

/// Forgets changes: the next checkpoint takes everything anyway.
pub fn forget_changes(tx: &mut Tx, limit: u32) {
    tx.step(&FORGET_CHANGES, params![limit], Expect::Any);
}

/// Keeps a record until it can be moved; one of a row that is gone removes what was kept.
pub fn stage(tx: &mut Tx, record: &Record) {
    let kind = record.kind.name();
    match &record.fields {
        Some(fields) => tx.step(
            &STAGE,
            params![kind, record.a, &record.b, fields, record.bytes.clone(), record.extra.clone()],
            Expect::Any,
        ),
        None => tx.step(&UNSTAGE, params![kind, record.a, &record.b], Expect::Any),
    };
}

/// Ends the wait of all records of a kind up to this one.
pub fn clear_staged(tx: &mut Tx, last: &Record) {
    tx.step(&CLEAR_STAGED, params![last.kind.name(), last.a, &last.b], Expect::Any);
}

/// Counts the manifests and tags of repositories.
pub fn count(tx: &mut Tx, repositories: &[i64]) {
    tx.step(&COUNT, vec![Value::ints(repositories.iter().copied())], Expect::Any);
}

/// A record's fields by name.
struct Fields(serde_json::Map<String, serde_json::Value>);

impl Fields {
    fn of(record: &Record) -> Result<Self, StoreError> {
        let parsed = record.fields.as_deref().and_then(|text| serde_json::from_str(text).ok());
        parsed.map(Self).ok_or_else(|| {
            StoreError::inconsistent(format!("a record of {} has no fields", record.kind.name()))
        })
    }

    /// A field that this release does not find is NULL: the table says whether it may be.
    fn value(&self, name: &str) -> Value {
        match self.0.get(name) {
            Some(serde_json::Value::String(text)) => text.as_str().into(),
            Some(serde_json::Value::Number(number)) => number.as_i64().map_or(Value::Null, Value::Int),
            Some(serde_json::Value::Bool(flag)) => (*flag).into(),
            _ => Value::Null,
        }
    }

    fn values(&self, names: &[&str]) -> Vec<Value> {
        names.iter().map(|name| self.value(name)).collect()
    }
}

/// Inserts the row of a record. `lease_until` is until when blobs stay without a manifest.
pub fn restore(
    tx: &mut Tx,
    record: &Record,
    references: &References,
    lease_until: Timestamp,
) -> Result<(), StoreError> {
    let fields = Fields::of(record)?;
    let a = Value::from(record.a);
    let b = Value::from(&record.b);
    let by = Value::from(tx.id());
    let (statement, mut params, names): (_, _, &[&str]) = match record.kind {
        Kind::Organisation => (&ORGANISATION, vec![a], &["name", "created_at"]),
        Kind::Principal => (
            &PRINCIPAL,
            vec![a],
            &[
                "kind",
                "name",
                "name_key",
                "display_name",
                "email",
                "password",
                "disabled",
                "epoch",
                "created_at",
            ],
        ),
        Kind::Project => {
            (&PROJECT, vec![a], &["organisation_id", "name", "visibility", "created_at", "created_by"])
        }
        Kind::Grant => {
            (&GRANT, vec![a], &["principal_id", "project_id", "role", "effect", "conditions", "created_at"])
        }
        Kind::SigningKey => (&SIGNING_KEY, vec![a], &["created_at", "signs_until", "verifies_until"]),
        Kind::Setting => (&SETTING, vec![b], &["value"]),
        Kind::Repository => (
            &REPOSITORY,
            vec![a],
            &[
                "project_id",
                "name",
                "full_name",
                "kind",
                "flags",
                "pull_count",
                "created_at",
                "pushed_at",
                "pulled_at",
                "description",
            ],
        ),
        Kind::Blob => (&BLOB, vec![b], &["size_bytes", "object_key", "corrupt", "created_at"]),
        Kind::Link => (&LINK, vec![a, b, lease_until.into()], &[]),
        Kind::Manifest => (
            &MANIFEST,
            vec![a, b],
            &[
                "media_type",
                "artifact_type",
                "subject",
                "size_bytes",
                "content_bytes",
                "height",
                "annotations",
                "pushed_at",
                "pushed_by",
            ],
        ),
        Kind::Tag => (&TAG, vec![a, b], &["name_key", "digest", "evidence", "moved_at", "moved_by"]),
        Kind::Deleted => (
            &DELETED,
            vec![a],
            &["repository_id", "digest", "media_type", "tags", "deleted_at", "deleted_by"],
        ),
    };
    params.extend(fields.values(names));
    if matches!(record.kind, Kind::SigningKey | Kind::Manifest | Kind::Deleted) {
        params.push(record.bytes.clone().unwrap_or_default().into());
    }
    params.extend(record.extra.clone().map(Value::from));
    params.push(by);
    tx.step(statement, params, Expect::Any);
    edges(tx, record, references);
    Ok(())
}

fn edges(tx: &mut Tx, record: &Record, references: &References) {
    let list = |digests: &[Digest]| Value::texts(digests.iter().map(Digest::to_string));
    let key = || [Value::from(record.a), Value::from(&record.b)];
    match record.kind {
        Kind::Manifest => {
            let [a, b] = key();
            if !references.blobs.is_empty() {
                let blobs = list(&references.blobs);
                tx.step(&MANIFEST_BLOBS, vec![a.clone(), b.clone(), blobs.clone()], Expect::Any);
                tx.step(&MANIFEST_GAPS, vec![a.clone(), b.clone(), blobs], Expect::Any);
            }
            if !references.children.is_empty() {
                tx.step(&MANIFEST_CHILDREN, vec![a, b, list(&references.children)], Expect::Any);
            }
        }
        Kind::Deleted if !references.blobs.is_empty() => {
            tx.step(&DELETED_BLOBS, vec![record.a.into(), list(&references.blobs)], Expect::Any);
        }
        _ => {}
    }
}
