//! Documents of the largest size, made to be slow: work must grow with size, not its square.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::time::{Duration, Instant};

use fhir::summary::{Summary, summarise};
use fhir::{RecordType, canonical, reader, validate};

/// Far more than linear work takes unoptimised, far less than quadratic work does.
const ENOUGH: Duration = Duration::from_secs(5);

/// `open`, then as many items as fit into the largest document, then `close`.
fn largest(open: &str, item: impl Fn(usize) -> String, close: &str) -> String {
    let mut document = open.to_owned();
    for index in 0.. {
        let next = item(index);
        if document.len() + next.len() + close.len() + 1 > reader::MAX_BYTES {
            break;
        }
        if index > 0 {
            document.push(',');
        }
        document += &next;
    }
    document + close
}

fn contained(count: usize) -> String {
    let one = |index: usize| format!(r#"{{"resourceType":"Patient","id":"c{index}"}}"#);
    (0..count).map(one).collect::<Vec<_>>().join(",")
}

#[test]
fn the_largest_documents_are_read_checked_and_written_in_time() {
    let list = r#"{"resourceType":"List","status":"current","mode":"working""#;
    let observation = r#"{"resourceType":"Observation","status":"final","valueString":"a""#;
    let coding = |index: usize| format!(r#"{{"system":"urn:s","code":"c{index}"}}"#);
    let codings = (0..9_000).map(coding).collect::<Vec<_>>().join(",");
    let documents = [
        largest("[", |_| "[]".to_owned(), "]"),
        largest("{", |index| format!("\"k{index}\":0"), "}"),
        largest("{", |index| format!("\"_k{index}\":0"), "}"),
        largest(&format!("{list},\"entry\":["), |_| "{}".to_owned(), "]}"),
        largest(
            &format!("{list},\"contained\":[{}],\"entry\":[", contained(10_000)),
            |index| format!(r##"{{"item":{{"reference":"#c{index}"}}}}"##),
            "]}",
        ),
        largest(
            &format!("{observation},\"code\":{{\"coding\":[{codings}]}},\"component\":["),
            |index| format!(r#"{{"code":{{"coding":[{{"system":"urn:s","code":"d{index}"}}]}}}}"#),
            "]}",
        ),
        largest(
            "{\"resourceType\":\"Bundle\",\"type\":\"collection\",\"entry\":[",
            |index| {
                format!(r#"{{"fullUrl":"urn:a:{index}","resource":{{"resourceType":"Patient"}}}}"#)
            },
            "]}",
        ),
        format!(
            "{{\"resourceType\":\"Patient\",\"text\":{{\"status\":\"generated\",\"div\":\"<div>{}\"}}}}",
            "<b>".repeat(300_000)
        ),
        format!("{}{}1", "{\"a\":".repeat(64), "0".repeat(1_000_000)),
        format!("[1e{}]", "9".repeat(1_000_000)),
    ];

    for document in documents {
        let start = Instant::now();
        if let Ok(json) = reader::read(document.as_bytes()) {
            validate::base(&json);
            canonical::to_bytes(&json);
        }
        let shown = document.get(..60).unwrap();
        assert!(
            start.elapsed() < ENOUGH,
            "{:?} for {shown}",
            start.elapsed()
        );
    }
}

#[test]
fn what_a_document_refers_to_is_found_in_time() {
    let one = |index: usize| format!(r#"{{"id":"c{index}"}}"#);
    let contained = (0..40_000).map(one).collect::<Vec<_>>().join(",");
    let document = largest(
        &format!(r#"{{"resourceType":"DiagnosticReport","contained":[{contained}],"performer":["#),
        |_| r##"{"reference":"#c39999"}"##.to_owned(),
        "]}",
    );
    let read = reader::read(document.as_bytes()).unwrap();

    let start = Instant::now();
    summarise(&read, RecordType::LabResult);

    assert!(start.elapsed() < ENOUGH, "{:?}", start.elapsed());
}

#[test]
fn what_much_refers_to_is_not_told_in_full_each_time() {
    let name = "a".repeat(100_000);
    let report = largest(
        &format!(
            r#"{{"resourceType":"DiagnosticReport","contained":[{{"id":"c","name":"{name}"}}],"performer":["#
        ),
        |_| r##"{"reference":"#c"}"##.to_owned(),
        "]}",
    );
    let read = reader::read(report.as_bytes()).unwrap();
    let Summary::LabResult(it) = summarise(&read, RecordType::LabResult) else {
        unreachable!("a laboratory result")
    };
    let performers = &it.reports[0].performers;
    let names = performers.iter().filter_map(|it| it.name.as_ref());
    assert!(performers.len() > 10_000);
    assert!(names.map(String::len).sum::<usize>() < 20 * reader::MAX_BYTES);

    let request = format!(
        r#"{{"resourceType":"ServiceRequest","id":"c","doNotPerform":true,"bodySite":[{{"text":"{name}"}}]}}"#
    );
    let plan = largest(
        &format!(r#"{{"resourceType":"CarePlan","contained":[{request}],"activity":["#),
        |_| r##"{"reference":{"reference":"#c"}}"##.to_owned(),
        "]}",
    );
    let read = reader::read(plan.as_bytes()).unwrap();
    let Summary::TreatmentPlan(it) = summarise(&read, RecordType::TreatmentPlan) else {
        unreachable!("a plan")
    };
    assert!(it.activities.iter().all(|it| it.do_not_perform));
    let sites = it.activities.iter().filter(|it| !it.body_sites.is_empty());
    assert_eq!(
        sites.count(),
        2,
        "where it is referred to first, and itself"
    );
}

#[test]
fn what_each_date_of_a_recommendation_says_is_not_told_without_bound() {
    let dates = vec!["{}"; 64].join(",");
    let told = |head: &str, item: &str| {
        let open = format!(
            r#"{{"resourceType":"ImmunizationRecommendation","recommendation":[{{"dateCriterion":[{dates}],{head}"#
        );
        let document = match item {
            "" => open + "}]}",
            item => largest(&open, |_| item.to_owned(), "]}]}"),
        };
        let read = reader::read(document.as_bytes()).unwrap();
        let Summary::Vaccination(it) = summarise(&read, RecordType::Vaccination) else {
            unreachable!("a vaccination")
        };
        let vaccines: usize = it.next_doses.iter().map(|it| it.vaccines.len()).sum();
        (it.next_doses.len(), vaccines)
    };
    assert_eq!(told(r#""vaccineCode":[{"text":"a"}]"#, ""), (64, 64));
    let (doses, vaccines) = told(r#""vaccineCode":["#, r#"{"text":"a"}"#);
    assert!(doses == 1 && vaccines > 10_000);
}
