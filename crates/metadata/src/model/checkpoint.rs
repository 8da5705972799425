//! What the checkpoint reads: the rows that changed, the rows that are there, and how far it has come.
//!
//! A page of changes and the rows they name are one statement, hence of one snapshot: when a page is the last one, the
//! records written so far are the database of that moment. A record is a row's state when it was read, or its absence,
//! so that records may be written twice and are always applied in the order they were read.
//!
//! A table that a rebuild must bring back has its triggers in a migration and its entry in [`Kind`]; what is derived
//! from others (edges, counters) or worth nothing later (sessions, jobs) has neither.

use bytes::Bytes;

use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::{Row, Value};
use crate::{Timestamp, params};

/// The fields of a record, from the row `r`. A field is never renamed and never changes its meaning: old segments are
/// read by new releases.
macro_rules! fields {
    (organisation) => {
        "json_build_object('name', r.name, 'created_at', r.created_at)"
    };
    (principal) => {
        "json_build_object('kind', r.kind, 'name', r.name, 'name_key', r.name_key, 'display_name', r.display_name, 'email', r.email, 'password', r.password, 'disabled', r.disabled, 'epoch', r.epoch, 'created_at', r.created_at)"
    };
    (project) => {
        "json_build_object('organisation_id', r.organisation_id, 'name', r.name, 'visibility', r.visibility, 'created_at', r.created_at, 'created_by', r.created_by)"
    };
    (access_grant) => {
        "json_build_object('principal_id', r.principal_id, 'project_id', r.project_id, 'role', r.role, 'effect', r.effect, 'conditions', r.conditions, 'created_at', r.created_at)"
    };
    (signing_key) => {
        "json_build_object('created_at', r.created_at, 'signs_until', r.signs_until, 'verifies_until', r.verifies_until)"
    };
    (setting) => {
        "json_build_object('value', r.value)"
    };
    (repository) => {
        "json_build_object('project_id', r.project_id, 'name', r.name, 'full_name', r.full_name, 'kind', r.kind, 'flags', r.flags, 'pull_count', r.pull_count, 'created_at', r.created_at, 'pushed_at', r.pushed_at, 'pulled_at', r.pulled_at, 'description', r.description)"
    };
    (blob) => {
        "json_build_object('size_bytes', r.size_bytes, 'object_key', r.object_key, 'corrupt', r.corrupt, 'created_at', r.created_at)"
    };
    (repository_blob) => {
        "json_build_object('lease_until', r.lease_until)"
    };
    (manifest) => {
        "json_build_object('media_type', r.media_type, 'artifact_type', r.artifact_type, 'subject', r.subject, 'size_bytes', r.size_bytes, 'content_bytes', r.content_bytes, 'height', r.height, 'annotations', r.annotations, 'pushed_at', r.pushed_at, 'pushed_by', r.pushed_by)"
    };
    (tag) => {
        "json_build_object('name_key', r.name_key, 'digest', r.digest, 'evidence', r.evidence, 'moved_at', r.moved_at, 'moved_by', r.moved_by)"
    };
    (deleted_manifest) => {
        "json_build_object('repository_id', r.repository_id, 'digest', r.digest, 'media_type', r.media_type, 'tags', r.tags, 'deleted_at', r.deleted_at, 'deleted_by', r.deleted_by)"
    };
}

/// The bytes of a record that belong into the same snapshot, and the size of those that never change and are read
/// afterwards.
macro_rules! bytes {
    (signing_key) => {
        "r.private_key, r.public_key, CAST(0 AS INT8)"
    };
    (manifest) => {
        "CAST(NULL AS BYTEA), CAST(NULL AS BYTEA), r.size_bytes"
    };
    (deleted_manifest) => {
        "CAST(NULL AS BYTEA), CAST(NULL AS BYTEA), CAST(octet_length(r.bytes) AS INT8)"
    };
    ($other:tt) => {
        "CAST(NULL AS BYTEA), CAST(NULL AS BYTEA), CAST(0 AS INT8)"
    };
}

/// The rows of one table that a page of changes names.
macro_rules! changed {
    ($table:tt, $key:literal) => {
        concat!(
            "SELECT p.id, p.kind, p.a, p.b, CASE WHEN r.tx IS NULL THEN NULL ELSE CAST(",
            fields!($table),
            " AS TEXT) END, ",
            bytes!($table),
            " FROM page p LEFT JOIN ",
            stringify!($table),
            " r ON ",
            $key,
            " WHERE p.kind = '",
            stringify!($table),
            "'"
        )
    };
}

