//! An audit row as a sentence that a patient reads.

use std::borrow::Cow;

use domain::{ids::UserId, purpose::Purpose, users::User};
use store::audit::AuditRow;

/// Who did what, why and on what ground.
pub(super) fn of(row: &AuditRow, who: Option<&User>, reader: UserId) -> String {
    let who = match who {
        _ if row.user == reader => "You".to_owned(),
        Some(user) if user.is_system() => "The system".to_owned(),
        Some(user) => format!("{} ({})", user.username, user.role.as_str().to_lowercase()),
        None => "Somebody".to_owned(),
    };
    let for_whom = for_whom(row, reader);
    let did = did(row, reader);
    let why = row
        .purpose
        .parse::<Purpose>()
        .ok()
        .filter(|purpose| *purpose != Purpose::PatientRequest)
        .map(|purpose| format!(", for {}", purpose.in_words()))
        .unwrap_or_default();
    let ground = match row.consent_reference {
        Some(_) if row.action_type == "ACCESS_DENIED" => ", because you refused it",
        Some(_) if row.action_type.starts_with("RECORD_") => ", by your consent",
        _ => "",
    };
    let times = match row.run.times {
        1 => String::new(),
        times => format!(", {times} times"),
    };
    format!("{who}{for_whom} {did}{why}{ground}{times}.")
}

/// For whom, where somebody acted for the patient who reads this, or claimed to. Nobody reads for whom else somebody acts.
fn for_whom(row: &AuditRow, reader: UserId) -> String {
    let for_reader = row.on_behalf_of.filter(|patient| *patient == reader);
    match (for_reader, row.relationship) {
        (None, _) => String::new(),
        (Some(_), Some(relationship)) if row.action_type != "ACCESS_DENIED" => {
            format!(", for you, as {},", relationship.in_words())
        }
        (Some(_), _) => ", saying that they act for you,".to_owned(),
    }
}

/// What was done, after who did it.
fn did(row: &AuditRow, reader: UserId) -> Cow<'static, str> {
    let records = match row.run.records {
        0 | 1 => "a record of yours".to_owned(),
        many => format!("{many} records of yours"),
    };
    let opened = row.encryption_status == "DECRYPTED_FOR_DISCLOSURE";
    let plain = match row.action_type.as_str() {
        "RECORD_CREATE" => "added a record to your file",
        "RECORD_AMEND" if opened => "opened a record of yours to withdraw it",
        "RECORD_AMEND" if withdraws(row) => "withdrew a record of yours as entered in error",
        "RECORD_AMEND" if attaches(row) => "stored a file that a record of yours names",
        "RECORD_AMEND" => "wrote a new version of a record of yours",
        "RECORD_DERIVE" => "read anew by which dates and codes a record of yours is found",
        "RECORD_READ" if opened => return Cow::Owned(format!("opened {records}")),
        "RECORD_READ" if row.run.records > 1 => {
            let count = row.run.records;
            return Cow::Owned(format!(
                "saw that you have {count} records, but not what they say"
            ));
        }
        "RECORD_READ" => "saw that you have a record, but not what it says",
        "RECORD_SEARCH" if showed_nothing(row) && row.user == reader => {
            "looked for records of yours and were shown none"
        }
        "RECORD_SEARCH" if showed_nothing(row) => "looked for records of yours and was shown none",
        "RECORD_SEARCH" => return Cow::Owned(looked_through(row.run.records)),
        "RECORD_VERIFY" => {
            return Cow::Owned(format!("compared {records} with the blockchain"));
        }
        "RECORD_EXPORT" => return Cow::Owned(format!("took a copy of {records} out")),
        "RECORD_IMPORT" => "brought a record of yours back from an export",
        "RECORD_ANCHOR" => "found a record of yours on the blockchain",
        "CONSENT_GRANT" if row.user != reader && row.on_behalf_of.is_none() => {
            "got the consent that you had prepared, by its access code"
        }
        "CONSENT_GRANT" => "gave a consent",
        "ACCESS_CODE_CREATE" => "prepared a consent and got an access code for it",
        "ACCESS_CODE_REDEEM" => "redeemed an access code of yours",
        "ACCESS_CODE_CANCEL" => "cancelled an access code",
        "CONSENT_WITHDRAW" => "took a consent back",
        "CONSENT_SIGN" => "signed a consent, or its withdrawal, with your wallet",
        "CONSENT_READ" => "read your consents",
        "AUDIT_READ" => "read who accessed your data",
        "ACCESS_DENIED" => "tried to reach your data and was refused",
        "USER_ROLE_CHANGE" => "changed the role of your account",
        "MEMBERSHIP_ADD" => "made you a member of an organisation",
        "MEMBERSHIP_END" => "ended your membership of an organisation",
        "WALLET_LINK" => "linked a wallet to your account",
        "WALLET_UNLINK" => "unlinked the wallet of your account",
        "SECOND_FACTOR_START" => "began a second factor for your account",
        "SECOND_FACTOR_CONFIRM" => "made a second factor count for your account",
        "SECOND_FACTOR_REMOVE" => "took the second factor of your account off",
        action if action.starts_with("BREAK_GLASS_") => about_emergency(row),
        action if action.starts_with("REPRESENTATIVE_") => about_representatives(row),
        "ROW_SEAL" => "sealed a row of yours again that was changed outside the service",
        "INTEGRITY_FAILURE" => finding_in(said(row, "table")),
        other => deletion(other).unwrap_or("did something with your data"),
    };
    Cow::Borrowed(plain)
}

