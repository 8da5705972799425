//! The tags of a repository.

use oci::{Page, Tag};

use super::NamePage;
use crate::Registry;
use crate::access::{Grant, Pull};
use crate::error::Error;

impl Registry {
    /// Tags in the specification's order.
    pub async fn list_tags(&self, grant: &Grant<Pull>, page: &Page) -> Result<NamePage, Error> {
        let repository = self.store.repository(grant.project, grant.repo.repository()).await?;
        let repository = repository.ok_or(Error::NameUnknown)?;
        let limit = page.limit();
        if limit == 0 {
            return Ok(NamePage { names: Vec::new(), more: false });
        }
        if grant.tags().is_none() {
            let last = page.last.as_deref().unwrap_or_default();
            let mut names = self.store.tag_names(repository.id, last, limit + 1).await?;
            let more = names.len() > limit as usize;
            names.truncate(limit as usize);
            return Ok(NamePage { names, more });
        }
        let mut last = page.last.clone().unwrap_or_default();
        let mut names = Vec::new();
        loop {
            let found = self.store.tag_names(repository.id, &last, limit + 1).await?;
            let ended = found.len() <= limit as usize;
            if let Some(end) = found.last() {
                last.clone_from(end);
            }
            for name in found {
                let shown = match name.parse::<Tag>() {
                    Ok(tag) => self.covers_tag(grant, repository.id, &tag).await?,
                    Err(_) => false,
                };
                if shown && names.len() == limit as usize {
                    return Ok(NamePage { names, more: true });
                }
                names.extend(shown.then_some(name));
            }
            if ended {
                return Ok(NamePage { names, more: false });
            }
        }
    }
}
