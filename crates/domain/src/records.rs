//! Records: their types, their hash, and the metadata that may be searched in clear.

use std::fmt;

use serde_json::{Map, Value};

use crate::text::text_enum;

text_enum! {
    /// The eight kinds of document of the specification.
    RecordType {
        /// What was found to be wrong.
        Diagnosis = "DIAGNOSIS",
        /// What the laboratory measured.
        LabResult = "LAB_RESULT",
        /// What was prescribed.
        Prescription = "PRESCRIPTION",
        /// What is to be done.
        TreatmentPlan = "TREATMENT_PLAN",
        /// What came before.
        MedicalHistory = "MEDICAL_HISTORY",
        /// What was measured at the bedside.
        VitalSigns = "VITAL_SIGNS",
        /// What pictures show.
        Imaging = "IMAGING",
        /// What was given against infection.
        Vaccination = "VACCINATION",
    }
}

/// A text that is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 lower-case hexadecimal digits")]
pub struct InvalidHash;

/// The SHA-256 of a document's canonical bytes: `medical_records.data_hash`, and what is anchored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DataHash(pub [u8; 32]);

impl DataHash {
    /// Reads 64 lower-case hexadecimal digits, without `0x`.
    ///
    /// # Errors
    /// [`InvalidHash`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidHash> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(InvalidHash);
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        Ok(Self(hash))
    }
}

fn hex_digit(digit: u8) -> Result<u8, InvalidHash> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(InvalidHash),
    }
}

impl fmt::Display for DataHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DataHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataHash({self})")
    }
}

/// Why searchable metadata was refused. Names the key, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetadata {
    /// Not a JSON object.
    #[error("metadata is an object of key and value")]
    NotAnObject,
    /// A key that is not on the list of this record type.
    #[error("{key:?} is not a metadata key of {record_type}; allowed are {}", .allowed.join(", "))]
    UnknownKey {
        /// The key, cut to 40 characters.
        key: String,
        /// The type whose list was asked.
        record_type: RecordType,
        /// The list.
        allowed: &'static [&'static str],
    },
    /// The document itself says something else.
    #[error("{key:?} is read off the document, which says something else: leave it out")]
    Contradicted {
        /// The key.
        key: String,
    },
    /// A value that could hold free text.
    #[error(
        "{key:?} takes a code or a date of at most 64 characters without blanks, a whole number or true/false"
    )]
    FreeText {
        /// The key.
        key: String,
    },
}

/// The key of when a period ended: date filters go by it.
const END: &str = "dateEnd";

/// Keys stored in clear because they must be searched: dates, states, places, modalities. No
/// names, no free text, no diagnosis or medication codes (those go through the blind index).
pub const fn metadata_keys(record_type: RecordType) -> &'static [&'static str] {
    match record_type {
        RecordType::Diagnosis => &["date", "dateEnd", "status", "department", "severity"],
        RecordType::LabResult => &[
            "date",
            "dateEnd",
            "status",
            "department",
            "testType",
            "facility",
        ],
        RecordType::Prescription => &["date", "dateEnd", "status", "department", "validUntil"],
        RecordType::TreatmentPlan => &["date", "dateEnd", "status", "department", "start", "end"],
        RecordType::MedicalHistory => &["date", "dateEnd", "status", "department", "section"],
        RecordType::VitalSigns => &["date", "dateEnd", "status", "department", "device"],
        RecordType::Imaging => &[
            "date",
            "dateEnd",
            "status",
            "department",
            "modality",
            "bodyPart",
        ],
        RecordType::Vaccination => &["date", "dateEnd", "status", "department", "nextDue"],
    }
}

/// Searchable metadata that is on the list of its record type.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata(Map<String, Value>);

