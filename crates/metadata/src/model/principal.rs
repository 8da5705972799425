//! Principals: users and robots.
//!
//! `name_key` is the name folded to lower case, unique, so that `Admin` cannot stand beside `admin`.

use super::PrincipalId;
use super::access::{self, PrincipalRow};
use crate::params;
use crate::tx::{Expect, Tx};

crate::statements! {
    INSERT = Write "INSERT INTO principal (id, kind, name, name_key, display_name, email, password, disabled, epoch, created_at, generation, tx) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, (SELECT generation FROM access_generation WHERE id = 1), $10)";
    SET_PASSWORD = Write "UPDATE principal SET password = $2, epoch = epoch + 1, generation = (SELECT generation FROM access_generation WHERE id = 1), tx = $3 WHERE id = $1";
    SET_FIRST_PASSWORD = Write "UPDATE principal SET password = $2, epoch = epoch + 1, generation = (SELECT generation FROM access_generation WHERE id = 1), tx = $3 WHERE id = $1 AND password IS NULL";
    SET_PROFILE = Write "UPDATE principal SET display_name = $2, email = $3, generation = (SELECT generation FROM access_generation WHERE id = 1), tx = $4 WHERE id = $1";
    SET_DISABLED = Write "UPDATE principal SET disabled = $2, epoch = epoch + 1, generation = (SELECT generation FROM access_generation WHERE id = 1), tx = $3 WHERE id = $1";
    DELETE = Write "DELETE FROM principal WHERE id = $1";
}

/// Inserts a principal; a taken name is a conflict at `principal`.
pub fn insert(tx: &mut Tx, row: &PrincipalRow) {
    let id = tx.id();
    tx.step_or(
        &INSERT,
        params![
            row.id,
            &row.kind,
            &row.name,
            row.name.to_lowercase(),
            &row.display_name,
            row.email.as_deref(),
            row.password.as_deref(),
            row.disabled,
            row.created_at,
            id
        ],
        Expect::Rows(1),
        "principal",
    );
}

/// Sets a password hash; whatever was issued before stops to work.
pub fn set_password(tx: &mut Tx, id: PrincipalId, hash: &str) {
    let by = tx.id();
    tx.step_or(&SET_PASSWORD, params![id, hash, by], Expect::Rows(1), "principal");
}

/// Sets the first password hash; a conflict at `principal` when there is one already.
pub fn set_first_password(tx: &mut Tx, id: PrincipalId, hash: &str) {
    let by = tx.id();
    tx.step_or(&SET_FIRST_PASSWORD, params![id, hash, by], Expect::Rows(1), "principal");
}

/// Sets the name for people and the mail address.
pub fn set_profile(tx: &mut Tx, id: PrincipalId, display_name: &str, email: Option<&str>) {
    let by = tx.id();
    tx.step_or(&SET_PROFILE, params![id, display_name, email, by], Expect::Rows(1), "principal");
}

/// Locks or unlocks a principal; whatever was issued before stops to work.
pub fn set_disabled(tx: &mut Tx, id: PrincipalId, disabled: bool) {
    let by = tx.id();
    tx.step_or(&SET_DISABLED, params![id, disabled, by], Expect::Rows(1), "principal");
}

/// Deletes a principal with its grants.
pub fn delete(tx: &mut Tx, id: PrincipalId) {
    access::mark_grants_of_principal(tx, id);
    access::mark_removed(tx, "principal", id.get());
    tx.step_or(&DELETE, params![id], Expect::Rows(1), "principal");
}
