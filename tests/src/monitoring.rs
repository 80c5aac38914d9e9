//! What the programs tell Prometheus, and what its rules and the dashboard ask of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;

/// What our metrics begin with.
const PREFIX: &str = "meditrustal_";
/// What OpenMetrics puts behind the names of counters and histograms.
const SUFFIXES: [&str; 4] = ["_total", "_bucket", "_sum", "_count"];
/// Labels that Prometheus puts on by itself.
const OF_PROMETHEUS: [&str; 3] = ["instance", "job", "le"];

/// The name of a metric, whichever of its series is meant.
pub fn base(series: &str) -> &str {
    let ends = SUFFIXES.iter().find_map(|end| series.strip_suffix(end));
    ends.unwrap_or(series)
}

/// What `/metrics` answered.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    text: String,
    /// Each series with its labels, and its value.
    pub series: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Scrape {
    /// Reads the text of OpenMetrics.
    pub fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| {
            let (series, value) = line
                .rsplit_once(' ')
                .unwrap_or_else(|| panic!("{line} has no value"));
            let value = value
                .parse()
                .unwrap_or_else(|_| panic!("{line} is no number"));
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels
                .trim_end_matches('}')
                .split("\",")
                .filter_map(|pair| {
                    let (label, value) = pair.split_once("=\"")?;
                    Some((label.to_owned(), value.trim_end_matches('"').to_owned()))
                });
            (name.to_owned(), labels.collect(), value)
        });
        Self {
            text: text.to_owned(),
            series: series.collect(),
        }
    }

    /// As it came.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value of a series of this name that has these labels; `None` where there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let name = format!("{PREFIX}{name}");
        let found = self.series.iter().find(|(series, found, _)| {
            *series == name
                && labels
                    .iter()
                    .all(|(label, value)| found.get(*label).is_some_and(|it| it == value))
        });
        found.map(|(_, _, value)| *value)
    }

    /// The names of counters and histograms, as it declares them.
    pub fn counters(&self) -> BTreeSet<&str> {
        let declared = self.text.lines().filter_map(|line| {
            let (name, kind) = line.strip_prefix("# TYPE ")?.trim().split_once(' ')?;
            ["counter", "histogram"].contains(&kind).then_some(name)
        });
        declared.collect()
    }

    /// The metrics that it declares, with the labels that their series have.
    pub fn metrics(&self) -> BTreeMap<String, BTreeSet<String>> {
        let declared = self.text.lines().filter_map(|line| {
            let name = line.strip_prefix("# TYPE ")?.split(' ').next()?;
            Some((name.to_owned(), BTreeSet::new()))
        });
        let mut metrics: BTreeMap<String, BTreeSet<String>> = declared.collect();
        for (series, labels, _) in &self.series {
            let name = if metrics.contains_key(series) {
                series
            } else {
                base(series)
            };
            let known = metrics
                .get_mut(name)
                .unwrap_or_else(|| panic!("{series} is not declared"));
            known.extend(labels.keys().cloned());
        }
        metrics
    }
}

/// A rule of `ops/prometheus/alerts.yml`.
#[derive(Debug, Clone)]
pub struct AlertRule {
    /// Its name.
    pub name: String,
    /// When it fires.
    pub expression: String,
    /// For how long that has to be so. Unit: minutes.
    pub minutes: u32,
    /// `critical` or `warning`.
    pub severity: String,
    /// What is told.
    pub summary: String,
    /// Where it is written what to do.
    pub runbook: String,
}

fn read(path: &str) -> String {
    let root = dev::repository::root().expect("the tests run inside a clone");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The only document of a YAML text.
fn yaml<'text>(path: &str, text: &'text str) -> Yaml<'text> {
    let mut documents =
        Yaml::load_from_str(text).unwrap_or_else(|error| panic!("{path} is no YAML: {error}"));
    assert_eq!(documents.len(), 1, "{path}");
    documents.remove(0)
}

fn list<'yaml, 'text>(of: &'yaml Yaml<'text>, key: &str) -> &'yaml [Yaml<'text>] {
    let found = of.as_mapping_get(key).and_then(Yaml::as_sequence);
    found.map_or(&[], Vec::as_slice)
}

fn string(of: &Yaml, key: &str) -> String {
    let found = of.as_mapping_get(key).and_then(Yaml::as_str);
    found.unwrap_or_default().to_owned()
}

/// A span of whole minutes, as the rules write it: `90m`, `6h`, `1d`; nothing is none.
pub fn minutes(span: &str) -> u32 {
    if span.is_empty() {
        return 0;
    }
    let (number, unit) = span.split_at(span.len() - 1);
    let each = match unit {
        "m" => 1,
        "h" => 60,
        "d" => 24 * 60,
        _ => panic!("{span} is no span of whole minutes"),
    };
    let number: u32 = number
        .parse()
        .unwrap_or_else(|_| panic!("{span} is no span of whole minutes"));
    number * each
}

/// The rules of alerts.
pub fn rules() -> Vec<AlertRule> {
    const PATH: &str = "ops/prometheus/alerts.yml";
    let text = read(PATH);
    let file = yaml(PATH, &text);
    let mut rules = Vec::new();
    for group in list(&file, "groups") {
        for rule in list(group, "rules") {
            let part = |name: &str, key: &str| {
                let part = rule.as_mapping_get(name);
                part.map(|part| string(part, key)).unwrap_or_default()
            };
            rules.push(AlertRule {
                name: string(rule, "alert"),
                expression: string(rule, "expr"),
                minutes: minutes(&string(rule, "for")),
                severity: part("labels", "severity"),
                summary: part("annotations", "summary"),
                runbook: part("annotations", "runbook_url"),
            });
        }
    }
    rules
}