impl Metadata {
    /// Checks keys and values against the list of `record_type`.
    ///
    /// # Errors
    /// The first key that is not on the list, or whose value could hold free text.
    pub fn check(value: Value, record_type: RecordType) -> Result<Self, InvalidMetadata> {
        let Value::Object(map) = value else {
            return Err(InvalidMetadata::NotAnObject);
        };
        let allowed = metadata_keys(record_type);
        for (key, value) in &map {
            if !allowed.contains(&key.as_str()) {
                let key = key.chars().take(40).collect();
                return Err(InvalidMetadata::UnknownKey {
                    key,
                    record_type,
                    allowed,
                });
            }
            if !is_coded(value) {
                return Err(InvalidMetadata::FreeText { key: key.clone() });
            }
        }
        Ok(Self(map))
    }

    /// Adds what was read off the document. What could hold free text, or is not on the list, is left
    /// out; what the client gave must not say otherwise.
    ///
    /// # Errors
    /// [`InvalidMetadata::Contradicted`].
    pub fn joined(
        given: Option<Self>,
        read: Vec<(&'static str, String)>,
        record_type: RecordType,
    ) -> Result<Option<Self>, InvalidMetadata> {
        let mut map = given.map(|metadata| metadata.0).unwrap_or_default();
        // A document that says when it was so says with that until when.
        let is_read = |key: &str| read.iter().any(|(it, _)| *it == key);
        if map.contains_key(END) && is_read("date") && !is_read(END) {
            let key = END.to_owned();
            return Err(InvalidMetadata::Contradicted { key });
        }
        for (key, value) in read {
            let value = Value::String(value);
            if !is_coded(&value) || !metadata_keys(record_type).contains(&key) {
                continue;
            }
            if map.get(key).is_some_and(|given| *given != value) {
                let key = key.to_owned();
                return Err(InvalidMetadata::Contradicted { key });
            }
            map.insert(key.to_owned(), value);
        }
        Ok((!map.is_empty()).then_some(Self(map)))
    }

    /// What is stored, with what is read off the document now in the place of what was read off it before. What a client gave stays:
    /// it was not contradicted then, and where the document says otherwise now, the document counts.
    pub fn read_again(
        stored: Option<Value>,
        read: Vec<(&'static str, String)>,
        record_type: RecordType,
    ) -> Option<Value> {
        let mut map = match stored {
            Some(Value::Object(map)) => map,
            Some(other) => return Some(other),
            None => Map::new(),
        };
        // A document that says when it was so says with that until when.
        if read.iter().any(|(key, _)| *key == "date") {
            map.remove(END);
        }
        for (key, value) in read {
            let value = Value::String(value);
            if is_coded(&value) && metadata_keys(record_type).contains(&key) {
                map.insert(key.to_owned(), value);
            }
        }
        (!map.is_empty()).then_some(Value::Object(map))
    }

    /// Checks what records of any of these types are looked for by. Something that no type has is
    /// refused, as it would find nothing and look like an answer.
    ///
    /// # Errors
    /// As [`Self::check`]; an unknown key is told with the list of the last type.
    pub fn criteria(value: &Value, record_types: &[RecordType]) -> Result<Self, InvalidMetadata> {
        let Value::Object(map) = value else {
            return Err(InvalidMetadata::NotAnObject);
        };
        for (key, value) in map {
            // The key first: one that no type has may be of any length.
            let has = |kind: &RecordType| metadata_keys(*kind).contains(&key.as_str());
            if let Some(last) = record_types
                .last()
                .filter(|_| !record_types.iter().any(has))
            {
                return Err(InvalidMetadata::UnknownKey {
                    key: key.chars().take(40).collect(),
                    record_type: *last,
                    allowed: metadata_keys(*last),
                });
            }
            if !is_coded(value) {
                return Err(InvalidMetadata::FreeText { key: key.clone() });
            }
        }
        Ok(Self(map.clone()))
    }

    /// The object as it is stored.
    pub fn into_json(self) -> Value {
        Value::Object(self.0)
    }
}

/// Whether a value is a code, a date, a number or a truth, and cannot hold free text.
fn is_coded(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            text.len() <= 64 && !text.chars().any(|c| c.is_whitespace() || c.is_control())
        }
        // A fraction has many spellings; what the envelope binds must have one.
        Value::Number(number) => number.is_i64() || number.is_u64(),
        Value::Bool(_) => true,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Why a version took the place of another, or why a record was withdrawn. It speaks of somebody's
/// health, so it is sealed with the document and its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Reason(String);

/// A reason that says too little or too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a reason has {} to {} characters and none that control",
    Reason::MIN_CHARS,
    Reason::MAX_CHARS
)]
pub struct InvalidReason;

