//! Exports that somebody asked for: which findings they are of. What is downloaded is made when it is fetched, so that it
//! is never older than the advisories.
//!
//! Each principal has a list of its own, bounded, as one setting: nobody sees what another one asked for.

use metadata::Timestamp;
use metadata::model::setting;
use serde::{Deserialize, Serialize};

use crate::Registry;
use crate::caller::Caller;
use crate::error::{Error, Refusal};

/// Exports kept of one principal.
const KEPT: usize = 20;

/// Which findings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Criteria {
    /// Of these projects, by id; of all that the caller may see when empty.
    pub projects: Vec<i64>,
    /// Of repositories of these patterns, by the name inside the project.
    pub repositories: Vec<String>,
    /// Of artifacts with a tag of these patterns.
    pub tags: Vec<String>,
    /// With these identifiers.
    pub ids: Vec<String>,
}

/// An export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Its id.
    pub id: i64,
    /// What it is called.
    #[serde(default)]
    pub name: String,
    /// When it was asked for.
    pub at: Timestamp,
    /// Which findings.
    #[serde(default)]
    pub criteria: Criteria,
}

impl Registry {
    /// Keeps an export; its id. The oldest beyond the bound are forgotten.
    pub async fn add_export(&self, caller: &Caller, name: &str, criteria: Criteria) -> Result<i64, Error> {
        let setting_name = setting_of(caller)?;
        let (id, at) = (self.store.ids().next().await?, self.store.now());
        let added = Export { id, name: name.to_owned(), at, criteria };
        let (setting_name, added) = (&setting_name, &added);
        self.store
            .replan(5, || async move {
                let former = self.store.setting(setting_name).await?;
                let mut list = parse(former.as_deref())?;
                list.insert(0, added.clone());
                list.truncate(KEPT);
                let text =
                    serde_json::to_string(&list).map_err(|error| Error::Internal(error.to_string()))?;
                let mut tx = self.store.begin().await?;
                self.record(&mut tx, caller, "export.create", None, &added.name).await?;
                setting::replace(&mut tx, setting_name, former.as_deref(), &text);
                Ok((Some(tx), id))
            })
            .await
    }

    /// The caller's exports, newest first.
    pub async fn exports(&self, caller: &Caller) -> Result<Vec<Export>, Error> {
        parse(self.store.setting(&setting_of(caller)?).await?.as_deref())
    }

    /// One of the caller's exports.
    pub async fn export(&self, caller: &Caller, id: i64) -> Result<Export, Error> {
        let mut exports = self.exports(caller).await?.into_iter();
        exports.find(|export| export.id == id).ok_or(Error::NotFound("export"))
    }
}

fn setting_of(caller: &Caller) -> Result<String, Error> {
    let id = caller.principal.id.ok_or(Refusal::SignIn { scope: String::new() })?;
    Ok(format!("export/{id}"))
}

fn parse(text: Option<&str>) -> Result<Vec<Export>, Error> {
    let Some(text) = text else { return Ok(Vec::new()) };
    serde_json::from_str(text).map_err(|error| Error::Internal(format!("a list of exports: {error}")))
}
