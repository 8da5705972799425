//! Other scanners: their registrations, and by which of them projects go.
//!
//! Registrations and choices are settings, so that a rebuild brings them back. Credentials are sealed; nobody reads them
//! again but the job that asks the scanner.

use std::collections::BTreeSet;

use data_encoding::BASE64;
use metadata::Timestamp;
use metadata::model::{ProjectId, setting};
use policy::Permission;
use serde::{Deserialize, Serialize};

use super::scanning::{read, text_of};
use super::{ProjectRef, require_project, require_system};
use crate::Registry;
use crate::caller::Caller;
use crate::error::Error;

/// The name of our own scanner among the others.
pub const OWN_SCANNER: &str = "Bonded";
/// Most scanners.
const MAX_SCANNERS: u32 = 50;
/// The settings that hold them.
const SCANNERS: &str = "scan/scanner/";
/// The setting that holds the system's choice; with `/` and a project's id its own.
const CHOICE: &str = "scan/scanners";

/// How a scanner wants to be convinced.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScannerCredentials {
    /// Not at all.
    #[default]
    None,
    /// User and password.
    Basic {
        /// User.
        user: String,
        /// Password.
        password: String,
    },
    /// A token.
    Bearer(String),
    /// A key in `X-ScannerAdapter-API-Key`.
    ApiKey(String),
}

impl std::fmt::Debug for ScannerCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind())
    }
}

impl ScannerCredentials {
    /// Which kind it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic { .. } => "basic",
            Self::Bearer(_) => "bearer",
            Self::ApiKey(_) => "api_key",
        }
    }
}

/// A registered scanner: an adapter of Harbor's scanner-adapter API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredScanner {
    /// Name, by which findings say who found them.
    pub name: String,
    /// Identifier in Harbor's API.
    pub uuid: String,
    /// What people say of it.
    pub description: String,
    /// Base address.
    pub url: String,
    /// Kind of its credentials.
    pub credentials: String,
    /// Whether it is left alone.
    pub disabled: bool,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When that was changed last.
    pub updated_at: Timestamp,
    /// The credentials, sealed.
    sealed: String,
}

/// What is decided about a scanner.
#[derive(Clone, Debug)]
pub struct ScannerChange {
    /// What people say of it.
    pub description: String,
    /// Base address.
    pub url: String,
    /// Its credentials; none: those it has.
    pub credentials: Option<ScannerCredentials>,
    /// Whether it is left alone.
    pub disabled: bool,
}

/// Which findings count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counting {
    /// Those of the first scanner.
    Primary,
    /// Those of any scanner, and of what was uploaded.
    #[default]
    Union,
    /// Those of all scanners.
    Intersection,
}

/// By which scanners a project goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScannerChoice {
    /// Names of scanners, ours included; the first one is the primary one.
    pub scanners: Vec<String>,
    /// Which of their findings count.
    pub counting: Counting,
}

impl Default for ScannerChoice {
    fn default() -> Self {
        Self { scanners: vec![OWN_SCANNER.to_owned()], counting: Counting::Union }
    }
}

fn name_of(scanner: &str) -> String {
    // Names that differ in case only would be told apart by nobody.
    format!("{SCANNERS}{}", scanner.to_lowercase())
}

fn choice_of(project: ProjectId) -> String {
    format!("{CHOICE}/{project}")
}

fn sealed_as(scanner: &str) -> String {
    format!("scanner {}", scanner.to_lowercase())
}

fn check_name(name: &str) -> Result<(), Error> {
    let good = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-');
    if name.is_empty() || name.len() > 64 || name.trim() != name || !name.chars().all(good) {
        return Err(Error::Invalid(
            "a scanner's name has 1 to 64 letters, digits, blanks, `.`, `_` and `-`".to_owned(),
        ));
    }
    if name.eq_ignore_ascii_case(OWN_SCANNER) {
        return Err(Error::Conflict(format!("`{OWN_SCANNER}` is the registry's own scanner")));
    }
    Ok(())
}

