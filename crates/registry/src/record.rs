//! Audit records and events: in the transaction that does what they tell of.

use metadata::model::ProjectId;
use metadata::model::audit::{self, AuditRow};
use metadata::{Timestamp, Tx, outbox};
use oci::Digest;

use crate::Registry;
use crate::access::{Grant, Push};
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
        digest: &Digest,
        tags: &[&str],
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
            "digest": digest,
            "tags": tags,
            "principal": &*grant.principal_name,
            "by_system": caller.is_system(),
        });
        let id = self.store.next_id().await?;
        let project = Some(grant.project.get());
        outbox::append(tx, id, self.store.now(), "manifest_pushed", project, &payload.to_string());
        Ok(())
    }
}
