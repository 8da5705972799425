//! Audit records and events: in the transaction that does what they tell of.

use metadata::model::audit::{self, AuditRow};
use metadata::model::{ProjectId, RepositoryId};
use metadata::{Timestamp, Tx, outbox};
use oci::Digest;

use crate::Registry;
use crate::access::{Delete, Grant, Push};
use crate::caller::Caller;
use crate::error::Error;

/// The record of what a caller did, of no project and still without an id.
pub(crate) fn row(caller: &Caller, at: Timestamp, action: &str, target: &str) -> AuditRow {
    AuditRow {
        id: 0,
        at,
        principal_id: caller.principal.id,
        principal: caller.principal.name.to_string(),
        action: action.to_owned(),
        project: None,
        target: target.to_owned(),
        outcome: "done".to_owned(),
        details: "{}".to_owned(),
        address: caller.address.clone(),
        request_id: caller.request_id.clone(),
    }
}

/// A manifest, or a tag of one, that is gone.
pub(crate) struct Gone<'a> {
    /// Of which repository.
    pub(crate) repository: RepositoryId,
    /// The manifest.
    pub(crate) digest: &'a Digest,
    /// What the manifest was about, if it is gone itself.
    pub(crate) subject: Option<Digest>,
    /// The tags that are gone.
    pub(crate) tags: Vec<&'a str>,
}

impl Registry {
    /// Records what `tx` does.
    pub(crate) async fn record(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        action: &str,
        project: Option<ProjectId>,
        target: &str,
    ) -> Result<(), Error> {
        let id = self.store.ids().next().await?;
        let row = row(caller, self.store.now(), action, target);
        audit::insert(tx, &AuditRow { id, project, ..row });
        Ok(())
    }

    /// Records a push and tells of it.
    pub(crate) async fn record_push(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        grant: &Grant<Push>,
        repository: RepositoryId,
        (digest, tags): (&Digest, &[&str]),
    ) -> Result<(), Error> {
        let target = match tags {
            [] => format!("{}@{digest}", grant.repo),
            [first, ..] => format!("{}:{first}@{digest}", grant.repo),
        };
        let row = row(caller, self.store.now(), "manifest.put", &target);
        let details = match tags {
            [] | [_] => row.details,
            _ => serde_json::json!({ "tags": tags }).to_string(),
        };
        let id = self.store.ids().next().await?;
        audit::insert(tx, &AuditRow { id, project: Some(grant.project), details, ..row });
        let payload = serde_json::json!({
            "repository": grant.repo.as_str(),
            "repository_id": repository,
            "digest": digest,
            "tags": tags,
            "principal": &*grant.principal_name,
            "by_system": caller.is_system(),
        });
        self.tell(tx, "manifest_pushed", Some(grant.project), &payload).await
    }

    /// Tells that a manifest (`manifest_deleted`) or a tag (`tag_deleted`) is gone.
    pub(crate) async fn tell_gone(
        &self,
        tx: &mut Tx,
        kind: &str,
        caller: &Caller,
        grant: &Grant<Delete>,
        gone: &Gone<'_>,
    ) -> Result<(), Error> {
        let payload = serde_json::json!({
            "repository": grant.repo.as_str(),
            "repository_id": gone.repository,
            "digest": gone.digest,
            "subject": gone.subject,
            "tags": gone.tags,
            "principal": &*grant.principal_name,
            "by_system": caller.is_system(),
        });
        self.tell(tx, kind, Some(grant.project), &payload).await
    }

    /// Tells of what `tx` does.
    pub(crate) async fn tell(
        &self,
        tx: &mut Tx,
        kind: &str,
        project: Option<ProjectId>,
        payload: &serde_json::Value,
    ) -> Result<(), Error> {
        let (id, project) = (self.store.next_id().await?, project.map(ProjectId::get));
        outbox::append(tx, id, self.store.now(), kind, project, &payload.to_string());
        Ok(())
    }
}