/// All rows of one table by its key.
macro_rules! present {
    ($table:tt, $a:literal, $b:literal, $page:literal) => {
        concat!(
            "SELECT CAST(0 AS INT8), '",
            stringify!($table),
            "', ",
            $a,
            ", ",
            $b,
            ", CAST(",
            fields!($table),
            " AS TEXT), ",
            bytes!($table),
            " FROM ",
            stringify!($table),
            " r WHERE ",
            $page
        )
    };
}

macro_rules! by_id {
    ($table:tt) => {
        present!($table, "r.id", "''", "r.id > $1 ORDER BY r.id LIMIT $2")
    };
}

crate::statements! {
    CHANGES = Scan { shared: concat!(
        "WITH page AS (SELECT id, kind, a, b FROM change ORDER BY id LIMIT $1) ",
        changed!(organisation, "r.id = p.a"), " UNION ALL ",
        changed!(principal, "r.id = p.a"), " UNION ALL ",
        changed!(project, "r.id = p.a"), " UNION ALL ",
        changed!(access_grant, "r.id = p.a"), " UNION ALL ",
        changed!(signing_key, "r.id = p.a"), " UNION ALL ",
        changed!(setting, "r.name = p.b"), " UNION ALL ",
        changed!(repository, "r.id = p.a"), " UNION ALL ",
        changed!(blob, "r.digest = p.b"), " UNION ALL ",
        changed!(repository_blob, "r.repository_id = p.a AND r.digest = p.b"), " UNION ALL ",
        changed!(manifest, "r.repository_id = p.a AND r.digest = p.b"), " UNION ALL ",
        changed!(tag, "r.repository_id = p.a AND r.name = p.b"), " UNION ALL ",
        changed!(deleted_manifest, "r.id = p.a"),
    ) };
    ANY_CHANGE = Read "SELECT 1 FROM change LIMIT 1";
    FORGET = Write "DELETE FROM change WHERE id IN (SELECT value FROM bonded_ints($1))";
    ORGANISATIONS = Scan { shared: by_id!(organisation) };
    PRINCIPALS = Scan { shared: by_id!(principal) };
    PROJECTS = Scan { shared: by_id!(project) };
    GRANTS = Scan { shared: by_id!(access_grant) };
    KEYS = Scan { shared: by_id!(signing_key) };
    SETTINGS = Scan { shared: present!(setting, "CAST(0 AS INT8)", "r.name", "r.name > $1 ORDER BY r.name LIMIT $2") };
    REPOSITORIES = Scan { shared: by_id!(repository) };
    BLOBS = Scan { shared: present!(blob, "CAST(0 AS INT8)", "r.digest", "r.digest > $1 ORDER BY r.digest LIMIT $2") };
    LINKS = Scan { shared: present!(repository_blob, "r.repository_id", "r.digest", "(r.repository_id, r.digest) > ($1, $2) ORDER BY r.repository_id, r.digest LIMIT $3") };
    MANIFESTS = Scan { shared: present!(manifest, "r.repository_id", "r.digest", "(r.repository_id, r.digest) > ($1, $2) ORDER BY r.repository_id, r.digest LIMIT $3") };
    TAGS = Scan { shared: present!(tag, "r.repository_id", "r.name", "(r.repository_id, r.name) > ($1, $2) ORDER BY r.repository_id, r.name LIMIT $3") };
    DELETED = Scan { shared: by_id!(deleted_manifest) };
    MANIFEST_BYTES = Read "SELECT bytes FROM manifest WHERE repository_id = $1 AND digest = $2";
    DELETED_BYTES = Read "SELECT bytes FROM deleted_manifest WHERE id = $1";
    STATE = Read "SELECT state, written_at FROM checkpoint WHERE id = 1";
    SET_STATE = Write "UPDATE checkpoint SET state = $1, segment = $2, written_at = $3 WHERE id = 1";
    NEXT_ID = Read "SELECT next FROM id_block WHERE name = 'id'";
}

/// What a record is of. The order is that in which rows can be inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An organisation.
    Organisation,
    /// A user or robot.
    Principal,
    /// A project.
    Project,
    /// A role of a principal.
    Grant,
    /// A key that signs tokens.
    SigningKey,
    /// A setting.
    Setting,
    /// A repository.
    Repository,
    /// A blob: digest and object.
    Blob,
    /// A blob of a repository.
    Link,
    /// A manifest.
    Manifest,
    /// A tag.
    Tag,
    /// A deleted manifest that can be restored.
    Deleted,
}

