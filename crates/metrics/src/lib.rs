//! What a program counts and measures, as Prometheus reads it: the text of OpenMetrics, at an address of its own.
//!
//! A label has a closed list of values, which is given before anything is counted. A value that is not on the list is
//! counted as [`OTHER`]: nothing that a request brings along, no id and no name, can become a label.

mod serve;

use std::{collections::BTreeSet, fmt::Debug};

use prometheus_client::{
    encoding::{EncodeMetric, text::encode},
    metrics::{
        TypedMetric, counter,
        family::{Family, MetricConstructor},
        gauge, histogram,
    },
    registry::Registry,
};

pub use serve::serve;

/// What every name begins with; an underscore follows.
pub const PREFIX: &str = "meditrustal";
/// The value of a label for everything that is not on its list.
pub const OTHER: &str = "OTHER";

/// A number that only grows. Its name ends in `_total`.
pub type Counter = counter::Counter<u64, std::sync::atomic::AtomicU64>;
/// A number that goes up and down.
pub type Gauge = gauge::Gauge<f64, std::sync::atomic::AtomicU64>;
/// How often a number was how large.
pub type Histogram = histogram::Histogram;

/// The upper bounds of a histogram, in its own unit, smallest first. Counters and gauges have none.
#[derive(Debug, Clone, Copy)]
pub struct Buckets(&'static [f64]);

/// Bounds for how long a request takes. Unit: seconds.
pub const DURATIONS: Buckets = Buckets(&[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
]);
/// Bounds for how long something takes that waits for nothing. Unit: seconds.
pub const COMPUTATIONS: Buckets = Buckets(&[
    1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3,
]);
/// Bounds for how many are served together. Unit: requests.
pub const SIZES: Buckets = Buckets(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]);
const NONE: Buckets = Buckets(&[]);

impl MetricConstructor<Counter> for Buckets {
    fn new_metric(&self) -> Counter {
        Counter::default()
    }
}

impl MetricConstructor<Gauge> for Buckets {
    fn new_metric(&self) -> Gauge {
        Gauge::default()
    }
}

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// A label, and every value that it can have.
#[derive(Debug, Clone)]
pub struct Label {
    name: &'static str,
    values: BTreeSet<String>,
}

impl Label {
    /// A label of these values, and of [`OTHER`].
    pub fn new<T: Into<String>>(name: &'static str, values: impl IntoIterator<Item = T>) -> Self {
        Self {
            name,
            values: values.into_iter().map(Into::into).collect(),
        }
    }

    fn closed(&self, value: &str) -> String {
        if self.values.contains(value) {
            value.to_owned()
        } else {
            OTHER.to_owned()
        }
    }
}

type LabelValues = Vec<(&'static str, String)>;

/// A metric for each combination of the values of its labels.
#[derive(Debug)]
pub struct Labelled<M> {
    labels: Vec<Label>,
    family: Family<LabelValues, M, Buckets>,
}

impl<M: Clone> Labelled<M>
where
    Buckets: MetricConstructor<M>,
{
    /// The metric for these values, in the order of the labels. A value that is missing, or not on its label's list, is
    /// [`OTHER`].
    pub fn with(&self, values: &[&str]) -> M {
        let values = values.iter().copied().chain(std::iter::repeat(OTHER));
        let labels = self.labels.iter().zip(values);
        let labels: LabelValues = labels
            .map(|(label, value)| (label.name, label.closed(value)))
            .collect();
        self.family.get_or_create_owned(&labels)
    }

    /// Makes the metric for every value of its only label, so that each is there, as 0, before anything is counted.
    #[must_use]
    fn complete(self) -> Self {
        if let [label] = self.labels.as_slice() {
            for value in &label.values {
                self.with(&[value]);
            }
        }
        self
    }
}

/// Everything that a program counts and measures.
#[derive(Debug)]
pub struct Metrics(Registry);

impl Default for Metrics {
    fn default() -> Self {
        Self(Registry::with_prefix(PREFIX))
    }
}

/// A help text stands without a full stop: one is added.
impl Metrics {
    /// A counter; `_total` is put behind the name.
    pub fn counter(&mut self, name: &str, help: &str) -> Counter {
        self.register(name, help, Counter::default())
    }

    /// A gauge.
    pub fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        self.register(name, help, Gauge::default())
    }

    /// A histogram.
    pub fn histogram(&mut self, name: &str, help: &str, buckets: Buckets) -> Histogram {
        self.register(name, help, buckets.new_metric())
    }

    /// Counters with labels; of a single label, each value begins at 0.
    pub fn counters(&mut self, name: &str, help: &str, labels: &[Label]) -> Labelled<Counter> {
        self.labelled(name, help, labels, NONE).complete()
    }

    /// Gauges with labels; of a single label, each value begins at 0.
    pub fn gauges(&mut self, name: &str, help: &str, labels: &[Label]) -> Labelled<Gauge> {
        self.labelled(name, help, labels, NONE).complete()
    }

    /// Gauges with labels, each of which is there once it is known.
    pub fn known_gauges(&mut self, name: &str, help: &str, labels: &[Label]) -> Labelled<Gauge> {
        self.labelled(name, help, labels, NONE)
    }

    /// Histograms with labels, each of which is there once something was observed.
    pub fn histograms(
        &mut self,
        name: &str,
        help: &str,
        labels: &[Label],
        buckets: Buckets,
    ) -> Labelled<Histogram> {
        self.labelled(name, help, labels, buckets)
    }

    fn labelled<M>(
        &mut self,
        name: &str,
        help: &str,
        labels: &[Label],
        buckets: Buckets,
    ) -> Labelled<M>
    where
        M: Clone + Debug + EncodeMetric + TypedMetric + Send + Sync + 'static,
        Buckets: MetricConstructor<M>,
    {
        let family = Family::new_with_constructor(buckets);
        Labelled {
            labels: labels.to_vec(),
            family: self.register(name, help, family),
        }
    }

    fn register<M>(&mut self, name: &str, help: &str, metric: M) -> M
    where
        M: Clone + Debug + EncodeMetric + Send + Sync + 'static,
    {
        self.0.register(name, help, metric.clone());
        metric
    }

    /// All of it, as `/metrics` tells it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a text cannot fail.
        encode(&mut text, &self.0).ok();
        text
    }
}

