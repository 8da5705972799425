//! The tags of a repository.

use oci::Page;

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
        let last = page.last.as_deref().unwrap_or_default();
        let mut names = self.store.tag_names(repository.id, last, limit + 1).await?;
        let more = names.len() > limit as usize;
        names.truncate(limit as usize);
        Ok(NamePage { names, more })
    }
}