/// The columns by which rows of a kind are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// `id`; the text is empty.
    Id,
    /// A text; the number is 0.
    Text,
    /// Repository and a text.
    Pair,
}

impl Kind {
    /// All, in their order.
    pub const ALL: [Self; 12] = [
        Self::Organisation,
        Self::Principal,
        Self::Project,
        Self::Grant,
        Self::SigningKey,
        Self::Setting,
        Self::Repository,
        Self::Blob,
        Self::Link,
        Self::Manifest,
        Self::Tag,
        Self::Deleted,
    ];

    /// Its table, and its name in segments.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Organisation => "organisation",
            Self::Principal => "principal",
            Self::Project => "project",
            Self::Grant => "access_grant",
            Self::SigningKey => "signing_key",
            Self::Setting => "setting",
            Self::Repository => "repository",
            Self::Blob => "blob",
            Self::Link => "repository_blob",
            Self::Manifest => "manifest",
            Self::Tag => "tag",
            Self::Deleted => "deleted_manifest",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// How its rows are found.
    pub const fn key_form(self) -> KeyForm {
        match self {
            Self::Setting | Self::Blob => KeyForm::Text,
            Self::Link | Self::Manifest | Self::Tag => KeyForm::Pair,
            _ => KeyForm::Id,
        }
    }

    const fn rows(self) -> &'static crate::Statement {
        match self {
            Self::Organisation => &ORGANISATIONS,
            Self::Principal => &PRINCIPALS,
            Self::Project => &PROJECTS,
            Self::Grant => &GRANTS,
            Self::SigningKey => &KEYS,
            Self::Setting => &SETTINGS,
            Self::Repository => &REPOSITORIES,
            Self::Blob => &BLOBS,
            Self::Link => &LINKS,
            Self::Manifest => &MANIFESTS,
            Self::Tag => &TAGS,
            Self::Deleted => &DELETED,
        }
    }
}

/// The state of one row when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Of what.
    pub kind: Kind,
    /// First part of its key.
    pub a: i64,
    /// Second part of its key.
    pub b: String,
    /// Its columns as a JSON object; none: the row is gone.
    pub fields: Option<String>,
    /// Bytes of a manifest, or a sealed private key.
    pub bytes: Option<Bytes>,
    /// A public key.
    pub extra: Option<Bytes>,
    /// Size of the bytes that are still to be read with [`Store::record_bytes`].
    pub pending_bytes: u64,
}

/// Changes and the rows they name, of one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The changes' ids with what they name, in order of the ids; a row that changed twice is here twice.
    pub records: Vec<(i64, Record)>,
    /// No other change was visible.
    pub last: bool,
}

fn parse(row: &Row) -> Result<(i64, Record), StoreError> {
    let kind = Kind::named(row.text(1)?).ok_or_else(|| row.bad(1, "is no kind of record"))?;
    let record = Record {
        kind,
        a: row.int(2)?,
        b: row.text(3)?.to_owned(),
        fields: row.opt_text(4)?.map(str::to_owned),
        bytes: row.opt_bytes(5)?,
        extra: row.opt_bytes(6)?,
        pending_bytes: if row.is_null(7)? { 0 } else { row.uint(7)? },
    };
    Ok((row.int(0)?, record))
}

impl Store {
    /// At most `limit` changes that no segment holds yet.
    pub async fn changes(&self, limit: u32) -> Result<Changes, StoreError> {
        let rows = self.rows(&CHANGES, &params![limit]).await?;
        let mut records: Vec<_> = rows.iter().map(parse).collect::<Result<_, _>>()?;
        records.sort_by_key(|(id, _)| *id);
        let last = records.len() < usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(Changes { records, last })
    }

    /// Whether a row changed that no segment holds yet.
    pub async fn has_changes(&self) -> Result<bool, StoreError> {
        Ok(self.row(&ANY_CHANGE, &[]).await?.is_some())
    }

    /// Rows of a kind in order of their key after (`a`, `b`).
    pub async fn records_after(
        &self,
        kind: Kind,
        a: i64,
        b: &str,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        let params: Vec<Value> = match kind.key_form() {
            KeyForm::Id => params![a, limit].into(),
            KeyForm::Text => params![b, limit].into(),
            KeyForm::Pair => params![a, b, limit].into(),
        };
        let rows = self.rows(kind.rows(), &params).await?;
        rows.iter().map(|row| parse(row).map(|(_, record)| record)).collect()
    }