/// A whole number as a metric has it: exact below 2⁵³.
#[expect(
    clippy::cast_precision_loss,
    reason = "it is only shown, and exact below 2⁵³"
)]
pub fn number(value: i64) -> f64 {
    value as f64
}

/// 1 where it is so.
pub fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_on_the_list_of_a_label_is_counted_as_other() {
        let mut metrics = Metrics::default();
        let fields = Label::new("field", ["me", "records"]);
        let codes = Label::new("code", ["BUSY"]);
        let failures = metrics.counters("failures", "Fields that failed", &[fields, codes]);

        failures.with(&["me", "BUSY"]).inc();
        failures.with(&["me", "f5a1c0de-1111"]).inc();
        failures.with(&["ana@example.org", "BUSY"]).inc();
        failures.with(&[]).inc();

        let text = metrics.text();
        for line in [
            "meditrustal_failures_total{field=\"me\",code=\"BUSY\"} 1",
            "meditrustal_failures_total{field=\"me\",code=\"OTHER\"} 1",
            "meditrustal_failures_total{field=\"OTHER\",code=\"BUSY\"} 1",
            "meditrustal_failures_total{field=\"OTHER\",code=\"OTHER\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(!text.contains("ana") && !text.contains("f5a1"), "{text}");
    }

    #[test]
    fn bounds_of_computations_tell_microseconds_apart() {
        let mut metrics = Metrics::default();
        let checks = metrics.histogram("check_seconds", "Checks", COMPUTATIONS);

        checks.observe(0.000_002);
        checks.observe(0.000_04);

        let text = metrics.text();
        let counted = |bound: f64| {
            let buckets = text.lines().filter_map(|line| {
                let rest = line.strip_prefix("meditrustal_check_seconds_bucket{le=\"")?;
                rest.split_once("\"} ")
            });
            let mut of = buckets.filter(|(le, _)| le.parse::<f64>() == Ok(bound));
            of.next().map(|(_, count)| count.to_owned())
        };
        assert_eq!(counted(1e-6).as_deref(), Some("0"), "{text}");
        assert_eq!(counted(2.5e-6).as_deref(), Some("1"), "{text}");
        assert_eq!(counted(2.5e-5).as_deref(), Some("1"), "{text}");
        assert_eq!(counted(5e-5).as_deref(), Some("2"), "{text}");
    }

    #[test]
    fn a_single_label_begins_at_zero_and_a_histogram_counts() {
        let mut metrics = Metrics::default();
        let parts = [Label::new("part", ["node", "clock"])];
        let _failing = metrics.gauges("failing", "Parts that fail", &parts);
        let sizes = metrics.histograms("batch_size", "Requests of a batch", &parts, SIZES);
        metrics.gauge("fee", "The fee").set(1.5);

        sizes.with(&["node"]).observe(3.0);

        let text = metrics.text();
        for line in [
            "# TYPE meditrustal_failing gauge",
            "meditrustal_failing{part=\"clock\"} 0",
            "meditrustal_batch_size_bucket{le=\"4.0\",part=\"node\"} 1",
            "meditrustal_batch_size_count{part=\"node\"} 1",
            "meditrustal_fee 1.5",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
