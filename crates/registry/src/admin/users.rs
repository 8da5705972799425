//! Users: create, list, show, change, delete, passwords.

use std::sync::Arc;

use metadata::Timestamp;
use metadata::model::access::{self, GrantRow, PrincipalRow};
use metadata::model::{GrantId, PrincipalId, principal};
use policy::{Permission, Role};

use super::{administered, meaning, refuse, require_system};
use crate::Registry;
use crate::access::PrincipalFact;
use crate::caller::Caller;
use crate::error::Error;

/// A user to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Login name.
    pub name: String,
    /// Name for people.
    pub display_name: String,
    /// Mail address.
    pub email: Option<String>,
    /// First password.
    pub password: String,
    /// Whether the user administers the system.
    pub admin: bool,
}

/// Changes to a user; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// Name for people.
    pub display_name: Option<String>,
    /// Mail address; an empty one is removed.
    pub email: Option<String>,
    /// Locked out.
    pub disabled: Option<bool>,
    /// Administers the system.
    pub admin: Option<bool>,
}

/// A user.
#[derive(Clone, Debug)]
pub struct UserView {
    /// Id.
    pub id: PrincipalId,
    /// Login name.
    pub name: String,
    /// Name for people.
    pub display_name: String,
    /// Mail address.
    pub email: Option<String>,
    /// Locked out.
    pub disabled: bool,
    /// Administers the system.
    pub admin: bool,
    /// When it was created.
    pub created_at: Timestamp,
}

/// Names are printable ASCII without the characters that mark robots and other internal names, so that none looks
/// like another.
fn check_name(name: &str) -> Result<(), Error> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let reserved = ["system", "anonymous"].contains(&name.to_ascii_lowercase().as_str());
    let shape = bytes.len() <= 128
        && bytes.iter().all(|byte| good(*byte))
        && edge(bytes.first())
        && edge(bytes.last());
    if shape && !reserved {
        return Ok(());
    }
    Err(Error::Invalid(
        "a user name has 1 to 128 letters, digits, `.`, `_`, `-` or `@`, begins and ends with a letter or digit, and is not `system` or `anonymous`"
            .to_owned(),
    ))
}

/// Longest name for people and mail address, in characters.
const MAX_TEXT_CHARS: usize = 255;

/// What people read must not hold what terminals obey, nor what a database cannot store.
fn check_text(what: &str, text: &str) -> Result<(), Error> {
    if text.chars().count() <= MAX_TEXT_CHARS && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "{what} has at most {MAX_TEXT_CHARS} characters, none of them a control character"
    )))
}

impl Registry {
    fn user_view(&self, fact: &PrincipalFact) -> UserView {
        UserView {
            id: fact.row.id,
            name: fact.row.name.clone(),
            display_name: fact.row.display_name.clone(),
            email: fact.row.email.clone(),
            disabled: fact.row.disabled,
            admin: self.admin_grant(fact.row.id).is_some(),
            created_at: fact.row.created_at,
        }
    }

    fn admin_grant(&self, id: PrincipalId) -> Option<GrantId> {
        let grants = self.access.facts().grants_in(None);
        grants
            .into_iter()
            .find(|view| view.principal == id && view.fact.role == Role::SystemAdmin)
            .map(|view| view.id)
    }

    fn user_fact(&self, id: PrincipalId) -> Result<Arc<PrincipalFact>, Error> {
        let facts = self.access.facts();
        facts.principal(id).filter(|fact| fact.row.kind == "user").cloned().ok_or(Error::NotFound("user"))
    }

    /// Creates a user.
    pub async fn create_user(&self, caller: &Caller, new: &NewUser) -> Result<PrincipalId, Error> {
        require_system(self, caller, Permission::ManageUsers, "create users")?;
        check_name(&new.name)?;
        check_text("display_name", &new.display_name)?;
        check_text("email", new.email.as_deref().unwrap_or_default())?;
        let password = self.authenticator.hash_password(&new.password).await?;
        let id: PrincipalId = self.store.next_id().await?;
        let mut tx = self.store.begin().await?;
        access::raise(&mut tx);
        let row = PrincipalRow {
            id,
            kind: "user".to_owned(),
            name: new.name.clone(),
            display_name: new.display_name.clone(),
            email: new.email.clone().filter(|email| !email.is_empty()),
            password: Some(password),
            disabled: false,
            epoch: 0,
            created_at: self.store.now(),
        };
        principal::insert(&mut tx, &row);
        if new.admin {
            access::insert_grant(&mut tx, &self.new_admin_grant(id).await?, self.store.now());
        }
        self.record(&mut tx, caller, "user.create", None, &new.name).await?;
        let taken = Error::Conflict(format!("a user named `{}` exists already", new.name));
        meaning(self.store.commit(tx).await, "principal", taken)?;
        self.access.apply_own().await;
        Ok(id)
    }

