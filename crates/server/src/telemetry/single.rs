//! Figures without labels, written when they are asked for.

use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Name, help and value.
type Figure<N> = (&'static str, &'static str, N);

/// Writes counters.
pub(super) fn counters<N: EncodeCounterValue>(
    encoder: &mut DescriptorEncoder<'_>,
    all: impl IntoIterator<Item = Figure<N>>,
) -> Result<(), Error> {
    for (name, help, value) in all {
        let counter = ConstCounter::new(value);
        counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
    }
    Ok(())
}

/// Writes gauges.
pub(super) fn gauges<N: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    all: impl IntoIterator<Item = Figure<N>>,
) -> Result<(), Error> {
    for (name, help, value) in all {
        let gauge = ConstGauge::new(value);
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
    }
    Ok(())
}
