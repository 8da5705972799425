//! The token service (Docker's token authentication): access tokens whose scope is what was asked for, cut to what
//! the principal may do; refresh tokens; anonymous tokens for public projects.
//!
//! A token never widens anything: each request is decided by the principal's rights of that moment, within the scope.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, Header, Validation};
use metadata::model::keys::{self, RefreshRow};
use oci::RepoName;
use policy::Permission;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Authenticator, KnownToken};
use crate::caller::{Principal, SCANNER, ScopeEntry, ScopeTarget};
use crate::error::Error;

/// Clocks of issuer and verifier may differ by so much, in seconds.
pub const LEEWAY_SECS: i64 = 60;

/// Most scope entries of one request.
pub const MAX_SCOPES: usize = 100;

/// The service's name in challenges and tokens.
pub const SERVICE: &str = "bonded";

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: String,
    /// The principal's id; none for anonymous tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i64>,
    /// The principal's epoch.
    epoch: i64,
    access: Vec<ClaimedAccess>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ClaimedAccess {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    actions: Vec<String>,
}

/// The answer of the token service.
#[derive(Debug, Serialize)]
pub struct TokenAnswer {
    /// The access token.
    pub token: String,
    /// The same again, as OAuth2 names it.
    pub access_token: String,
    /// Its life in seconds.
    pub expires_in: u64,
    /// When it was issued, RFC 3339.
    pub issued_at: String,
    /// A token for getting further access tokens, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// The scope granted, for the OAuth2 form.
    pub scope: String,
}

/// Parses `scope` values, each one or more `type:name:actions` divided by spaces. What is no repository or catalog
/// scope is left out.
pub fn parse_scopes<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Vec<ScopeEntry>, Error> {
    let mut entries: Vec<ScopeEntry> = Vec::new();
    for text in values.into_iter().flat_map(str::split_ascii_whitespace) {
        if entries.len() >= MAX_SCOPES {
            return Err(Error::Invalid(format!("a token has at most {MAX_SCOPES} scopes")));
        }
        let Some(entry) = parse_scope(text) else { continue };
        match entries.iter_mut().find(|known| known.target == entry.target) {
            Some(known) => {
                known.pull |= entry.pull;
                known.push |= entry.push;
                known.delete |= entry.delete;
            }
            None => entries.push(entry),
        }
    }
    Ok(entries)
}

fn parse_scope(text: &str) -> Option<ScopeEntry> {
    let (kind, rest) = text.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let kind = kind.split('(').next().unwrap_or_default();
    let target = match kind {
        "repository" => ScopeTarget::Repository(name.parse().ok()?),
        "registry" if name == "catalog" => ScopeTarget::Catalog,
        _ => return None,
    };
    let has = |wanted: &str| actions.split(',').any(|action| action == wanted || action == "*");
    Some(ScopeEntry { target, pull: has("pull"), push: has("push"), delete: has("delete") })
}

impl Authenticator {
    /// Issues an access token to `principal` for what of `asked` it may do.
    pub async fn issue(&self, principal: &Principal, asked: Vec<ScopeEntry>) -> Result<TokenAnswer, Error> {
        let mut granted = Vec::new();
        for entry in asked {
            granted.extend(self.cut(principal, entry).await?);
        }
        let facts = self.access.facts();
        let epoch = principal.id.and_then(|id| facts.principal(id)).map_or(0, |fact| fact.row.epoch);
        let name = principal.id.map_or_else(String::new, |_| principal.name.to_string());
        self.sign(name, principal.id, epoch, &granted)
    }

    /// Issues a token to a scanner that was asked to look at something in `repo`: it pulls from there and does nothing
    /// else, whoever may pull from there.
    pub fn issue_to_scanner(&self, repo: &RepoName) -> Result<TokenAnswer, Error> {
        let target = ScopeTarget::Repository(repo.clone());
        let entry = ScopeEntry { target, pull: true, push: false, delete: false };
        self.sign(SCANNER.to_owned(), None, 0, &[entry])
    }

