//! What administrators decide about scanning: in a project, and the allow-list of the whole system.

use std::collections::{BTreeMap, BTreeSet};

use metadata::Timestamp;
use metadata::model::{ProjectId, setting};
use policy::Permission;
use serde::{Deserialize, Serialize};

use super::{require_project, require_system};
use crate::Registry;
use crate::admin::ProjectRef;
use crate::caller::Caller;
use crate::error::Error;

/// The setting that holds the allow-list of the whole system.
const SYSTEM_ALLOW_LIST: &str = "scan/allow-list";

/// Before the id of a project: the setting that holds what it decides.
const PROJECTS: &str = "scan/project/";
/// Most projects whose decisions are read at once.
const MAX_PROJECTS: u32 = 100_000;

/// Identifiers that do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllowList {
    /// `CVE-…`, `GHSA-…`.
    pub ids: Vec<String>,
    /// From when on it counts for nothing, in seconds since 1970.
    pub expires_at: Option<i64>,
}

/// What a project decides about scanning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProjectScanning {
    /// Whether what is pushed is scanned; none: as the system does.
    pub on_push: Option<bool>,
    /// Whether bills of materials are attached; none: as the system does.
    pub sbom: Option<bool>,
    /// Whether VEX documents that hang beside an image excuse findings of it there.
    pub vex: bool,
    /// Whether the system's allow-list counts instead of the project's own.
    pub system_allow_list: bool,
    /// The project's own.
    pub allow_list: AllowList,
}

/// Projects in which the same identifiers do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The projects.
    pub projects: Vec<ProjectId>,
    /// The identifiers, sorted.
    pub ids: Vec<String>,
}

/// Most identifiers of an allow-list.
const MAX_ALLOWED: usize = 10_000;

impl AllowList {
    /// The identifiers that do not count at `now`.
    pub fn at(&self, now: Timestamp) -> &[String] {
        let over = self.expires_at.is_some_and(|end| end <= now.micros() / 1_000_000);
        if over { &[] } else { &self.ids }
    }

    fn check(&self) -> Result<(), Error> {
        let good = |id: &String| !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_graphic());
        if self.ids.len() > MAX_ALLOWED {
            return Err(Error::Invalid(format!("an allow-list has at most {MAX_ALLOWED} entries")));
        }
        match self.ids.iter().find(|id| !good(id)) {
            Some(id) => Err(Error::Invalid(format!("`{id}` is no identifier of a vulnerability"))),
            None => Ok(()),
        }
    }
}

impl Registry {
    /// What a project decides about scanning, for work that no caller asked for.
    pub async fn scanning_in(&self, project: ProjectId) -> Result<ProjectScanning, Error> {
        parse(self.store.setting(&name_of(project)).await?.as_deref())
    }

    /// What a project that the caller may see decides about scanning.
    pub async fn project_scanning(
        &self,
        caller: &Caller,
        name_or_id: &ProjectRef,
    ) -> Result<ProjectScanning, Error> {
        let fact = self.visible_project(caller, name_or_id)?;
        self.scanning_in(fact.id).await
    }

    /// Decides about scanning in a project.
    pub async fn set_project_scanning(
        &self,
        caller: &Caller,
        name_or_id: &ProjectRef,
        scanning: &ProjectScanning,
    ) -> Result<(), Error> {
        let fact = self.visible_project(caller, name_or_id)?;
        require_project(self, caller, &fact, Permission::UpdateProject, "change settings")?;
        scanning.allow_list.check()?;
        let former = self.scanning_in(fact.id).await?;
        let mut tx = self.store.begin().await?;
        self.record(&mut tx, caller, "project.scanning", Some(fact.id), &fact.name).await?;
        setting::put(&mut tx, &name_of(fact.id), &text_of(scanning)?);
        if former.vex != scanning.vex {
            let believed = serde_json::json!({ "vex": scanning.vex });
            self.tell(&mut tx, "scanners_chosen", Some(fact.id), &believed).await?;
        }
        Ok(self.store.commit(tx).await?)
    }

    /// The allow-list of the whole system.
    pub async fn system_allow_list(&self) -> Result<AllowList, Error> {
        parse(self.store.setting(SYSTEM_ALLOW_LIST).await?.as_deref())
    }

    /// Sets the allow-list of the whole system.
    pub async fn set_system_allow_list(&self, caller: &Caller, list: &AllowList) -> Result<(), Error> {
        require_system(self, caller, Permission::ManageSystem, "change the system's allow-list")?;
        list.check()?;
        let mut tx = self.store.begin().await?;
        self.record(&mut tx, caller, "system.allow_list", None, "").await?;
        setting::put(&mut tx, SYSTEM_ALLOW_LIST, &text_of(list)?);
        Ok(self.store.commit(tx).await?)
    }

    /// The identifiers that do not count now in a project that decided so.
    pub async fn allowed_ids(&self, decided: ProjectScanning) -> Result<Vec<String>, Error> {
        let own = decided.allow_list;
        let list = if decided.system_allow_list { self.system_allow_list().await? } else { own };
        Ok(list.at(self.store.now()).to_vec())
    }
}

impl Registry {
    /// What does not count now in any of some projects; projects in which everything counts are not among them.
    pub async fn allowances(&self, projects: &[ProjectId]) -> Result<Vec<Allowance>, Error> {
        let now = self.store.now();
        let sorted = |list: &AllowList| {
            let mut ids = list.at(now).to_vec();
            ids.sort_unstable();
            ids
        };
        let (mut as_system, mut lists) = (Vec::new(), BTreeMap::<Vec<String>, Vec<ProjectId>>::new());
        let projects: BTreeSet<ProjectId> = projects.iter().copied().collect();
        for (name, text) in self.store.settings_below(PROJECTS, MAX_PROJECTS).await? {
            let id = name.strip_prefix(PROJECTS).and_then(|id| id.parse::<i64>().ok()).map(ProjectId::from);
            let Some(id) = id.filter(|id| projects.contains(id)) else { continue };
            let own: ProjectScanning = read(&text)?;
            if own.system_allow_list {
                as_system.push(id);
            } else {
                lists.entry(sorted(&own.allow_list)).or_default().push(id);
            }
        }
        if !as_system.is_empty() {
            lists.entry(sorted(&self.system_allow_list().await?)).or_default().extend(as_system);
        }
        let lists = lists.into_iter().filter(|(ids, _)| !ids.is_empty());
        Ok(lists.map(|(ids, projects)| Allowance { projects, ids }).collect())
    }
}

/// The setting that holds what a project decides.
pub(super) fn name_of(project: ProjectId) -> String {
    format!("{PROJECTS}{project}")
}

fn parse<T: Default + for<'de> Deserialize<'de>>(text: Option<&str>) -> Result<T, Error> {
    text.map_or_else(|| Ok(T::default()), read)
}

/// The value of a setting of scanning.
pub(super) fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Internal(format!("a setting of scanning: {error}")))
}

/// A value as a setting keeps it.
pub(super) fn text_of(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Internal(error.to_string()))
}