/// What does not fit together: a row of this table that decides, or a record.
fn finding_in(table: Option<&str>) -> &'static str {
    match table {
        Some("data_processing_consents") => {
            "found that a consent of yours was changed outside the service: it counts for nothing"
        }
        Some("second_factors") => {
            "found that your second factor was changed outside the service: no code is taken"
        }
        Some("users") => {
            "found that your account was changed outside the service: nobody logs in to it"
        }
        Some("sessions") => {
            "found that a log-in to your account was changed outside the service: it counts for nothing"
        }
        Some("role_proposals") => {
            "found that a role proposed for you was changed outside the service: it counts for nothing"
        }
        Some("access_codes") => {
            "found that an access code of yours was changed outside the service: it counts for nothing"
        }
        Some("break_glass_windows") => {
            "found that emergency access to your records was changed outside the service: it counts for nothing"
        }
        Some("data_deletion_requests") => {
            "found that a deletion request of yours was changed outside the service: it counts for nothing"
        }
        Some("representatives" | "representative_proposals") => {
            "found that a representative of yours was changed outside the service: they cannot act for you"
        }
        Some("consent_receipts") => {
            "found that the receipt of a consent of yours was changed outside the service: it proves nothing"
        }
        Some("legal_holds") => {
            "found that a legal hold on your data was changed outside the service"
        }
        Some("memberships") => {
            "found that your membership of an organisation was changed outside the service: it lets you in nowhere"
        }
        _ => "found that a record of yours does not match the blockchain",
    }
}

/// What the list of a patient's records came to.
fn looked_through(records: i64) -> String {
    match records {
        0 => "looked through the list of your records".to_owned(),
        1 => "looked through a list with one of your records".to_owned(),
        many => format!("looked through a list with {many} of your records"),
    }
}

/// Whether it is a list of records with none in it.
pub(super) fn showed_nothing(row: &AuditRow) -> bool {
    let said = row.new_value.as_ref();
    row.action_type == "RECORD_SEARCH"
        && row.record_ids.is_empty()
        // A list of patients shows the patient, whatever there is of records.
        && said.is_some_and(|said| said["count"] == 0 && said["list"].is_null())
}

/// What was done about a request to erase or restrict, or about a legal hold.
fn deletion(action: &str) -> Option<&'static str> {
    Some(match action {
        "DELETION_REQUEST" => "asked for data to be erased or restricted",
        "DELETION_VERIFY" => "verified your request for data to be erased or restricted",
        "DELETION_EXPIRE" => "ended a request of yours for data to be erased that was not verified",
        "DELETION_REVIEW" => "decided about your request for data to be erased or restricted",
        "DELETION_CANCEL" => "took your request for data to be erased or restricted back",
        "DELETION_HOLD" => "moved your request for data to be erased because of a legal hold",
        "DELETION_EXECUTE" => "carried out a step of your request for data to be erased",
        "DELETION_COMPLETE" => "carried out your request for data to be erased, and certified it",
        "RETENTION_PURGE" => {
            "erased records of yours that had been kept as long as they have to be"
        }
        "KEY_DESTROY" => "destroyed the key of your records",
        "HOLD_PLACE" => "placed a legal hold on data of yours",
        "HOLD_RELEASE" => "asked for a legal hold on data of yours to be released, or released it",
        "DELETION_READ" => "read your deletion requests",
        _ => return None,
    })
}

/// What was done about emergency access.
fn about_emergency(row: &AuditRow) -> &'static str {
    match row.action_type.as_str() {
        "BREAK_GLASS_START" => "opened emergency access to your records without your consent",
        "BREAK_GLASS_END" if said(row, "by") == Some("TIME") => {
            "ended emergency access to your records, because its time was over"
        }
        "BREAK_GLASS_END" => "ended the emergency access to your records",
        "BREAK_GLASS_REVIEW" if said(row, "decision") == Some("JUSTIFIED") => {
            "reviewed emergency access to your records and found that it was justified"
        }
        "BREAK_GLASS_REVIEW" if said(row, "decision") == Some("UNJUSTIFIED") => {
            "reviewed emergency access to your records and found that it was not justified"
        }
        "BREAK_GLASS_REVIEW" if said(row, "forgedReview") == Some("RESTORED") => {
            "put a review of emergency access to your records back as it had been made"
        }
        "BREAK_GLASS_REVIEW" if said(row, "forgedReview").is_some() => {
            "took out a review of emergency access to your records that nobody had made"
        }
        "BREAK_GLASS_REVIEW" => {
            "told every administrator that nobody had reviewed emergency access to your records in time"
        }
        "BREAK_GLASS_READ" => "read about emergency access to your records",
        _ => "did something about emergency access to your records",
    }
}

/// What was done about representatives.
fn about_representatives(row: &AuditRow) -> &'static str {
    let is_rejected = row
        .new_value
        .as_ref()
        .is_some_and(|it| it["rejected"] == true);
    match row.action_type.as_str() {
        "REPRESENTATIVE_APPOINT" => "named somebody who acts for you",
        "REPRESENTATIVE_PROPOSE" if is_rejected => "rejected that somebody acts for you",
        "REPRESENTATIVE_PROPOSE" => "proposed somebody who is to act for you",
        "REPRESENTATIVE_END" => "ended that somebody acts for you",
        _ => "read who acts for you",
    }
}

/// What the row says under this name.
fn said<'a>(row: &'a AuditRow, name: &str) -> Option<&'a str> {
    row.new_value.as_ref()?[name].as_str()
}

fn attaches(row: &AuditRow) -> bool {
    let new = row.new_value.as_ref();
    new.is_some_and(|new| !new["attachment"].is_null())
}

fn withdraws(row: &AuditRow) -> bool {
    let new = row.new_value.as_ref();
    new.is_some_and(|new| new["withdrawn"] == true)
}
