//! The tags of a repository.

use oci::{Page, Tag};

use super::NamePage;
use crate::Registry;
use crate::access::{Grant, Pull};
use crate::error::Error;

impl Registry {
    /// Tags in the specification's order.
    pub async fn list_tags(&self, grant: &Grant<Pull>, page: &Page) -> Result<NamePage, Error> {
        let (limit, repo) = (page.limit(), grant.repo.repository());
        let wanted = limit as usize;
        let mut last = page.last.clone().unwrap_or_default();
        let mut names = Vec::new();
        loop {
            let found = self.store.tag_page(grant.project, repo, &last, limit + 1).await?;
            let (repository, mut found) = found.ok_or(Error::NameUnknown)?;
            let ended = found.len() <= wanted;
            if limit == 0 {
                return Ok(NamePage { names, more: false });
            }
            if grant.tags().is_none() {
                found.truncate(wanted);
                return Ok(NamePage { names: found, more: !ended });
            }
            if let Some(end) = found.last() {
                last.clone_from(end);
            }
            for name in found {
                let shown = match name.parse::<Tag>() {
                    Ok(tag) => self.covers_tag(grant, repository, &tag).await?,
                    Err(_) => false,
                };
                if shown && names.len() == wanted {
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
