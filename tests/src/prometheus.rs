//! What Prometheus makes of what it scrapes: which alerts of `ops/prometheus/alerts.yml` fire.
//!
//! Two looks at the same programs are made into hours: whatever was counted between the two is counted again in each minute, a
//! gauge stays as it was told last, and a time that was renewed between them is renewed each minute. So an alert with `for: 1d`
//! is asked in a test of a minute, by its own expression.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use dev::scratch::Scratch;
use serde_json::json;

use crate::monitoring::{AlertRule, Scrape, base, rules};
use crate::promql::{Expression, Labels, Series};

/// For how long it goes on as it was seen: a day, which an alert waits at most, and what ranges look back. Unit: minutes.
const LAST: u32 = 1_500;

/// A program that is scraped, and what it told at two times.
#[derive(Debug, Clone)]
pub struct Target {
    /// The job, such as `meditrustal-api`.
    pub job: &'static str,
    /// Which one of the job.
    pub instance: &'static str,
    /// What it told first; `None` where nobody answered.
    pub earlier: Option<Scrape>,
    /// What it told later.
    pub later: Option<Scrape>,
}

impl Target {
    /// What Prometheus would hold of it. `now` is when it told the later part, in seconds since 1970; that is minute 0.
    fn series(&self, now: f64) -> Vec<Series> {
        let with = |labels: &Labels| {
            let mut labels = labels.clone();
            labels.insert("job".to_owned(), self.job.to_owned());
            labels.insert("instance".to_owned(), self.instance.to_owned());
            labels
        };
        let series = |name: &str, labels: &Labels, start: f64, step: f64| Series {
            name: name.to_owned(),
            labels: with(labels),
            start,
            step,
            last: LAST,
        };
        let is_up = f64::from(u8::from(self.later.is_some()));
        let mut all = vec![series("up", &Labels::new(), is_up, 0.0)];
        let Some(later) = &self.later else {
            return all;
        };
        let before: BTreeMap<(&str, &Labels), f64> = self
            .earlier
            .iter()
            .flat_map(|scrape| &scrape.series)
            .map(|(name, labels, value)| ((name.as_str(), labels), *value))
            .collect();
        let counters = later.counters();
        for (name, labels, value) in &later.series {
            let was = before.get(&(name.as_str(), labels)).copied();
            let is_counter = counters.contains(name.as_str()) || counters.contains(base(name));
            let (start, step) = if is_counter {
                (*value, (value - was.unwrap_or(0.0)).max(0.0))
            } else if name.ends_with("_timestamp_seconds") {
                let is_renewed = was.is_none_or(|was| *value > was);
                (value - now, if is_renewed { 60.0 } else { 0.0 })
            } else {
                (*value, 0.0)
            };
            all.push(series(name, labels, start, step));
        }
        all
    }
}

/// How many times an alert fires in a minute: for each series of which its expression was true, without a gap, for as long as the
/// rule says.
fn fires(rule: &AlertRule, series: &[Series], minute: u32) -> usize {
    let expression = Expression::parse(&rule.expression);
    let mut all: Option<BTreeSet<Labels>> = None;
    for minute in minute.saturating_sub(rule.minutes)..=minute {
        let now = expression.vector(series, minute).into_iter();
        let now: BTreeSet<Labels> = now.map(|(labels, _)| labels).collect();
        all = Some(match all {
            None => now,
            Some(before) => &before & &now,
        });
    }
    all.map_or(0, |all| all.len())
}

/// The series that the rules ask for, of all of these programs.
fn asked(targets: &[Target], rules: &[AlertRule], now: f64) -> Vec<Series> {
    let all = targets.iter().flat_map(|target| target.series(now));
    all.filter(|it| rules.iter().any(|rule| rule.expression.contains(&it.name)))
        .collect()
}

/// The alerts that fire when it goes on as it was seen, which was just now. Where this machine has promtool, it has to say the same.
pub fn firing(targets: &[Target]) -> BTreeSet<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("it is after 1970").as_secs_f64();
    let rules = rules();
    let series = asked(targets, &rules, now);
    let fired: BTreeSet<String> = rules
        .iter()
        .filter(|rule| {
            let its = series
                .iter()
                .filter(|it| rule.expression.contains(&it.name));
            let its: Vec<_> = its.cloned().collect();
            fires(rule, &its, LAST) > 0
        })
        .map(|rule| rule.name.clone())
        .collect();
    if let Some(promtool) = promtool() {
        promtool_agrees(&promtool, &series, &rules, &fired);
    }
    fired
}

