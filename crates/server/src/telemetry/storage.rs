//! Blobs that were found damaged, for alarms, and the disk that was given back: this process counts what it does, the
//! database all that are out of service.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use registry::Registry;

use super::single::{counters, gauges};

/// Reads the figures of a registry.
#[derive(Debug)]
pub(super) struct Storage(pub(super) Arc<Registry>);

impl Collector for Storage {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let damage = self.0.damage();
        let [objects, bytes, failed] = self.0.freed().counts();
        let (found, out) = (damage.quarantined(), damage.corrupt());
        counters(
            &mut encoder,
            [
                (
                    "bonded_blobs_quarantined",
                    "Blobs that this process found damaged and took out of service",
                    found,
                ),
                ("bonded_objects_deleted", "Objects that this process deleted from storage", objects),
                ("bonded_objects_deleted_bytes", "Bytes of the objects deleted", bytes),
                (
                    "bonded_objects_delete_failures",
                    "Tries to delete an object that failed and are repeated",
                    failed,
                ),
            ],
        )?;
        let help = "Blobs that are out of service until they are pushed again";
        gauges(&mut encoder, [("bonded_blobs_corrupt", help, out)])
    }
}
