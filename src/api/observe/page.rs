//! Writes metrics as Prometheus reads them (OpenMetrics text).

use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;

use super::server_metrics::Labels;

/// The page, to which metrics are added one by one. Each has a name, without the prefix
/// `qianmian_`, a sentence, and its series.
pub(super) struct Page<'e>(pub(super) DescriptorEncoder<'e>);

impl Page<'_> {
    /// Adds a counter.
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels, u64)>,
    ) -> Result<(), Error> {
        self.add(name, help, series.into_iter().map(|(of, n)| (of, ConstCounter::new(n))))
    }

    /// Adds a gauge.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels, f64)>,
    ) -> Result<(), Error> {
        self.add(name, help, series.into_iter().map(|(of, value)| (of, ConstGauge::new(value))))
    }

    /// Adds a histogram.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels, Histogram)>,
    ) -> Result<(), Error> {
        self.add(name, help, series)
    }

    fn add<M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels, M)>,
    ) -> Result<(), Error> {
        let mut series = series.into_iter().peekable();
        let Some((_, first)) = series.peek() else { return Ok(()) };
        let kind = first.metric_type();
        let mut metric = self.0.encode_descriptor(name, help, None, kind)?;
        series.try_for_each(|(labels, value)| value.encode(metric.encode_family(&labels)?))
    }
}
