//! Audit records and events: in the transaction that does what they tell of.

use metadata::model::ProjectId;
use metadata::model::audit::{self, AuditRow};
use metadata::{Tx, outbox};
use oci::Digest;

use crate::Registry;
use crate::access::{Grant, Push};
use crate::caller::Caller;
use crate::error::Error;

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
        let row = AuditRow {
            id: self.store.ids().next().await?,
            at: self.store.now(),
            principal_id: caller.principal.id,
            principal: caller.principal.name.to_string(),
            action: action.to_owned(),
            project,
            target: target.to_owned(),
            outcome: "done".to_owned(),
            details: "{}".to_owned(),
            address: caller.address.clone(),
            request_id: caller.request_id.clone(),
        };
        audit::insert(tx, &row);
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
        self.record(tx, caller, "manifest.put", Some(grant.project), &target).await?;
        let payload = serde_json::json!({
            "repository": grant.repo.as_str(),
            "digest": digest,
            "tags": tags,
            "principal": &*grant.principal_name,
        });
        let id = self.store.next_id().await?;
        let project = Some(grant.project.get());
        outbox::append(tx, id, self.store.now(), "manifest_pushed", project, &payload.to_string());
        Ok(())
    }
}