    /// The pending bytes of a record; none when its row is gone meanwhile.
    pub async fn record_bytes(&self, record: &Record) -> Result<Option<Bytes>, StoreError> {
        let row = match record.kind {
            Kind::Manifest => self.row(&MANIFEST_BYTES, &params![record.a, &record.b]).await?,
            _ => self.row(&DELETED_BYTES, &params![record.a]).await?,
        };
        row.map(|row| row.bytes(0)).transpose()
    }

    /// What the last writer left, as JSON, and when it wrote.
    pub async fn checkpoint_state(&self) -> Result<(String, Timestamp), StoreError> {
        let row = self.row(&STATE, &[]).await?;
        let row = row.ok_or_else(|| StoreError::inconsistent("checkpoint has no row"))?;
        Ok((row.text(0)?.to_owned(), row.id(1)?))
    }

    /// The first id that was never reserved.
    pub async fn next_unreserved_id(&self) -> Result<i64, StoreError> {
        let row = self.row(&NEXT_ID, &[]).await?;
        row.ok_or_else(|| StoreError::inconsistent("id_block has no row"))?.int(0)
    }
}

/// Notes that segment `number` is published and holds the changes `taken`.
pub fn advance(tx: &mut Tx, state: &str, number: u64, taken: &[i64], at: Timestamp) {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    tx.step_or(&SET_STATE, params![state, number, at], Expect::Rows(1), "checkpoint");
    if !taken.is_empty() {
        tx.step(&FORGET, vec![Value::ints(taken.iter().copied())], Expect::Any);
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// Tables that a rebuild does without: sessions, work that is done again, and what is derived.
    const LEFT_OUT: [&str; 37] = [
        "access_generation",
        "access_removed",
        "adapter_layer",
        "adapter_scan",
        "audit",
        "audit_key",
        "audit_seal",
        "audit_writer",
        "change",
        "checkpoint",
        "combined_scan",
        "deleted_manifest_blob",
        "estate_dirty",
        "exposure",
        "id_block",
        "job",
        "job_log",
        "layer_catalogue",
        "lease",
        "manifest_blob",
        "manifest_child",
        "manifest_gap",
        "object_frames",
        "object_quarantine",
        "object_trash",
        "outbox",
        "rebuild_row",
        "refresh_token",
        "scan",
        "scanner_report",
        "schedule",
        "schema_migration",
        "sealed",
        "suite_parent",
        "suite_row",
        "tx",
        "upload_session",
    ];

    /// Columns that are derived or counted anew, marks of transactions, and bytes that are read apart.
    const DERIVED: [&str; 10] = [
        "generation",
        "tx",
        "gc_tx",
        "project.repository_count",
        "repository.manifest_count",
        "repository.tag_count",
        "blob.checked_at",
        "repository_blob.linked_by",
        "manifest.bytes",
        "deleted_manifest.bytes",
    ];

    /// Triggers that are missing on purpose: a lease that is only prolonged, rows that never change.
    const UNWATCHED: [&str; 2] = ["repository_blob_update", "deleted_manifest_update"];

    fn texts(connection: &Connection, sql: &str) -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    /// A table or column that a migration adds is lost by a rebuild unless somebody decides otherwise: here.
    #[test]
    fn every_table_and_column_is_in_the_checkpoint_or_left_out_on_purpose() {
        let mut connection = Connection::open_in_memory().unwrap();
        crate::sqlite::migrate::migrate(&mut connection).unwrap();
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
        let mut lost = Vec::new();
        for table in texts(&connection, tables) {
            let Some(kind) = Kind::named(&table) else {
                lost.extend((!LEFT_OUT.contains(&table.as_str())).then_some(table));
                continue;
            };
            for column in texts(&connection, &format!("SELECT name FROM pragma_table_info('{table}')")) {
                let kept = kind.rows().sqlite().contains(&format!("r.{column}"));
                let name = format!("{table}.{column}");
                let derived = DERIVED.iter().any(|it| *it == column || *it == name);
                lost.extend((!kept && !derived).then_some(name));
            }
            let sql =
                format!("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '{table}'");
            let triggers = texts(&connection, &sql);
            let wanted = ["insert", "update", "delete"].map(|event| format!("{table}_{event}"));
            lost.extend(
                wanted
                    .into_iter()
                    .filter(|name| !triggers.contains(name) && !UNWATCHED.contains(&name.as_str())),
            );
        }
        assert_eq!(lost, Vec::<String>::new());
    }
}