impl Registry {
    /// All registered scanners by name, for work that no caller asked for.
    pub async fn scanners(&self) -> Result<Vec<RegisteredScanner>, Error> {
        let rows = self.store.settings_below(SCANNERS, MAX_SCANNERS).await?;
        rows.iter().map(|(_, text)| read(text)).collect()
    }

    /// The credentials of a scanner, for the job that asks it.
    pub fn credentials_of(&self, scanner: &RegisteredScanner) -> Result<ScannerCredentials, Error> {
        let sealed = BASE64
            .decode(scanner.sealed.as_bytes())
            .map_err(|_| Error::Internal("a scanner's credentials".to_owned()))?;
        let opened = self
            .sealer
            .open(&sealed_as(&scanner.name), &sealed)
            .map_err(|error| Error::Internal(error.to_string()))?;
        serde_json::from_slice(&opened)
            .map_err(|_| Error::Internal("a scanner's credentials cannot be read".to_owned()))
    }

    /// All registered scanners, for who chooses among them.
    pub async fn list_scanners(&self, caller: &Caller) -> Result<Vec<RegisteredScanner>, Error> {
        if !caller.principal.is_signed_in() {
            return Err(super::refuse(caller, "sign in to see the scanners".to_owned()));
        }
        self.scanners_shown_to(caller).await
    }

    /// All registered scanners; where they are, is told to those who register them.
    pub async fn scanners_shown_to(&self, caller: &Caller) -> Result<Vec<RegisteredScanner>, Error> {
        let mut scanners = self.scanners().await?;
        if self.may_change_scanners(caller).is_err() {
            scanners.iter_mut().for_each(|scanner| scanner.url.clear());
        }
        Ok(scanners)
    }

    /// Proves that the caller may decide about scanners.
    pub fn may_change_scanners(&self, caller: &Caller) -> Result<(), Error> {
        require_system(self, caller, Permission::ManageSystem, "change the scanners")
    }

    /// Registers a scanner, or changes the one of that name; whether it is new.
    pub async fn put_scanner(
        &self,
        caller: &Caller,
        name: &str,
        change: &ScannerChange,
    ) -> Result<bool, Error> {
        self.may_change_scanners(caller)?;
        check_name(name)?;
        if change.description.len() > 1024 || change.url.len() > 2048 {
            return Err(Error::Invalid("a description has at most 1,024 bytes, an address 2,048".to_owned()));
        }
        let former = self.store.setting(&name_of(name)).await?;
        let known: Option<RegisteredScanner> = former.as_deref().map(read).transpose()?;
        if known.is_none() && self.scanners().await?.len() >= MAX_SCANNERS as usize {
            return Err(Error::LimitReached(format!("there are {MAX_SCANNERS} scanners; remove one first")));
        }
        let now = self.store.now();
        let credentials = match (&change.credentials, &known) {
            (Some(new), _) => Some(new.clone()),
            (None, Some(_)) => None,
            (None, None) => Some(ScannerCredentials::None),
        };
        let mut scanner = known.clone().unwrap_or_else(|| RegisteredScanner {
            name: name.to_owned(),
            uuid: self.new_uuid(),
            description: String::new(),
            url: String::new(),
            credentials: String::new(),
            disabled: false,
            created_at: now,
            updated_at: now,
            sealed: String::new(),
        });
        if let Some(credentials) = credentials {
            let secret =
                serde_json::to_vec(&credentials).map_err(|error| Error::Internal(error.to_string()))?;
            let sealed = self.sealer.seal(self.store.random().as_ref(), &sealed_as(&scanner.name), &secret);
            scanner.sealed = BASE64.encode(&sealed.map_err(|error| Error::Internal(error.to_string()))?);
            credentials.kind().clone_into(&mut scanner.credentials);
        }
        scanner.description.clone_from(&change.description);
        scanner.url.clone_from(&change.url);
        scanner.disabled = change.disabled;
        scanner.updated_at = now;
        let mut tx = self.store.begin().await?;
        self.record(&mut tx, caller, "scanner.put", None, &scanner.name).await?;
        setting::replace(&mut tx, &name_of(name), former.as_deref(), &text_of(&scanner)?);
        let taken = Error::Conflict(format!("`{name}` was changed at the same time; try again"));
        super::meaning(self.store.commit(tx).await, "setting", taken)?;
        Ok(known.is_none())
    }

