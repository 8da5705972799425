//! Who calls, and from where: what access decisions and audit records need to know of a request.

use std::net::IpAddr;
use std::sync::Arc;

use metadata::model::PrincipalId;
use oci::RepoName;

/// The id under which anonymous callers own rows.
pub const ANONYMOUS: i64 = 0;

/// The name under which the system itself acts.
pub const SYSTEM: &str = "system";

/// The name under which a scanner reads what it was asked to scan.
pub const SCANNER: &str = "scanner";

/// One entry of a token's scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeEntry {
    /// What it is about.
    pub target: ScopeTarget,
    /// Reading is covered.
    pub pull: bool,
    /// Writing is covered.
    pub push: bool,
    /// Deleting is covered.
    pub delete: bool,
}

/// What an entry of a token's scope is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeTarget {
    /// One repository.
    Repository(RepoName),
    /// The list of all repositories.
    Catalog,
}

/// An authenticated or anonymous caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// None for anonymous callers.
    pub id: Option<PrincipalId>,
    /// Login name; `anonymous` without one.
    pub name: Arc<str>,
    /// What its token covers; none: everything that the principal may do.
    pub scope: Option<Arc<[ScopeEntry]>>,
    /// From where it calls, for grants that count in some networks only; unknown: in none.
    pub address: Option<IpAddr>,
}

impl Principal {
    /// A caller without credentials.
    pub fn anonymous() -> Self {
        Self { id: None, name: "anonymous".into(), scope: None, address: None }
    }

    /// Whether it is a scanner with a token of ours: it reads what that names, and nothing else.
    pub fn is_scanner(&self) -> bool {
        self.id.is_none() && &*self.name == SCANNER && self.scope.is_some()
    }

    /// Whether the caller is signed in.
    pub fn is_signed_in(&self) -> bool {
        self.id.is_some()
    }

    /// The id for rows that the caller owns.
    pub fn row_id(&self) -> PrincipalId {
        self.id.unwrap_or_else(|| PrincipalId::from(ANONYMOUS))
    }
}

/// A caller within one request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// From which address.
    pub address: Option<String>,
    /// In which request.
    pub request_id: Option<String>,
}

impl Caller {
    /// The system itself: maintenance and first start.
    pub fn system() -> Self {
        let principal = Principal { id: None, name: SYSTEM.into(), scope: None, address: None };
        Self { principal, address: None, request_id: None }
    }

    /// Whether it is the system itself: who has no account is else anonymous.
    pub fn is_system(&self) -> bool {
        self.principal.id.is_none() && &*self.principal.name == SYSTEM
    }
}
