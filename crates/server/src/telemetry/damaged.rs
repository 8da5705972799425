//! Blobs that were found damaged, for alarms: this process counts what it finds, the database all that are out of service.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use registry::Damage;

/// Reads the figures of a registry.
#[derive(Debug)]
pub(super) struct Damaged(pub(super) Arc<Damage>);

impl Collector for Damaged {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let found = ConstCounter::new(self.0.quarantined());
        let help = "Blobs that this process found damaged and took out of service";
        found.encode(encoder.encode_descriptor(
            "bonded_blobs_quarantined",
            help,
            None,
            found.metric_type(),
        )?)?;
        let corrupt = ConstGauge::new(i64::try_from(self.0.corrupt()).unwrap_or(i64::MAX));
        let help = "Blobs that are out of service until they are pushed again";
        corrupt.encode(encoder.encode_descriptor(
            "bonded_blobs_corrupt",
            help,
            None,
            corrupt.metric_type(),
        )?)?;
        Ok(())
    }
}
