//! The work beside the requests: what this process did of it, and what waits.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use workers::Figures;

use super::single::gauges;

/// Reads the figures of a runner.
#[derive(Debug)]
pub(super) struct Jobs(pub(super) Arc<Figures>);

impl Collector for Jobs {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.attempts(&mut encoder)?;
        self.backlog(&mut encoder)
    }
}

impl Jobs {
    fn attempts(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let attempts = self.0.attempts();
        let help = "Attempts of jobs that ended in this process, by result";
        let mut ended = encoder.encode_descriptor("bonded_jobs_ended", help, None, MetricType::Counter)?;
        for ((job, result), sum) in &attempts {
            let labels = [("job", *job), ("result", *result)];
            ConstCounter::new(sum.attempts).encode(ended.encode_family(&labels)?)?;
        }
        let help = "Time that these attempts took";
        let mut took = encoder.encode_descriptor("bonded_jobs_seconds", help, None, MetricType::Counter)?;
        for ((job, result), sum) in &attempts {
            let labels = [("job", *job), ("result", *result)];
            ConstCounter::new(sum.seconds).encode(took.encode_family(&labels)?)?;
        }
        let help = "Rounds of duties that failed in this process; the next one tries again";
        let mut duties =
            encoder.encode_descriptor("bonded_duties_failed", help, None, MetricType::Counter)?;
        for (duty, failed) in self.0.failed_duties() {
            ConstCounter::new(failed).encode(duties.encode_family(&[("duty", duty)])?)?;
        }
        Ok(())
    }

    fn backlog(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let backlog = self.0.backlog();
        let help = "Jobs that are not finished, of all processes";
        let mut jobs = encoder.encode_descriptor("bonded_jobs", help, None, MetricType::Gauge)?;
        for ((job, state), count) in &backlog.jobs {
            let labels = [("job", job.as_str()), ("state", state)];
            ConstGauge::new(*count).encode(jobs.encode_family(&labels)?)?;
        }
        let help = "Seconds since the job that waits longest was due, by kind";
        let mut overdue =
            encoder.encode_descriptor("bonded_jobs_overdue_seconds", help, None, MetricType::Gauge)?;
        for (job, seconds) in &backlog.overdue_seconds {
            ConstGauge::new(*seconds).encode(overdue.encode_family(&[("job", job.as_str())])?)?;
        }
        let oldest = backlog.oldest_event_seconds;
        gauges(
            encoder,
            [
                ("bonded_events_waiting", "Events whose reactions were not decided yet", backlog.events),
                ("bonded_events_oldest_seconds", "Seconds that the oldest of them has waited", oldest),
            ],
        )
    }
}
