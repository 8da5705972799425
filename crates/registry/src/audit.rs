//! The audit's proof: records numbered, chained by hashes, the chain signed; and whether that still holds.
//!
//! The hash of a record covers the hash before it, its number and every column. Whoever changes, removes or reorders a
//! sealed record breaks the chain there; whoever computes the chain anew lacks the key that signs it. What cannot be
//! seen from inside is that the newest records are gone together with their signatures: keep the position and hash that
//! a verification prints somewhere else.

use std::cmp::Ordering;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use data_encoding::HEXLOWER;
use metadata::leases::{self, Held};
use metadata::model::audit::AuditRow;
use metadata::model::seal::{self, AuditKeyRow, SealRow, SealedRow};
use policy::Permission;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::Registry;
use crate::caller::Caller;
use crate::error::{Error, Refusal};

/// Records numbered by one transaction.
const BATCH: u32 = 500;
/// Records read at once.
const PAGE: u32 = 1000;
/// Faults that are listed; all are counted.
const LISTED: usize = 100;

type Chain = [u8; 32];

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditVerdict {
    /// Sealed records looked at.
    pub records: u64,
    /// Signatures looked at.
    pub signatures: u64,
    /// Records that wait to be sealed.
    pub unsealed: u64,
    /// The position of the last sealed record.
    pub position: i64,
    /// The hash there, hexadecimal: kept elsewhere it shows later that nothing was cut off.
    pub chain: String,
    /// How many things are wrong.
    pub faults: u64,
    /// The first of them.
    pub found: Vec<String>,
}

impl AuditVerdict {
    fn fault(&mut self, what: String) {
        self.faults += 1;
        if self.found.len() < LISTED {
            self.found.push(what);
        }
    }
}

fn link(before: &[u8], position: i64, row: &AuditRow) -> Result<Chain, Error> {
    let canonical = serde_json::to_vec(&(
        position,
        row.id,
        row.at.micros(),
        row.principal_id,
        &row.principal,
        &row.action,
        row.project,
        &row.target,
        &row.outcome,
        &row.details,
        &row.address,
        &row.request_id,
    ));
    let canonical = canonical.map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Sha256::new().chain_update(before).chain_update(canonical).finalize().into())
}

fn signed(position: i64, chain: &[u8]) -> Vec<u8> {
    [b"bonded audit 1".as_slice(), &position.to_le_bytes(), chain].concat()
}

fn context(id: i64) -> String {
    format!("audit key {id}")
}

impl Registry {
    /// Numbers, chains and signs the records that are not sealed yet. Only the holder of the lease does so.
    pub async fn seal_audit(&self, held: &Held) -> Result<u64, Error> {
        let mut count = 0;
        loop {
            let rows = self.store.unsealed_audit(BATCH).await?;
            if rows.is_empty() {
                return Ok(count);
            }
            let last = self.store.last_seal().await?;
            let mut position = last.as_ref().map_or(0, |seal| seal.position);
            let mut chain = last.map_or_else(|| vec![0; 32], |seal| seal.chain.to_vec());
            let (key_id, pair) = self.audit_key(held).await?;
            let mut tx = self.store.begin().await?;
            leases::fence(&mut tx, held);
            for row in &rows {
                position += 1;
                chain = link(&chain, position, row)?.to_vec();
                seal::number(&mut tx, row.id, position, &chain);
            }
            let signature = pair.sign(&signed(position, &chain)).as_ref().to_vec().into();
            let seal = SealRow { position, chain: chain.clone().into(), signature, key_id };
            seal::insert(&mut tx, &seal, self.store.now());
            self.store.commit(tx).await?;
            count += rows.len() as u64;
            if rows.len() < usize::try_from(BATCH).unwrap_or(usize::MAX) {
                return Ok(count);
            }
        }
    }

    /// The newest key that this master key opens; a new one when there is none.
    async fn audit_key(&self, held: &Held) -> Result<(i64, Ed25519KeyPair), Error> {
        let internal = |_| Error::Internal("the audit's key is damaged".to_owned());
        for row in self.store.audit_keys().await?.iter().rev() {
            if let Ok(document) = self.sealer.open(&context(row.id), &row.private_key) {
                return Ok((row.id, Ed25519KeyPair::from_pkcs8(&document).map_err(internal)?));
            }
        }
        let id = self.store.ids().next().await?;
        let pair = Ed25519KeyPair::generate().map_err(|_| Error::Internal("no key pair".to_owned()))?;
        let document = pair.to_pkcs8v1().map_err(|_| Error::Internal("no key document".to_owned()))?;
        let sealed = self.sealer.seal(self.store.random().as_ref(), &context(id), document.as_ref());
        let row = AuditKeyRow {
            id,
            private_key: sealed.map_err(|error| Error::Internal(error.to_string()))?.into(),
            public_key: pair.public_key().as_ref().to_vec().into(),
        };
        let mut tx = self.store.begin().await?;
        leases::fence(&mut tx, held);
        seal::insert_key(&mut tx, &row, self.store.now());
        self.store.commit(tx).await?;
        Ok((id, pair))
    }