impl Reason {
    /// The shortest that says something. Unit: characters.
    pub const MIN_CHARS: usize = 10;
    /// The longest. Unit: characters.
    pub const MAX_CHARS: usize = 500;

    /// Takes a reason without the blanks around it; lines may be broken.
    ///
    /// # Errors
    /// [`InvalidReason`].
    pub fn parse(text: &str) -> Result<Self, InvalidReason> {
        let text = text.trim();
        let fits = (Self::MIN_CHARS..=Self::MAX_CHARS).contains(&text.chars().count());
        if fits && text.chars().all(|c| c == '\n' || !c.is_control()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidReason)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reason(…)")
    }
}

/// Whether a record's content may still be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Availability {
    /// Nothing stands in the way.
    Open,
    /// In the grace time of a deletion: only the subject reads.
    Restricted,
    /// Erased: nobody can read it.
    Erased,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_hash_reads_back_what_it_prints_and_refuses_everything_else() {
        let text = "00ff".repeat(16);
        assert_eq!(
            DataHash::parse(&text).map(|h| h.to_string()),
            Ok(text.clone())
        );
        for wrong in [
            "",
            "0x",
            &text[2..],
            &text.to_uppercase(),
            &text.replace('0', "g"),
        ] {
            assert_eq!(DataHash::parse(wrong), Err(InvalidHash), "{wrong}");
        }
    }

    #[test]
    fn a_reason_says_something_and_never_prints_itself() {
        let right = "  the lower lobe\nnot the upper  ";
        assert_eq!(
            Reason::parse(right).map(|reason| reason.as_str().to_owned()),
            Ok("the lower lobe\nnot the upper".to_owned())
        );
        assert!(Reason::parse(&"ä".repeat(500)).is_ok());
        for wrong in [
            "",
            "too short",
            "          ",
            "with a bell \u{7}",
            "with a nul \0",
            &"ä".repeat(501),
        ] {
            assert_eq!(Reason::parse(wrong), Err(InvalidReason), "{wrong:?}");
        }
        assert_eq!(format!("{:?}", Reason::parse(right)), "Ok(Reason(…))");
    }

    #[test]
    fn metadata_takes_listed_codes_and_no_free_text() {
        let ok = json!({"date": "2026-11-23", "modality": "CT"});
        assert!(Metadata::check(ok, RecordType::Imaging).is_ok());
        assert!(matches!(
            Metadata::check(json!({"code": "J45.9"}), RecordType::Diagnosis),
            Err(InvalidMetadata::UnknownKey { .. })
        ));
        for free in [
            json!("two words"),
            json!(["a"]),
            json!(null),
            json!(1.5),
            json!("x".repeat(65)),
        ] {
            assert!(matches!(
                Metadata::check(json!({"status": free}), RecordType::Diagnosis),
                Err(InvalidMetadata::FreeText { .. })
            ));
        }
        assert_eq!(
            Metadata::check(json!([]), RecordType::Diagnosis),
            Err(InvalidMetadata::NotAnObject)
        );
    }

    #[test]
    fn what_is_read_again_takes_the_place_of_what_was_read_before_and_leaves_what_was_given() {
        let read = |pairs: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
            let pairs = pairs.iter();
            pairs
                .map(|(key, value)| (*key, (*value).to_owned()))
                .collect()
        };
        let period = read(&[("date", "2024-01-05"), ("dateEnd", "ongoing")]);
        let table = [
            (None, read(&[]), None),
            (
                None,
                period.clone(),
                Some(json!({"date": "2024-01-05", "dateEnd": "ongoing"})),
            ),
            (
                Some(json!({"date": "2024-02-01", "department": "er"})),
                period.clone(),
                Some(json!({"date": "2024-01-05", "dateEnd": "ongoing", "department": "er"})),
            ),
            // There is no end any more.
            (
                Some(json!({"date": "2024", "dateEnd": "2025"})),
                read(&[("date", "2024")]),
                Some(json!({"date": "2024"})),
            ),
            // The document says nothing of when it was.
            (
                Some(json!({"dateEnd": "2025"})),
                read(&[("status", "final")]),
                Some(json!({"dateEnd": "2025", "status": "final"})),
            ),
            // What is no metadata of this type, or could be free text, is not stored in clear.
            (
                Some(json!({"modality": "CT"})),
                read(&[("nextDue", "2027"), ("modality", "two words")]),
                Some(json!({"modality": "CT"})),
            ),
        ];
        for (stored, read, expected) in table {
            let again = Metadata::read_again(stored, read.clone(), RecordType::Imaging);
            assert_eq!(again, expected);
            // Once is enough.
            assert_eq!(
                Metadata::read_again(again.clone(), read, RecordType::Imaging),
                again
            );
        }
    }

    #[test]
    fn what_is_read_off_the_document_joins_what_was_given_and_is_not_contradicted() {
        let given = |value| Metadata::check(value, RecordType::Imaging).ok();
        let read = || {
            vec![
                ("status", "final".to_owned()),
                ("modality", "CT".to_owned()),
            ]
        };
        let join = |given, read| Metadata::joined(given, read, RecordType::Imaging);
        let table = [
            (
                given(json!({})),
                Some(json!({"status": "final", "modality": "CT"})),
            ),
            (
                given(json!({"modality": "CT", "department": "er"})),
                Some(json!({"status": "final", "modality": "CT", "department": "er"})),
            ),
        ];

        for (given, joined) in table {
            assert_eq!(
                join(given, read()).map(|it| it.map(Metadata::into_json)),
                Ok(joined)
            );
        }
        assert_eq!(join(None, Vec::new()), Ok(None));
        // Until when it was so is the document's to say, where it says when.
        let longer = || given(json!({"dateEnd": "ongoing"}));
        let dated = vec![("date", "2026-03-01".to_owned())];
        assert_eq!(
            join(longer(), dated),
            Err(InvalidMetadata::Contradicted {
                key: "dateEnd".into()
            })
        );
        assert!(join(longer(), Vec::new()).is_ok());
        // What is no metadata of this type, or could be free text, is not stored in clear.
        let left_out = vec![
            ("nextDue", "2027".to_owned()),
            ("modality", "two words".to_owned()),
        ];
        assert_eq!(join(None, left_out), Ok(None));
        assert_eq!(
            join(given(json!({"status": "preliminary"})), read()),
            Err(InvalidMetadata::Contradicted {
                key: "status".into()
            })
        );
    }

    #[test]
    fn one_looks_for_what_some_type_has() {
        let criteria = |value: Value, types: &[RecordType]| Metadata::criteria(&value, types);
        let both = [RecordType::Imaging, RecordType::Vaccination];
        assert!(criteria(json!({"modality": "CT", "nextDue": "2027"}), &both).is_ok());
        assert!(criteria(json!({"modality": "CT"}), RecordType::ALL).is_ok());
        assert!(matches!(
            criteria(json!({"modality": "CT"}), &both[1..]),
            Err(InvalidMetadata::UnknownKey {
                record_type: RecordType::Vaccination,
                ..
            })
        ));
        assert!(matches!(
            criteria(json!({"note": "x"}), RecordType::ALL),
            Err(InvalidMetadata::UnknownKey { .. })
        ));
        assert!(matches!(
            criteria(json!({"status": "two words"}), RecordType::ALL),
            Err(InvalidMetadata::FreeText { .. })
        ));
        assert_eq!(
            criteria(json!("x"), RecordType::ALL),
            Err(InvalidMetadata::NotAnObject)
        );
    }
}