    async fn new_admin_grant(&self, principal: PrincipalId) -> Result<GrantRow, Error> {
        Ok(GrantRow {
            id: self.store.next_id().await?,
            principal,
            project: None,
            role: Role::SystemAdmin.name().to_owned(),
            effect: "allow".to_owned(),
            conditions: "{}".to_owned(),
        })
    }

    /// Users in order of name after `after`, whose name contains `name_contains`, and their number.
    pub fn users(
        &self,
        caller: &Caller,
        name_contains: &str,
        after: &str,
        limit: usize,
    ) -> Result<(Vec<UserView>, usize), Error> {
        let own = self.access.own_in(&caller.principal, None);
        if !own.has(Permission::ManageUsers) && !own.has(Permission::ReadSystem) {
            return Err(refuse(caller, "you may not list users; ask a system administrator".to_owned()));
        }
        let facts = self.access.facts();
        let mut found: Vec<&Arc<PrincipalFact>> = facts
            .principals()
            .filter(|fact| fact.row.kind == "user" && fact.row.name.contains(name_contains))
            .collect();
        found.sort_by(|a, b| a.row.name.cmp(&b.row.name));
        let total = found.len();
        let page = found.into_iter().filter(|fact| fact.row.name.as_str() > after).take(limit);
        Ok((page.map(|fact| self.user_view(fact)).collect(), total))
    }

    /// A user: oneself, or any for who manages users.
    pub fn user(&self, caller: &Caller, id: PrincipalId) -> Result<UserView, Error> {
        let own = self.access.own_in(&caller.principal, None);
        let reads = own.has(Permission::ManageUsers) || own.has(Permission::ReadSystem);
        if caller.principal.scope.is_some() || !(reads || caller.principal.id == Some(id)) {
            return Err(refuse(caller, "you may not see other users".to_owned()));
        }
        Ok(self.user_view(&*self.user_fact(id)?))
    }

    /// Changes a user. Oneself may change the name for people and the mail address.
    pub async fn change_user(
        &self,
        caller: &Caller,
        id: PrincipalId,
        change: &UserChange,
    ) -> Result<(), Error> {
        let own_profile = caller.principal.id == Some(id)
            && caller.principal.scope.is_none()
            && change.disabled.is_none()
            && change.admin.is_none();
        if !own_profile {
            require_system(self, caller, Permission::ManageUsers, "change users")?;
        }
        check_text("display_name", change.display_name.as_deref().unwrap_or_default())?;
        check_text("email", change.email.as_deref().unwrap_or_default())?;
        let fact = self.user_fact(id)?;
        let mut tx = self.store.begin().await?;
        access::raise(&mut tx);
        if change.display_name.is_some() || change.email.is_some() {
            let display_name = change.display_name.as_deref().unwrap_or(&fact.row.display_name);
            let email =
                change.email.as_deref().or(fact.row.email.as_deref()).filter(|email| !email.is_empty());
            principal::set_profile(&mut tx, id, display_name, email);
        }
        if let Some(disabled) = change.disabled {
            if disabled && caller.principal.id == Some(id) {
                return Err(Error::Conflict("you cannot lock yourself out".to_owned()));
            }
            principal::set_disabled(&mut tx, id, disabled);
        }
        match (change.admin, self.admin_grant(id)) {
            (Some(true), None) => {
                access::insert_grant(&mut tx, &self.new_admin_grant(id).await?, self.store.now());
            }
            (Some(false), Some(_)) if caller.principal.id == Some(id) => {
                return Err(Error::Conflict("you cannot take your own administration away".to_owned()));
            }
            (Some(false), Some(grant)) => access::delete_grant(&mut tx, grant),
            _ => {}
        }
        if change.disabled == Some(true) || change.admin == Some(false) {
            access::stays_administered(&mut tx);
        }
        self.record(&mut tx, caller, "user.update", None, &fact.row.name).await?;
        meaning(administered(self.store.commit(tx).await)?, "principal", Error::NotFound("user"))?;
        self.access.apply_own().await;
        Ok(())
    }

