//! A row of the audit trail as a line of the table has it: what differs from row to row in words, and what rules fix of every
//! row checked (`docs/data-model.md`, `audit_logs`). What is hashed of a row is another test's (`audit_tree`).

use std::collections::BTreeSet;

use domain::users::ANONYMOUS;
use serde_json::Value;
use tests::text;

use super::cast::Cast;

/// Where the version of a UUID stands in its text.
const VERSION_AT: usize = 14;

/// Who asked what.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) cast: &'a Cast,
    /// The account that asked; empty for nobody.
    pub(super) caller: &'a str,
    /// What they asked, with the IDs that they named.
    pub(super) document: &'a str,
    /// Their `User-Agent`.
    pub(super) agent: Option<&'static str>,
}

impl Asked<'_> {
    /// `ACTION RESOURCE:which PURPOSE whose CLASSIFICATION FORM`, and where there are: by whom else than the caller, for which
    /// patient somebody acted, under which consent, which records a list showed, where they went, why it was refused and what was
    /// wanted, and of what else the values say something.
    ///
    /// # Panics
    /// Where the row is not as a rule has it.
    pub(super) fn in_words(&self, row: &Value) -> String {
        self.checks(row);
        let word = |column: &str| text(&row[column]);
        let mut told = format!(
            "{} {}:{} {} {} {} {}",
            word("action_type"),
            word("resource_type"),
            self.names_in(row, &row["resource_id"]),
            word("purpose"),
            self.whose(&row["patient_id"]),
            word("data_classification"),
            word("encryption_status"),
        );
        let consent = &row["consent_reference"];
        let further = [
            (" by ", self.who(&row["user_id"])),
            (
                " for ",
                row["on_behalf_of"].as_str().map(|id| self.names(id)),
            ),
            (" to ", row["destination_country"].as_str()),
        ];
        for (before, what) in further {
            if let Some(what) = what {
                told.push_str(before);
                told.push_str(what);
            }
        }
        if *consent == row["resource_id"] {
            told.push_str(" under itself");
        } else if let Some(id) = consent.as_str() {
            told.push_str(" under ");
            told.push_str(self.names(id));
        }
        if let Some(records) = row["record_ids"].as_array() {
            let records = records.iter().map(|id| self.names_in(row, id));
            let mut records: Vec<&str> = records.collect();
            // However many others there are.
            records.dedup();
            told.push_str(" records ");
            told.push_str(&records.join(","));
        }
        told.push_str(&said(row));
        told
    }

    /// What a thing is called in the table.
    fn names_in(&self, row: &Value, id: &Value) -> &'static str {
        if *id == row["request_id"] {
            return "request";
        }
        self.names(id.as_str().unwrap_or_default())
    }

    fn names(&self, id: &str) -> &'static str {
        let Cast {
            ana, budi, record, ..
        } = self.cast;
        let [to_bo, to_members] = &self.cast.consents;
        let known = [
            (self.caller, "own"),
            (ana.id.as_str(), "ana"),
            (&budi.id, "budi"),
            (record, "record"),
            (to_bo, "to-bo"),
            (to_members, "to-members"),
        ];
        let known = known.into_iter().find(|(of, _)| *of == id);
        match known {
            Some((_, name)) => name,
            None if self.document.contains(id) => "asked",
            None => "another",
        }
    }

    /// Whose data.
    fn whose(&self, patient: &Value) -> &'static str {
        match patient.as_str() {
            None => "-",
            Some(id) if id == self.cast.ana.id => "ana",
            Some(id) if id == self.cast.budi.id => "budi",
            Some(id) if id == self.caller => "own",
            Some(_) => "other",
        }
    }

    /// Who did it, where that is not whoever asked.
    fn who(&self, user: &Value) -> Option<&'static str> {
        match user.as_str() {
            Some(id) if id == self.caller => None,
            Some(id) if id == self.cast.ana.id => Some("ana"),
            Some(id) if id == self.cast.budi.id => Some("budi"),
            Some(id) if id == ANONYMOUS.0.to_string() => Some("anonymous"),
            Some(_) | None => Some("another"),
        }
    }

    /// What a rule fixes of every row, whatever it is of. Its times and hashes are looked at together ([`RULES`]).
    fn checks(&self, row: &Value) {
        let action = text(&row["action_type"]);
        assert_eq!(row["ip_address"], "127.0.0.1", "{row}");
        assert_eq!(row["user_agent"].as_str(), self.agent, "{row}");
        let request = text(&row["request_id"]);
        assert_eq!(request.chars().nth(VERSION_AT), Some('7'), "{row}");
        let kept = format!("{} days", days_kept(&action));
        assert_eq!(text(&row["retention_period"]), kept, "{row}");
        // Whoever acts for somebody is named by which right; a refusal says what was claimed.
        let by = &row["new_value"]["representation"];
        if row["on_behalf_of"].is_null() {
            assert!(by.is_null(), "{row}");
        } else {
            assert_eq!(row["on_behalf_of"], self.cast.ana.id.as_str(), "{row}");
            assert_eq!(row["patient_id"], row["on_behalf_of"], "{row}");
            assert_eq!(*by, self.cast.representation.as_str(), "{row}");
        }
        if action == "ACCESS_DENIED" {
            assert!(row["new_value"]["reason"].is_string(), "{row}");
            assert!(row["old_value"].is_null(), "{row}");
        }
    }
}

/// Rows that break a rule about their own columns: a time before the decision, a country without a border, or a leaf that is not
/// whole.
pub(super) const RULES: &str = "SELECT id, action_type FROM audit_logs
    WHERE event_time > created_at
       OR created_at > clock_timestamp()
       OR is_cross_border <> (destination_country IS NOT NULL)
       OR cardinality(record_ids) = 0
       OR (record_ids IS NOT NULL AND patient_id IS NULL)
       OR (action_type = 'RECORD_SEARCH' AND resource_id <> request_id)
       OR octet_length(leaf_hash) <> 32
       OR leaf_layout <> 3";

/// Three years for what was read, five for what was changed, seven for security, consents and deletions (`domain.md` 3). Unit: days.
fn days_kept(action: &str) -> u16 {
    const READ: [&str; 4] = ["_READ", "_SEARCH", "RECORD_VERIFY", "_EXPORT"];
    const CHANGED: [&str; 6] = [
        "RECORD_AMEND",
        "RECORD_ANCHOR",
        "RECORD_CREATE",
        "RECORD_DERIVE",
        "RECORD_IMPORT",
        "USER_UPDATE",
    ];
    if CHANGED.contains(&action) {
        1826
    } else if READ.iter().any(|it| action.ends_with(it)) {
        1095
    } else {
        2556
    }
}

/// Why something was refused and what was wanted, and the names of everything else that the values say.
fn said(row: &Value) -> String {
    let (old, new) = (&row["old_value"], &row["new_value"]);
    let mut told = String::new();
    let mut names = names_of(new);
    if row["action_type"] == "ACCESS_DENIED" {
        told = format!(" refused {} {}", text(&new["reason"]), text(&new["wanted"]));
        names.retain(|name| !["reason", "wanted"].contains(name));
    }
    for (before, names) in [(" {", names), (" from {", names_of(old))] {
        if !names.is_empty() {
            let names: Vec<&str> = names.into_iter().collect();
            told.push_str(before);
            told.push_str(&names.join(" "));
            told.push('}');
        }
    }
    told
}

fn names_of(value: &Value) -> BTreeSet<&str> {
    let members = value.as_object().into_iter().flatten();
    members.map(|(name, _)| name.as_str()).collect()
}