/// What a case of `ops/prometheus/alerts_test.yml` expects of one alert.
#[derive(Debug, Clone)]
pub struct AlertCase {
    /// The series and their values, in the notation of promtool.
    pub input: Vec<(String, String)>,
    /// When it is looked. Unit: minutes.
    pub minute: u32,
    /// Which alert.
    pub alert: String,
    /// How many times it fires.
    pub firing: usize,
}

/// The cases of `ops/prometheus/alerts_test.yml`.
pub fn cases() -> Vec<AlertCase> {
    const PATH: &str = "ops/prometheus/alerts_test.yml";
    let text = read(PATH);
    let file = yaml(PATH, &text);
    let cases = list(&file, "tests").iter().flat_map(|case| {
        let input: Vec<_> = list(case, "input_series")
            .iter()
            .map(|series| (string(series, "series"), string(series, "values")))
            .collect();
        let checks = list(case, "alert_rule_test").iter();
        checks.map(move |check| AlertCase {
            input: input.clone(),
            minute: minutes(&string(check, "eval_time")),
            alert: string(check, "alertname"),
            firing: list(check, "exp_alerts").len(),
        })
    });
    cases.collect()
}

/// The alerts that a case of `ops/prometheus/alerts_test.yml` fires.
pub fn fired_by_cases() -> BTreeSet<String> {
    let firing = cases().into_iter().filter(|case| case.firing > 0);
    firing.map(|case| case.alert).collect()
}

/// What the panels of the dashboard ask, by their titles.
pub fn panels() -> Vec<(String, String)> {
    let file: Value = serde_json::from_str(&read("ops/grafana/meditrustal.json"))
        .unwrap_or_else(|error| panic!("the dashboard is no JSON: {error}"));
    let panels = file["panels"].as_array().into_iter().flatten();
    let asked = panels.flat_map(|panel| {
        let title = panel["title"].as_str().unwrap_or_default().to_owned();
        let targets = panel["targets"].as_array().into_iter().flatten();
        let expressions = targets.map(|target| target["expr"].as_str().unwrap_or_default());
        expressions
            .map(|it| (title.clone(), it.to_owned()))
            .collect::<Vec<_>>()
    });
    asked.collect()
}

/// What an expression of PromQL names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Our metrics, by [`base`].
    pub metrics: BTreeSet<String>,
    /// Labels, in matchers and in lists, but those of Prometheus.
    pub labels: BTreeSet<String>,
}

/// What an expression names. Anything that is neither a metric of ours, nor `up`, nor a function or word of the
/// language, is a mistake.
pub fn named(expression: &str) -> Named {
    const LISTS: [&str; 3] = ["by", "on", "without"];
    const WORDS: [&str; 17] = [
        "abs",
        "and",
        "bool",
        "bottomk",
        "histogram_quantile",
        "ignoring",
        "max",
        "min",
        "or",
        "rate",
        "sum",
        "time",
        "topk",
        "unless",
        "up",
        "increase",
        "count",
    ];
    let mut named = Named::default();
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_') {
        // A duration, such as [5m], or a number, such as 1e3.
        let is_unit = rest[..start].ends_with(|c: char| c.is_ascii_digit());
        rest = &rest[start..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        if is_unit {
            continue;
        }
        if LISTS.contains(&word) {
            let (inside, after) = between(rest, '(', ')');
            named
                .labels
                .extend(inside.split(',').map(|it| it.trim().to_owned()));
            rest = after;
            continue;
        }
        if let Some(metric) = word.strip_prefix(PREFIX) {
            named.metrics.insert(base(metric).to_owned());
        } else {
            assert!(WORDS.contains(&word), "{word} in {expression}");
        }
        if rest.starts_with('{') {
            let (inside, after) = between(rest, '{', '}');
            let labels = inside
                .split("\",")
                .filter_map(|it| it.split(['=', '!']).next());
            named.labels.extend(labels.map(|it| it.trim().to_owned()));
            rest = after;
        }
    }
    for label in OF_PROMETHEUS {
        named.labels.remove(label);
    }
    named
}

/// What stands between the first pair of brackets, and what comes after it.
fn between(text: &str, open: char, close: char) -> (&str, &str) {
    let (_, inside) = text.split_once(open).unwrap_or(("", ""));
    inside.split_once(close).unwrap_or((inside, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_names_metrics_and_labels() {
        let found = named(
            "max by (instance, part) (rate(meditrustal_a_total{code=~\"X|Y\",field!=\"z\"}[5m])) > 0.5 and meditrustal_b_count",
        );
        let names = |all: &[&str]| all.iter().map(|&it| it.to_owned()).collect();
        assert_eq!(found.metrics, names(&["a", "b"]));
        assert_eq!(found.labels, names(&["code", "field", "part"]));
    }

    #[test]
    fn a_scrape_is_read_as_it_was_written() {
        let text = "# TYPE meditrustal_a counter\nmeditrustal_a_total{x=\"1\",y=\"b c\"} 2\n# TYPE meditrustal_g_count gauge\nmeditrustal_g_count 0.5\n# EOF\n";
        let scrape = Scrape::read(text);
        assert_eq!(scrape.value("a_total", &[("y", "b c")]), Some(2.0));
        assert_eq!(scrape.value("g_count", &[]), Some(0.5));
        assert_eq!(scrape.value("a_total", &[("x", "2")]), None);
        let metrics = scrape.metrics();
        assert_eq!(metrics["meditrustal_a"].len(), 2);
        assert!(metrics["meditrustal_g_count"].is_empty());
    }
}