    /// Deletes a user.
    pub async fn delete_user(&self, caller: &Caller, id: PrincipalId) -> Result<(), Error> {
        require_system(self, caller, Permission::ManageUsers, "delete users")?;
        if caller.principal.id == Some(id) {
            return Err(Error::Conflict("you cannot delete yourself".to_owned()));
        }
        let fact = self.user_fact(id)?;
        let mut tx = self.store.begin().await?;
        access::raise(&mut tx);
        principal::delete(&mut tx, id);
        access::stays_administered(&mut tx);
        self.record(&mut tx, caller, "user.delete", None, &fact.row.name).await?;
        meaning(administered(self.store.commit(tx).await)?, "principal", Error::NotFound("user"))?;
        self.access.apply_own().await;
        Ok(())
    }

    /// Changes a password: one's own with the old one, or anybody's for who manages users. Tokens and logins made
    /// with the old one stop to work.
    pub async fn change_password(
        &self,
        caller: &Caller,
        id: PrincipalId,
        old: Option<&str>,
        new: &str,
    ) -> Result<(), Error> {
        if caller.principal.id == Some(id) && caller.principal.scope.is_none() {
            let old =
                old.ok_or_else(|| Error::Invalid("changing your own password needs the old one".to_owned()))?;
            let address = caller.address.as_deref().unwrap_or_default();
            let verified = self.authenticator.verify_password(&caller.principal.name, old, address).await;
            verified.map_err(|error| match error {
                Error::InvalidCredentials => Error::Invalid("the old password is wrong".to_owned()),
                other => other,
            })?;
        } else {
            require_system(self, caller, Permission::ManageUsers, "change passwords of others")?;
        }
        let fact = self.user_fact(id)?;
        self.set_password(caller, &fact, new).await
    }

    /// Sets the password of a user by name; for the host only.
    pub async fn reset_password(&self, name: &str, new: &str) -> Result<(), Error> {
        self.access.refresh(0).await?;
        let fact = self.access.facts().principal_named(name).cloned().ok_or(Error::NotFound("user"))?;
        self.set_password(&Caller::system(), &fact, new).await
    }

    /// Gives a user its first password; for the host only. False when it has one: replicas may start at once, and only
    /// one of them makes the password that counts.
    pub async fn set_first_password(&self, name: &str, new: &str) -> Result<bool, Error> {
        self.access.refresh(0).await?;
        let fact = self.access.facts().principal_named(name).cloned().ok_or(Error::NotFound("user"))?;
        let hash = self.authenticator.hash_password(new).await?;
        let mut tx = self.store.begin().await?;
        access::raise(&mut tx);
        principal::set_first_password(&mut tx, fact.row.id, &hash);
        self.record(&mut tx, &Caller::system(), "user.password", None, &fact.row.name).await?;
        let first = match self.store.commit(tx).await {
            Err(error) if error.conflicts_at("principal") => false,
            other => {
                other?;
                true
            }
        };
        self.access.apply_own().await;
        Ok(first)
    }

    async fn set_password(&self, caller: &Caller, fact: &PrincipalFact, new: &str) -> Result<(), Error> {
        let hash = self.authenticator.hash_password(new).await?;
        let mut tx = self.store.begin().await?;
        access::raise(&mut tx);
        principal::set_password(&mut tx, fact.row.id, &hash);
        self.record(&mut tx, caller, "user.password", None, &fact.row.name).await?;
        meaning(self.store.commit(tx).await, "principal", Error::NotFound("user"))?;
        self.access.apply_own().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names_that_look_like_others_are_refused() {
        for bad in
            ["", "robot$x", "admin\u{200b}", "\u{430}dmin", "system", "Anonymous", "a b", "-a", "a.", "a:b"]
        {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        for good in ["alice", "a.b-c_d", "bob@example.org", "A1"] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
    }
}
