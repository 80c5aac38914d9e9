//! The trail as FHIR `AuditEvent`s, a batch at a time, for programs of others: everybody's to administrators and the operator,
//! to everybody else what is about them. That it leaves is written down, first.

use std::{collections::HashMap, io::Write};

use chrono::{DateTime, Utc};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::{RequestId, UserId},
    purpose::Purpose,
    users::{Role, SCHEDULER},
};
use serde_json::{Value, json};
use store::{
    Pool, StoreError, Tx, audit,
    trail::{self as tree_of, HashedRow, Stretch},
    users,
};
use trail::audit_event::{self, AuditActor};

use super::{export::ExportError, read::of_reading};
use crate::{
    caller::{Caller, refuse_role},
    error::Error,
    facts::distinct,
};

/// How many rows are read, and events held, at a time.
const AT_ONCE: i64 = 500;

/// The time in which what is exported happened; without a beginning or an end all, as it is now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Period {
    /// At this time or later.
    pub(crate) from: Option<DateTime<Utc>>,
    /// Before this time.
    pub(crate) to: Option<DateTime<Utc>>,
}

impl Period {
    /// The rows of before now. One that was decided before and is committed after is in this export or in none that begins
    /// where this one ends: docs/bulk.md says what to do about it.
    fn stretch(self, now: DateTime<Utc>, patient: Option<UserId>) -> Stretch {
        Stretch {
            patient,
            from: self.from.unwrap_or(DateTime::UNIX_EPOCH),
            after: i64::MIN,
            to: self.to.map_or(now, |to| to.min(now)),
        }
    }

    fn in_words(self, of: &str) -> Value {
        json!({ "export": of, "form": "FHIR", "from": self.from, "to": self.to })
    }
}

/// An export of somebody who is logged in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventExport {
    next: Stretch,
    /// Whether the caller is told everything.
    everybodys: bool,
}

impl EventExport {
    /// Writes down that an export begins: of everybody's rows, or of those about the caller's own data.
    ///
    /// # Errors
    /// [`Error::Forbidden`] where somebody wants everybody's who is no administrator.
    pub(crate) async fn begin(
        pool: &Pool,
        caller: &Caller,
        period: Period,
        everybodys: bool,
    ) -> Result<Self, Error> {
        let mut tx = pool.begin().await?;
        let actor = caller.actor(&mut tx).await?;
        if everybodys && actor.role != Role::Admin {
            let wanted = AuditAction::AuditExport;
            return Err(refuse_role(tx, caller, actor, Role::Admin, wanted).await?);
        }
        let now = users::now(&mut tx).await?;
        let entry = AuditEntry {
            action: AuditAction::AuditExport,
            new_value: Some(period.in_words(if everybodys { "ALL" } else { "OWN" })),
            ..of_reading(caller, everybodys)
        };
        audit::insert(&mut tx, &[entry]).await?;
        tx.commit().await?;
        let patient = (!everybodys).then_some(actor.id);
        Ok(Self {
            next: period.stretch(now, patient),
            everybodys,
        })
    }

    /// The next lines; `None` after the last. Who asks is looked up anew.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], and [`Error::Forbidden`] where the caller is no administrator any more.
    pub(crate) async fn lines(
        &mut self,
        pool: &Pool,
        caller: &Caller,
    ) -> Result<Option<Vec<u8>>, Error> {
        let mut tx = pool.begin().await?;
        let actor = caller.actor(&mut tx).await?;
        if self.everybodys && actor.role != Role::Admin {
            return Err(Error::Forbidden(Role::Admin));
        }
        let Some((rows, next)) = tree_of::stretch(&mut tx, self.next, AT_ONCE).await? else {
            return Ok(None);
        };
        // An administrator sees addresses, and everybody their own.
        let own = (!self.everybodys).then_some(actor.id);
        let lines = lines_of(&mut tx, &rows, own).await?;
        tx.commit().await?;
        // Only now: whoever asks again after an error loses nothing.
        self.next = next;
        Ok(Some(lines))
    }
}

/// Writes everybody's events, for an operator. Gives how many.
///
/// # Errors
/// [`ExportError`].
pub(crate) async fn write(
    pool: &Pool,
    period: Period,
    into: &mut impl Write,
) -> Result<usize, ExportError> {
    let mut tx = pool.begin().await?;
    let now = users::now(&mut tx).await?;
    let origin = Origin::job(RequestId::fresh());
    let entry = AuditEntry {
        resource_type: ResourceType::AuditLog,
        new_value: Some(period.in_words("ALL")),
        classification: Classification::Security,
        encryption: EncryptionStatus::MetadataOnly,
        ..AuditEntry::new(
            SCHEDULER,
            AuditAction::AuditExport,
            Purpose::Compliance,
            &origin,
        )
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    let (mut next, mut events) = (period.stretch(now, None), 0);
    loop {
        let mut tx = pool.begin().await?;
        let Some((rows, after)) = tree_of::stretch(&mut tx, next, AT_ONCE).await? else {
            break;
        };
        into.write_all(&lines_of(&mut tx, &rows, None).await?)?;
        tx.commit().await?;
        (next, events) = (after, events + rows.len());
    }
    into.flush()?;
    Ok(events)
}

/// Who did what these rows say, as far as the accounts are there.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn actors_of(
    tx: &mut Tx<'_>,
    rows: &[HashedRow],
) -> Result<HashMap<UserId, AuditActor>, StoreError> {
    let who = distinct(rows.iter().map(|row| UserId(row.row.user_id)));
    let known = users::by_ids(tx, &who).await?.into_iter();
    let actors = known.map(|user| {
        let role = (!user.is_system()).then(|| user.role.to_string());
        let username = user.username;
        (user.id, AuditActor { username, role })
    });
    Ok(actors.collect())
}

