//! Blobs that were found damaged, for alarms, and the disk that was given back: this process counts what it does, the
//! database all that are out of service.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use registry::Registry;

/// Reads the figures of a registry.
#[derive(Debug)]
pub(super) struct Storage(pub(super) Arc<Registry>);

impl Collector for Storage {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let damage = self.0.damage();
        let [objects, bytes, failed] = self.0.freed().counts();
        for (name, help, value) in [
            (
                "bonded_blobs_quarantined",
                "Blobs that this process found damaged and took out of service",
                damage.quarantined(),
            ),
            ("bonded_objects_deleted", "Objects that this process deleted from storage", objects),
            ("bonded_objects_deleted_bytes", "Bytes of the objects deleted", bytes),
            (
                "bonded_objects_delete_failures",
                "Tries to delete an object that failed and are repeated",
                failed,
            ),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let corrupt = ConstGauge::new(i64::try_from(damage.corrupt()).unwrap_or(i64::MAX));
        let help = "Blobs that are out of service until they are pushed again";
        corrupt.encode(encoder.encode_descriptor(
            "bonded_blobs_corrupt",
            help,
            None,
            corrupt.metric_type(),
        )?)
    }
}
