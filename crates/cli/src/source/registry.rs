//! An image of a registry, read by `vuln` as the files of an OCI layout (`upstream::RemoteImage`).

use std::io::{self, Read};
use std::time::Duration;

use upstream::{Allowance, Registry, RemoteImage};
use vuln::image::Files;

/// A repository as files, and the runtime that fetches them.
pub(crate) struct Remote {
    image: RemoteImage,
    /// Ends after the image: it drives its connections.
    _runtime: tokio::runtime::Runtime,
}

impl Remote {
    /// Fetches the manifest that the reference names; everything is to be fetched within `allowed`.
    pub(crate) fn open(
        runtime: tokio::runtime::Runtime,
        registry: Registry,
        allowed: Duration,
    ) -> anyhow::Result<Self> {
        // Who names an image here has the disk for it.
        let allowance = Allowance { time: allowed, bytes: u64::MAX };
        let image = RemoteImage::open(runtime.handle().clone(), registry, allowance)?;
        Ok(Self { image, _runtime: runtime })
    }
}

impl Files for Remote {
    fn open(&self, path: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        self.image.open_file(path)
    }
}
