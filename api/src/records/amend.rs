//! Writing a version that takes the place of another: an amendment, or a withdrawal. The version that
//! is there is never touched; it stays what it was, and says that it was superseded.

use domain::{ids::RecordId, purpose::Purpose, records::Reason};
use fhir::Json;
use serde_json::{Value, json};
use store::records::Record;

use super::{
    attachments, decrypt,
    disclosure::{Disclosed, DisclosureRequest, RecordDisclosure, Wanted},
    draft::{Follows, Stored},
    patients,
    prepare::{self, About, PreparedContent},
};
use crate::{
    caller::Caller,
    dependencies::{Amending, Decryption},
    error::{Error, both},
    idempotency::check_key,
};

/// The version that is to be followed, and why.
#[derive(Debug)]
pub(crate) struct Change {
    /// Which version.
    pub(crate) record: RecordId,
    /// Its number, as the caller knows it.
    pub(crate) expected_version: i32,
    /// Why it is followed: content, and sealed as such.
    pub(crate) reason: String,
    /// What for; `None` for what the caller's role acts for.
    pub(crate) purpose: Option<Purpose>,
    /// The same key gives the same version.
    pub(crate) idempotency_key: Option<String>,
}

/// Stores a new version of a record; its anchor is PENDING and supersedes that of the one before. Gives what there is to say of
/// its profiles, too.
///
/// # Errors
/// [`Error::NotFound`] where the caller may not amend it or there is none; [`Error::Conflict`] where
/// it is not the current version, or the key was used for something else; [`Error::Document`];
/// [`Error::BadInput`].
pub(crate) async fn amend(
    amending: Amending<'_>,
    caller: &Caller,
    change: Change,
    document: Json,
    metadata: Option<Value>,
) -> Result<(Stored, Vec<fhir::Issue>), Error> {
    let (submitted, reason) = both(prepare::submitted(&document), checked(&change))?;
    // First whether they may: what is hidden is not told apart by what is wrong with the rest.
    let meant = (change, reason);
    let asked = ask(amending.disclosure, caller, meant, Wanted::Amendment).await?;
    let request = json!([asked.request(caller), metadata]);
    let request_hash = prepare::request_hash(&request, &submitted);
    let profiles = amending.drafting.profiles;
    let old = &asked.old.record;
    let (document, whose) = patients::of_record(document, old.patient);
    let mut content = prepare::check(profiles, old.record_type, document, metadata)?;
    attachments::check(&content.document)?;
    whose?;
    let notes = std::mem::take(&mut content.notes);
    let stored = asked.store(amending, caller, content, request_hash).await?;
    Ok((stored, notes))
}

/// Stores a last version of a record that says it was entered in error. The document of the version
/// before is opened for it: written down first, and compared with its hash.
///
/// # Errors
/// As of [`amend`]; [`Error::Integrity`] where the document is not what was anchored.
pub(crate) async fn withdraw(
    amending: Amending<'_>,
    caller: &Caller,
    change: Change,
) -> Result<Stored, Error> {
    let reason = checked(&change)?;
    let meant = (change, reason);
    let asked = ask(amending.disclosure, caller, meant, Wanted::Withdrawal).await?;
    let old = &asked.old;
    let document = fhir::entered_in_error(document_of(amending.decryption, old).await?);
    let content = PreparedContent {
        read: fhir::searchable(&document, prepare::kind(old.record.record_type)?),
        document,
        metadata: Some(marked(old.record.metadata.clone())),
        missing: old.record.missing.clone(),
        incomplete: None,
        notes: Vec::new(),
    };
    let request_hash = prepare::request_hash(&asked.request(caller), &[]);
    asked.store(amending, caller, content, request_hash).await
}

/// A version that this caller may follow.
struct AmendmentTarget {
    change: Change,
    reason: Reason,
    old: Disclosed,
    withdraws: bool,
}

/// The reason, where it and the key can be used.
fn checked(change: &Change) -> Result<Reason, Error> {
    let key = check_key(change.idempotency_key.as_deref());
    let (reason, ()) = both(Reason::parse(&change.reason), key)?;
    Ok(reason)
}

/// Asks the record disclosure for the version that is to be followed, and looks whether it is the one that is meant.
async fn ask(
    disclosure: &RecordDisclosure,
    caller: &Caller,
    (change, reason): (Change, Reason),
    wanted: Wanted,
) -> Result<AmendmentTarget, Error> {
    let inquiry = DisclosureRequest {
        caller: caller.clone(),
        record: change.record,
        purpose: change.purpose,
        wanted,
        budget: None,
    };
    let old = disclosure.ask(inquiry).await?;
    check_version(&old.record, change.expected_version)?;
    Ok(AmendmentTarget {
        change,
        reason,
        old,
        withdraws: wanted == Wanted::Withdrawal,
    })
}

/// Refuses a version that is not the one that is meant, or that nothing follows. Neither ever changes of one
/// version; whether another took its place, the writer asks.
fn check_version(record: &Record, expected: i32) -> Result<(), Error> {
    let conflict = |message: String| {
        Err(Error::Conflict {
            field: "expectedVersion",
            message,
        })
    };
    if record.version != expected {
        return conflict(format!("this is version {} of the record", record.version));
    }
    if record.is_withdrawn {
        return conflict("the record was withdrawn: nothing follows any more".to_owned());
    }
    Ok(())
}

impl AmendmentTarget {
    /// What was asked for but the document, to tell one request from another.
    fn request(&self, caller: &Caller) -> Value {
        json!([
            self.change.record,
            self.change.expected_version,
            self.change.purpose.or(caller.purpose),
            self.reason.as_str(),
        ])
    }

    async fn store(
        self,
        amending: Amending<'_>,
        caller: &Caller,
        content: PreparedContent,
        request_hash: String,
    ) -> Result<Stored, Error> {
        let old = &self.old.record;
        let about = About {
            caller,
            purpose: Some(self.old.purpose),
            patient: old.patient,
            record_type: old.record_type,
            follows: Some(Follows {
                id: old.id,
                version: old.version,
                withdraws: self.withdraws,
            }),
            reason: Some(self.reason),
            idempotency: self.change.idempotency_key.map(|key| (key, request_hash)),
            id: None,
        };
        let draft = prepare::draft(amending.drafting, content, about)?;
        amending.writer.store(draft).await
    }
}

async fn document_of(decryption: Decryption<'_>, old: &Disclosed) -> Result<Json, Error> {
    let sealed = old.sealed.as_ref().ok_or(Error::NotFound("record"))?;
    let opened = decrypt::open(decryption.keyring, sealed).await?;
    let bytes = decrypt::intact(decryption.pool, sealed, opened).await?;
    decrypt::document(&bytes).ok_or(Error::Integrity(old.record.id))
}

/// Metadata of what was entered in error: `status` is on the list of every record type.
fn marked(metadata: Option<Value>) -> Value {
    let mut metadata = match metadata {
        Some(Value::Object(metadata)) => metadata,
        _ => serde_json::Map::new(),
    };
    metadata.insert("status".to_owned(), json!("entered-in-error"));
    Value::Object(metadata)
}
