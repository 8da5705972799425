//! The first start: organisation `default`, user `admin`, project `library`.
//!
//! The administrator has no password until the host sets one: there is no default password, ever.

use metadata::model::access::{self, GrantRow, PrincipalRow, ProjectRow};
use metadata::model::{GrantId, OrganisationId, PrincipalId, principal, project};
use oci::name::DEFAULT_PROJECT;
use policy::Role;

use crate::Registry;
use crate::caller::Caller;
use crate::error::Error;

/// The first user's name.
pub const ADMIN: &str = "admin";

/// The organisation of projects that belong to no other.
pub(super) const DEFAULT_ORGANISATION: &str = "default";

impl Registry {
    /// Makes what a fresh installation has; does nothing on any other. Replicas may start at once.
    pub(crate) async fn bootstrap(&self) -> Result<(), Error> {
        if self.store.organisation(DEFAULT_ORGANISATION).await?.is_some() {
            return Ok(());
        }
        let now = self.store.now();
        let organisation: OrganisationId = self.store.next_id().await?;
        let admin: PrincipalId = self.store.next_id().await?;
        let grant: GrantId = self.store.next_id().await?;
        let mut tx = self.store.begin().await?;
        access::raise(&mut tx);
        project::insert_organisation(&mut tx, organisation, DEFAULT_ORGANISATION, now);
        let user = PrincipalRow {
            id: admin,
            kind: "user".to_owned(),
            name: ADMIN.to_owned(),
            display_name: "Administrator".to_owned(),
            email: None,
            password: None,
            disabled: false,
            epoch: 0,
            created_at: now,
        };
        principal::insert(&mut tx, &user);
        let row = GrantRow {
            id: grant,
            principal: admin,
            project: None,
            role: Role::SystemAdmin.name().to_owned(),
            effect: "allow".to_owned(),
            conditions: "{}".to_owned(),
        };
        access::insert_grant(&mut tx, &row, now);
        let library = ProjectRow {
            id: self.store.next_id().await?,
            name: DEFAULT_PROJECT.to_owned(),
            visibility: "public".to_owned(),
            created_at: now,
        };
        project::insert(&mut tx, &library, organisation, admin);
        self.record(&mut tx, &Caller::system(), "system.bootstrap", None, "default").await?;
        match self.store.commit(tx).await {
            Err(error) if error.is_conflict() => {}
            other => other?,
        }
        self.access.refresh(0).await?;
        Ok(())
    }

    /// Whether the administrator has no password yet.
    pub fn admin_needs_password(&self) -> bool {
        let facts = self.access.facts();
        facts.principal_named(ADMIN).is_some_and(|fact| fact.row.password.is_none())
    }
}