    fn sign(
        &self,
        name: String,
        principal: Option<metadata::model::PrincipalId>,
        epoch: i64,
        granted: &[ScopeEntry],
    ) -> Result<TokenAnswer, Error> {
        let now = self.store.now();
        let ttl = self.settings.token_ttl;
        let access: Vec<ClaimedAccess> = granted.iter().map(claim).collect();
        let scope: Vec<String> = access
            .iter()
            .map(|item| format!("{}:{}:{}", item.kind, item.name, item.actions.join(",")))
            .collect();
        let claims = Claims {
            iss: SERVICE.to_owned(),
            sub: name,
            aud: SERVICE.to_owned(),
            exp: now.secs() + i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX / 2),
            nbf: now.secs() - 10,
            iat: now.secs(),
            jti: format!("{:032x}", self.store.random().id128()),
            pid: principal.map(metadata::model::PrincipalId::get),
            epoch,
            access,
        };
        let key = self.keys.signer()?;
        let header = Header { kid: Some(key.kid()), ..Header::new(Algorithm::EdDSA) };
        let token = jsonwebtoken::encode(&header, &claims, &key.encoding)
            .map_err(|error| Error::Internal(error.to_string()))?;
        Ok(TokenAnswer {
            access_token: token.clone(),
            token,
            expires_in: ttl.as_secs(),
            issued_at: now.to_string(),
            refresh_token: None,
            scope: scope.join(" "),
        })
    }

    /// Issues a refresh token to a signed-in principal. It works until it expires or the principal's password, state
    /// or existence changes. It is not replaced at use: Docker's clients keep the first one.
    pub async fn issue_refresh(&self, principal: &Principal) -> Result<Option<String>, Error> {
        let Some(id) = principal.id else { return Ok(None) };
        let facts = self.access.facts();
        let Some(fact) = facts.principal(id) else { return Err(Error::InvalidCredentials) };
        let mut secret = [0; 32];
        self.store.random().fill(&mut secret);
        let token = format!("bonded_rt_{}", data_encoding::BASE64URL_NOPAD.encode(&secret));
        let row = RefreshRow {
            family: self.store.next_id().await?,
            principal: id,
            epoch: fact.row.epoch,
            expires_at: self.store.now().plus(self.settings.refresh_ttl),
        };
        let mut tx = self.store.begin().await?;
        keys::insert_refresh(&mut tx, &Sha256::digest(token.as_bytes()), &row);
        self.store.commit(tx).await?;
        Ok(Some(token))
    }

    /// The principal of a refresh token.
    pub async fn redeem_refresh(&self, token: &str) -> Result<Principal, Error> {
        let row = self.store.refresh_token(&Sha256::digest(token.as_bytes())).await?;
        let row = row.filter(|row| row.expires_at > self.store.now()).ok_or(Error::InvalidCredentials)?;
        let name = self.live_name(row.principal, row.epoch).await?;
        Ok(Principal { id: Some(row.principal), name, scope: None, address: None })
    }

    async fn cut(&self, principal: &Principal, asked: ScopeEntry) -> Result<Option<ScopeEntry>, Error> {
        let ScopeTarget::Repository(repo) = &asked.target else { return Ok(Some(asked)) };
        let mut entry = self.restrict(principal, repo, &asked);
        if entry != asked && self.access.refresh(self.access.facts().generation()).await? {
            entry = self.restrict(principal, repo, &asked);
        }
        Ok((entry.pull || entry.push || entry.delete).then_some(entry))
    }

    fn restrict(&self, principal: &Principal, repo: &RepoName, asked: &ScopeEntry) -> ScopeEntry {
        let own = self.access.own_on(principal, repo);
        let creates = self.settings.create_projects_on_push
            && self.access.facts().project_named(repo.project()).is_none()
            && self.access.own_in(principal, None).has(Permission::CreateProject);
        ScopeEntry {
            target: asked.target.clone(),
            pull: asked.pull && (own.has(Permission::Pull) || creates),
            push: asked.push && (own.has(Permission::Push) || creates),
            delete: asked.delete && own.has(Permission::Delete),
        }
    }

    pub(super) async fn verify_token(&self, token: &str) -> Result<KnownToken, Error> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Error::InvalidCredentials)?;
        let kid = header.kid.filter(|kid| kid.len() <= 20).ok_or(Error::InvalidCredentials)?;
        let key = self.keys.verifier(&kid).await?.ok_or(Error::InvalidCredentials)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[SERVICE]);
        validation.set_issuer(&[SERVICE]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss"]);
        // Times are compared below, with the injected clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation)
            .map_err(|_| Error::InvalidCredentials)?
            .claims;
        let now = self.store.now().secs();
        if claims.exp + LEEWAY_SECS < now || claims.nbf > now + LEEWAY_SECS {
            return Err(Error::InvalidCredentials);
        }
        let scope: Arc<[ScopeEntry]> = claims.access.iter().filter_map(unclaim).collect();
        Ok(KnownToken {
            principal: claims.pid.map(Into::into),
            scanner: claims.pid.is_none() && claims.sub == SCANNER,
            epoch: claims.epoch,
            expires_at_secs: claims.exp,
            scope,
        })
    }
}

fn claim(entry: &ScopeEntry) -> ClaimedAccess {
    let (kind, name) = match &entry.target {
        ScopeTarget::Repository(repo) => ("repository", repo.asked().to_owned()),
        ScopeTarget::Catalog => ("registry", "catalog".to_owned()),
    };
    let actions = match entry.target {
        ScopeTarget::Catalog => vec!["*".to_owned()],
        ScopeTarget::Repository(_) => [("pull", entry.pull), ("push", entry.push), ("delete", entry.delete)]
            .into_iter()
            .filter(|(_, granted)| *granted)
            .map(|(action, _)| action.to_owned())
            .collect(),
    };
    ClaimedAccess { kind: kind.to_owned(), name, actions }
}

fn unclaim(access: &ClaimedAccess) -> Option<ScopeEntry> {
    parse_scope(&format!("{}:{}:{}", access.kind, access.name, access.actions.join(",")))
}
