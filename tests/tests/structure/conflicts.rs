//! What statements do where a row is there already. `DO UPDATE` takes its times from the row that was to be inserted (`EXCLUDED`): a
//! time that is read in there is one of another moment than the row's, and Citus refuses it.

use std::fs;

use crate::tenants::sources;

/// What tells another time each time, or in each transaction.
const CLOCKS: [&str; 4] = [
    "CURRENT_TIMESTAMP",
    "CLOCK_TIMESTAMP",
    "STATEMENT_TIMESTAMP",
    "NOW()",
];
/// Where a statement that has such a part goes on, or ends: the parts that come after it, and the end of the text in Rust.
const ENDS: [&str; 5] = ["RETURNING", "\",", "\"#", "\"\n", ";"];

/// What each `DO UPDATE` of a text says, in capitals.
fn updates(text: &str) -> Vec<String> {
    let parts = text.split("DO UPDATE").skip(1);
    let update = |part: &str| {
        let ends = ENDS.iter().filter_map(|end| part.find(end)).min();
        part[..ends.unwrap_or(part.len())].to_uppercase()
    };
    parts.map(update).collect()
}

#[test]
fn where_a_row_is_there_no_clock_is_read() {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let mut files = Vec::new();
    sources(&root.join("crates/store/src"), &mut files);
    let mut seen = 0;
    for file in files {
        let text = fs::read_to_string(&file).expect("a source is readable");
        for update in updates(&text) {
            seen += 1;
            let clock = CLOCKS.iter().find(|clock| update.contains(**clock));
            assert_eq!(clock, None, "{}: DO UPDATE{update}", file.display());
        }
    }
    assert!(seen > 8, "{seen} are too few: they were not found");
}

#[test]
fn a_clock_is_seen_where_there_is_one() {
    let statement = "\"INSERT INTO t (a, at) VALUES ($1, clock_timestamp())
         ON CONFLICT (a) DO UPDATE SET at = clock_timestamp()
         RETURNING now()\",";
    assert_eq!(
        updates(statement),
        [" SET AT = CLOCK_TIMESTAMP()\n         "]
    );
}