    /// Compares every sealed record with the chain, and the chain with its signatures.
    ///
    /// A key counts only when its private half opens under this master key and belongs to the public one: else whoever
    /// writes to the database could bring a key along.
    pub async fn verify_audit(&self) -> Result<AuditVerdict, Error> {
        let mut verdict = AuditVerdict::default();
        let keys = self.trusted_audit_keys(&mut verdict).await?;
        let mut chain = vec![0; 32];
        let mut seals = std::collections::VecDeque::new();
        let mut sealed_until = i64::MIN;
        let mut next = Some((i64::MIN, i64::MIN));
        while let Some(from) = next {
            let page = self.store.sealed_audit_from(from, PAGE).await?;
            let Some(end) = page.last() else { break };
            let until = end.position;
            next = behind(until, end.row.id);
            while sealed_until < until {
                let more = self.store.seals(sealed_until, PAGE).await?;
                let Some(last) = more.last() else { break };
                sealed_until = last.position;
                seals.extend(more);
            }
            for entry in page {
                check_record(&mut verdict, &mut chain, &entry)?;
                while let Some(seal) =
                    seals.pop_front_if(|seal: &mut SealRow| seal.position <= entry.position)
                {
                    check_seal(&mut verdict, &seal, &entry, &chain, &keys);
                }
            }
        }
        let signed = self.store.last_seal().await?.map_or(0, |seal| seal.position);
        let found = verdict.position;
        match signed.cmp(&found) {
            Ordering::Greater => {
                verdict.fault(format!("records {} to {signed} are missing at the end", found + 1));
            }
            Ordering::Less => verdict.fault(format!("the chain is not signed up to its end at {found}")),
            Ordering::Equal => {}
        }
        verdict.unsealed = self.store.unsealed_audit_count().await?;
        verdict.chain = HEXLOWER.encode(&chain);
        Ok(verdict)
    }

    async fn trusted_audit_keys(&self, verdict: &mut AuditVerdict) -> Result<Vec<AuditKeyRow>, Error> {
        let mut keys = self.store.audit_keys().await?;
        keys.retain(|row| {
            let opened = self.sealer.open(&context(row.id), &row.private_key).ok();
            let pair = opened.and_then(|document| Ed25519KeyPair::from_pkcs8(&document).ok());
            let ours = pair.is_some_and(|pair| pair.public_key().as_ref() == &row.public_key[..]);
            if !ours {
                verdict.fault(format!("key {} is not of this master key", row.id));
            }
            ours
        });
        Ok(keys)
    }

    /// Sealed records in order of their positions after `after`, for who may read the system's audit.
    pub async fn audit_after(
        &self,
        caller: &Caller,
        after: i64,
        limit: u32,
    ) -> Result<Vec<SealedRow>, Error> {
        if !self.access.own_in(&caller.principal, None).has(Permission::ReadSystem) {
            let reason = "you may not read the audit; ask a system administrator".to_owned();
            return Err(Refusal::Denied { reason }.into());
        }
        Ok(self.store.sealed_audit(after, limit).await?)
    }
}

/// The place after a record's in the order of positions and ids; none after the last one that there can be.
fn behind(position: i64, id: i64) -> Option<(i64, i64)> {
    match id.checked_add(1) {
        Some(id) => Some((position, id)),
        None => position.checked_add(1).map(|position| (position, i64::MIN)),
    }
}

fn check_record(verdict: &mut AuditVerdict, chain: &mut Vec<u8>, entry: &SealedRow) -> Result<(), Error> {
    let expected = verdict.position + 1;
    verdict.records += 1;
    if entry.position < 1 {
        // It is no link of the chain, which goes on without it.
        verdict.fault(format!("a record has the number {}: numbers begin with 1", entry.position));
        return Ok(());
    }
    match entry.position {
        at if at > expected => verdict.fault(format!("records {expected} to {} are missing", at - 1)),
        at if at < expected => verdict.fault(format!("record {at} is there twice")),
        _ => {}
    }
    let computed = link(chain, entry.position, &entry.row)?;
    if computed[..] != entry.chain[..] {
        verdict.fault(format!(
            "record {} ({} by {}) is not what was sealed, or one before it is missing",
            entry.position, entry.row.action, entry.row.principal
        ));
    }
    // Go on from what is stored: one change is one fault, and the signatures say whether the rest is right.
    *chain = entry.chain.to_vec();
    verdict.position = entry.position;
    Ok(())
}

fn check_seal(
    verdict: &mut AuditVerdict,
    seal: &SealRow,
    entry: &SealedRow,
    chain: &[u8],
    keys: &[AuditKeyRow],
) {
    verdict.signatures += 1;
    let message = signed(seal.position, &seal.chain);
    let key = keys.iter().find(|key| key.id == seal.key_id);
    let good = key.is_some_and(|key| {
        UnparsedPublicKey::new(&ED25519, &key.public_key[..]).verify(&message, &seal.signature).is_ok()
    });
    if !good || seal.position != entry.position || seal.chain[..] != chain[..] {
        verdict.fault(format!("the signature at {} does not fit its record", seal.position));
    }
}
