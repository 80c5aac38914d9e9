//! Alerts, dashboard and runbook fit together. Whether a rule fires when it should, promtool says by the cases of
//! `ops/prometheus/alerts_test.yml`, which `cargo dev tools --test` brings, and `tests::prometheus` by an evaluation of its own; that the programs export what is
//! asked for, `tests/tests/e2e/monitoring.rs` says by asking them, and that they fire it, `tests/tests/e2e/alerts.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use dev::tools::Tools;
use domain::monitoring::CheckName;
use tests::World;
use tests::monitoring::{fired_by_cases, named, panels, rules};
use tests::prometheus::promtool;

use super::catalogue;

fn read(path: &str) -> String {
    let root = dev::repository::root().expect("the tests run inside a clone");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_alert_says_what_it_is_and_leads_to_what_to_do() {
    let runbook = read("docs/runbook.md");
    let sections: BTreeSet<_> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .filter(|heading| !heading.contains(' '))
        .map(str::to_owned)
        .collect();
    let rules = rules();
    assert!(rules.len() > 30, "the rules were not understood");

    for rule in &rules {
        let wanted = format!("docs/runbook.md#{}", rule.name.to_lowercase());
        assert_eq!(rule.runbook, wanted, "{}", rule.name);
        assert!(!rule.summary.is_empty(), "{}", rule.name);
        let severities = ["critical", "warning"];
        assert!(
            severities.contains(&rule.severity.as_str()),
            "{}",
            rule.name
        );
    }

    let names: BTreeSet<_> = rules.iter().map(|rule| rule.name.clone()).collect();
    assert_eq!(names.len(), rules.len(), "an alert stands twice");
    assert_eq!(
        sections, names,
        "docs/runbook.md beside ops/prometheus/alerts.yml"
    );
    assert_eq!(fired_by_cases(), names, "alerts_test.yml beside alerts.yml");
    // Links inside the runbook lead to a section of it.
    let anchors = runbook
        .split("](#")
        .skip(1)
        .filter_map(|it| it.split(')').next());
    let headings = runbook.lines().filter_map(|line| line.strip_prefix("## "));
    let known: BTreeSet<_> = headings
        .map(|it| it.to_lowercase().replace(' ', "-").replace('`', ""))
        .collect();
    let missing: Vec<_> = anchors.filter(|it| !known.contains(*it)).collect();
    assert!(missing.is_empty(), "the runbook leads nowhere: {missing:?}");
}

#[test]
fn every_metric_that_is_asked_for_is_made_somewhere() {
    let sources = [
        "api/src/instruments.rs",
        "api/src/instruments/sampled.rs",
        "api/src/commands/health.rs",
        "indexer/src/instruments.rs",
    ];
    let sources = sources.map(read).concat();
    let asked = rules()
        .into_iter()
        .map(|rule| (rule.name, rule.expression))
        .chain(panels());

    let mut count = 0;
    for (of, expression) in asked {
        let found = named(&expression);
        for metric in &found.metrics {
            assert!(
                sources.contains(&format!("\"{metric}\"")),
                "{of} asks for {metric}, which nothing makes: {expression}"
            );
            count += 1;
        }
        for label in &found.labels {
            assert!(
                sources.contains(&format!("Label::new(\"{label}\""))
                    || sources.contains(&format!("\"{label}\"")),
                "{of} asks for the label {label}, which nothing has: {expression}"
            );
        }
    }
    assert!(count > 80, "few were found: {count}");
}

#[test]
fn every_check_stands_in_the_runbook() {
    let runbook = read("docs/runbook.md");
    let (_, table) = runbook
        .split_once("## The checks of `meditrustal health`")
        .expect("the runbook has the table");
    let rows = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rows: Vec<_> = rows.collect();
    let names: Vec<_> = CheckName::ALL.iter().map(|name| name.as_str()).collect();

    assert_eq!(rows, names, "docs/runbook.md beside domain::monitoring");
}

#[tokio::test]
async fn every_table_is_a_value_of_the_label() {
    let world = World::start().await;
    let shape = catalogue::shape(&world).await;
    let tables: BTreeSet<_> = shape
        .iter()
        .filter_map(|line| line.split("  ").next())
        .collect();

    let known: BTreeSet<_> = store::monitoring::TABLES.into_iter().collect();
    assert_eq!(
        known, tables,
        "store::monitoring::TABLES beside the database"
    );
}

#[test]
fn promtool_takes_the_rules_and_every_case_fires_its_alert() {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let promtool = promtool().map_or_else(|| Tools::promtool(&root), Ok);
    let promtool = promtool.unwrap_or_else(|error| panic!("{error}"));
    for arguments in [
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ] {
        let output = Command::new(&promtool)
            .args(arguments)
            .current_dir(root.join("ops/prometheus"))
            .output()
            .expect("promtool starts");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "promtool {arguments:?}: {said}");
    }
}

/// Alerts that nothing fires which a test can do in a minute, and why.
const NOT_FIRED: [(&str, &str); 0] = [];

#[test]
fn every_alert_is_fired_by_the_programs_themselves_or_it_is_said_why_not() {
    let tests = read("tests/tests/e2e/alerts.rs");
    let rules = rules();
    for rule in &rules {
        let is_fired = tests.contains(&format!("\"{}\"", rule.name));
        let is_left_out = NOT_FIRED.iter().any(|(alert, _)| *alert == rule.name);
        assert!(
            is_fired != is_left_out,
            "{} is to be fired in tests/tests/e2e/alerts.rs, or to stand in NOT_FIRED with the reason",
            rule.name
        );
    }
    for (alert, reason) in NOT_FIRED {
        let is_known = rules.iter().any(|rule| rule.name == alert);
        assert!(is_known && !reason.is_empty(), "{alert}");
    }
}