    /// Takes a registration away. What goes by it says so until it goes by others.
    pub async fn delete_scanner(&self, caller: &Caller, name: &str) -> Result<(), Error> {
        self.may_change_scanners(caller)?;
        let former = self.store.setting(&name_of(name)).await?;
        if former.is_none() {
            return Err(Error::NotFound("scanner"));
        }
        let mut tx = self.store.begin().await?;
        self.record(&mut tx, caller, "scanner.delete", None, name).await?;
        setting::delete(&mut tx, &name_of(name));
        Ok(self.store.commit(tx).await?)
    }

    /// By which scanners a project goes, or the system where it does not decide; whether it decides itself.
    pub async fn scanners_in(&self, project: Option<ProjectId>) -> Result<(ScannerChoice, bool), Error> {
        if let Some(project) = project
            && let Some(text) = self.store.setting(&choice_of(project)).await?
        {
            return Ok((read(&text)?, true));
        }
        let text = self.store.setting(CHOICE).await?;
        Ok((text.as_deref().map(read).transpose()?.unwrap_or_default(), false))
    }

    /// The same for a caller who may see the project.
    pub async fn project_scanners(
        &self,
        caller: &Caller,
        name_or_id: &ProjectRef,
    ) -> Result<(ScannerChoice, bool), Error> {
        let fact = self.visible_project(caller, name_or_id)?;
        self.scanners_in(Some(fact.id)).await
    }

    /// Decides by which scanners a project goes; none: as the system does.
    pub async fn choose_project_scanners(
        &self,
        caller: &Caller,
        name_or_id: &ProjectRef,
        choice: Option<&ScannerChoice>,
    ) -> Result<(), Error> {
        let fact = self.visible_project(caller, name_or_id)?;
        require_project(self, caller, &fact, Permission::UpdateProject, "choose its scanners")?;
        let mut tx = self.store.begin().await?;
        self.record(&mut tx, caller, "project.scanners", Some(fact.id), &fact.name).await?;
        self.choose(&mut tx, Some(fact.id), choice).await?;
        Ok(self.store.commit(tx).await?)
    }

    /// Decides by which scanners projects go that do not decide; none: by ours.
    pub async fn choose_scanners(
        &self,
        caller: &Caller,
        choice: Option<&ScannerChoice>,
    ) -> Result<(), Error> {
        self.may_change_scanners(caller)?;
        let mut tx = self.store.begin().await?;
        self.record(&mut tx, caller, "system.scanners", None, "").await?;
        self.choose(&mut tx, None, choice).await?;
        Ok(self.store.commit(tx).await?)
    }

    async fn choose(
        &self,
        tx: &mut metadata::Tx,
        project: Option<ProjectId>,
        choice: Option<&ScannerChoice>,
    ) -> Result<(), Error> {
        self.tell(tx, "scanners_chosen", project, &serde_json::json!({ "choice": choice })).await?;
        let name = &project.map_or_else(|| CHOICE.to_owned(), choice_of);
        let Some(choice) = choice else {
            setting::delete(tx, name);
            return Ok(());
        };
        let mut known: BTreeSet<String> =
            self.scanners().await?.into_iter().map(|scanner| scanner.name).collect();
        known.insert(OWN_SCANNER.to_owned());
        let chosen: BTreeSet<&String> = choice.scanners.iter().collect();
        if chosen.is_empty() || chosen.len() != choice.scanners.len() {
            return Err(Error::Invalid("name at least one scanner, and each once".to_owned()));
        }
        if let Some(unknown) = chosen.into_iter().find(|name| !known.contains(*name)) {
            let names: Vec<String> = known.into_iter().collect();
            return Err(Error::Invalid(format!("there is no scanner `{unknown}`, but {}", names.join(", "))));
        }
        setting::put(tx, name, &text_of(choice)?);
        Ok(())
    }

    fn new_uuid(&self) -> String {
        let hex = format!("{:032x}", self.store.random().id128());
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    }
}