/// A line for each row. Whoever reads their own log is not told from where others came.
async fn lines_of(
    tx: &mut Tx<'_>,
    rows: &[HashedRow],
    reader: Option<UserId>,
) -> Result<Vec<u8>, StoreError> {
    let actors = actors_of(tx, rows).await?;
    let mut lines = Vec::new();
    for HashedRow { row, .. } in rows {
        let user = UserId(row.user_id);
        let is_masked = reader.is_some_and(|reader| reader != user);
        let event = audit_event::of(row, actors.get(&user), is_masked);
        lines.extend(event.to_string().into_bytes());
        lines.push(b'\n');
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trail::row::{Interval, Row};
    use uuid::Uuid;

    fn row(action: &str) -> Row {
        let time = "2026-11-29T02:03:04.5Z".parse().expect("a time");
        let uuid = Uuid::from_u128;
        Row {
            leaf_salt: uuid(1),
            leaf_xid: 7,
            id: 42,
            event_time: time,
            user_id: uuid(2),
            action_type: action.to_owned(),
            resource_type: "MEDICAL_RECORD".to_owned(),
            resource_id: uuid(3),
            old_value: None,
            new_value: Some(r#"{"reason": "NO_CONSENT"}"#.to_owned()),
            ip_address: "2001:db8::1".parse().expect("an address"),
            ip_bits: 128,
            user_agent: Some("a browser".to_owned()),
            request_id: uuid(4),
            purpose: "TREAT".to_owned(),
            consent_reference: Some(uuid(5)),
            retention_period: Interval {
                microseconds: 0,
                days: 1095,
                months: 0,
            },
            data_classification: "MEDICAL".to_owned(),
            is_cross_border: true,
            destination_country: Some("ID".to_owned()),
            encryption_status: "METADATA_ONLY".to_owned(),
            created_at: time,
            patient_id: Some(uuid(6)),
            record_ids: None,
            on_behalf_of: None,
        }
    }

    #[test]
    fn a_refusal_alone_has_a_reason_and_what_else_a_row_says_by_name_is_a_detail() {
        let said = r#"{"reason": "CHANGED", "wanted": "RECORD_READ", "times": 3, "version": 2, "status": ["A"]}"#;
        for (action, reason) in [
            ("ACCESS_DENIED", json!("CHANGED")),
            ("ROW_SEAL", Value::Null),
        ] {
            let row = Row {
                new_value: Some(said.to_owned()),
                ..row(action)
            };
            let event = audit_event::of(&row, None, true);
            assert_eq!(event["outcomeDesc"], reason, "{action}");
            let entities = event["entity"].as_array().expect("a list");
            let details = &entities.last().expect("the request")["detail"];
            let details: Vec<_> = details.as_array().expect("a list")[3..]
                .iter()
                .map(|detail| (&detail["type"], &detail["valueString"]))
                .collect();
            assert_eq!(
                details,
                [
                    (&json!("times"), &json!("3")),
                    (&json!("wanted"), &json!("RECORD_READ")),
                    (&json!("version"), &json!("2")),
                ]
            );
        }
    }

    #[test]
    fn a_third_patient_is_not_told_for_whom_somebody_claimed_to_act() {
        let claimed = Row {
            on_behalf_of: Some(Uuid::from_u128(9)),
            ..row("ACCESS_DENIED")
        };
        for (is_masked, is_told) in [(true, false), (false, true)] {
            let event = audit_event::of(&claimed, None, is_masked).to_string();
            assert_eq!(event.contains("datasubject"), is_told, "{is_masked}");
        }
    }

    #[test]
    fn every_action_is_an_event_of_fhir_r4_with_everything_and_with_nothing() {
        let actor = AuditActor {
            username: "dr.bo".to_owned(),
            role: Some("DOCTOR".to_owned()),
        };
        for action in AuditAction::ALL {
            let full = row(action.as_str());
            let listed = Row {
                resource_id: full.request_id,
                record_ids: Some(vec![full.user_id, full.resource_id]),
                ..full.clone()
            };
            let represented = Row {
                on_behalf_of: full.patient_id,
                ..full.clone()
            };
            let sparse = Row {
                resource_id: full.request_id,
                new_value: None,
                user_agent: None,
                consent_reference: None,
                destination_country: None,
                patient_id: None,
                ..full.clone()
            };
            for row in [full, listed, represented, sparse] {
                for (actor, is_masked) in [(Some(&actor), false), (None, true)] {
                    let event = audit_event::of(&row, actor, is_masked).to_string();
                    let json = fhir::reader::read(event.as_bytes()).expect("JSON");
                    assert_eq!(fhir::validate::base(&json), [], "{event}");
                    assert_eq!(event.contains("datasubject"), row.on_behalf_of.is_some());
                    assert_eq!(event.contains("2001:db8::1"), !is_masked);
                    assert_eq!(
                        event.contains("a browser"),
                        !is_masked && row.user_agent.is_some()
                    );
                }
            }
        }
    }
}