/// `promtool`, where this machine has one: named by `MEDITRUSTAL_PROMTOOL`, or in `PATH`.
pub fn promtool() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("MEDITRUSTAL_PROMTOOL") {
        return Some(PathBuf::from(named));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join("promtool"))
        .find(|file| file.is_file())
}

/// Has promtool evaluate the same rules over the same series.
fn promtool_agrees(
    promtool: &Path,
    series: &[Series],
    rules: &[AlertRule],
    fired: &BTreeSet<String>,
) {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let series = series.iter().map(|it| {
        let (series, values) = it.notation();
        json!({ "series": series, "values": values })
    });
    let checks = rules.iter().map(|rule| {
        let alert = format!("ALERTS{{alertname=\"{}\",alertstate=\"firing\"}}", rule.name);
        let samples = if fired.contains(&rule.name) {
            json!([{ "labels": "{}", "value": 1 }])
        } else {
            json!([])
        };
        json!({
            "expr": format!("count({alert}) > bool 0"), "eval_time": format!("{LAST}m"), "exp_samples": samples,
        })
    });
    let test = json!({
        "rule_files": [root.join("ops/prometheus/alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [{
            "interval": "1m",
            "input_series": series.collect::<Vec<_>>(),
            "promql_expr_test": checks.collect::<Vec<_>>(),
        }],
    });
    let scratch = Scratch::new("alerts").expect("there is room for a file");
    let file = scratch.path().join("test.yml");
    // What is JSON is YAML.
    fs::write(&file, test.to_string()).expect("there is room for a file");
    let output = Command::new(promtool)
        .args(["test", "rules"])
        .arg(&file)
        .output()
        .expect("promtool starts");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success(),
        "promtool sees it otherwise: {said}"
    );
}

#[cfg(test)]
mod tests {
    use super::{Target, fires, rules};
    use crate::monitoring::{Scrape, cases};
    use crate::promql::Series;

    #[test]
    fn every_case_of_promtool_fires_what_it_expects() {
        let rules = rules();
        let cases = cases();
        assert!(cases.len() > 70, "few were found: {}", cases.len());
        for case in cases {
            let series = case.input.iter();
            let series: Vec<_> = series
                .map(|(it, values)| Series::read(it, values))
                .collect();
            let rule = rules.iter().find(|rule| rule.name == case.alert);
            let rule = rule.unwrap_or_else(|| panic!("there is no alert {}", case.alert));

            let fired = fires(rule, &series, case.minute);

            assert_eq!(fired, case.firing, "{} at {} m", case.alert, case.minute);
        }
    }

    #[test]
    fn counters_go_on_and_gauges_stay_and_a_time_is_renewed_or_is_not() {
        let told = |errors: u32, renewed: u32| {
            Scrape::read(&format!(
                "# TYPE meditrustal_errors counter\nmeditrustal_errors_total{{code=\"A\"}} {errors}\n\
                 # TYPE meditrustal_lag gauge\nmeditrustal_lag {errors}\n\
                 # TYPE meditrustal_sampled_timestamp_seconds gauge\nmeditrustal_sampled_timestamp_seconds {renewed}\n"
            ))
        };
        let of = |later: Option<Scrape>| Target {
            job: "api",
            instance: "a",
            earlier: Some(told(2, 100)),
            later,
        };
        let told_of = |target: &Target| -> Vec<String> {
            let series = target.series(160.0);
            series.iter().map(|it| it.notation().1).collect()
        };
        let [renewed, old] = [150, 100].map(|at| told_of(&of(Some(told(5, at)))));

        assert_eq!(renewed, ["1+0x1500", "5+3x1500", "5+0x1500", "-10+60x1500"]);
        assert_eq!(old[3], "-60+0x1500");
        assert_eq!(told_of(&of(None)), ["0+0x1500"]);
    }
}
