//! What an import is asked for: by its headers and its address.

use axum::http::{HeaderMap, HeaderName, StatusCode};
use domain::ids::UserId;
use fhir::upload::Cutter;
use uuid::Uuid;

use crate::{
    bulk::{Transfer, TransferRefused, compression::Compression, query::QueryParameters},
    codes::ErrorCode,
    error::Error,
    records::{
        import::{Entry, Import, MAX_BYTES, check_source},
        patients::PatientAccounts,
    },
    wire::content_type,
};

/// How an upload holds its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImportFormat {
    Lines,
    Bundle,
}

impl ImportFormat {
    fn of(headers: &HeaderMap) -> Option<Self> {
        match content_type(headers)?.to_ascii_lowercase().as_str() {
            "application/fhir+ndjson" | "application/x-ndjson" | "application/ndjson" => {
                Some(Self::Lines)
            }
            "application/fhir+json" | "application/json" => Some(Self::Bundle),
            _ => None,
        }
    }

    pub(super) fn cutter(self) -> Cutter {
        match self {
            Self::Lines => Cutter::lines(MAX_BYTES),
            Self::Bundle => Cutter::bundle(MAX_BYTES),
        }
    }

    pub(super) fn read(self, entry: &[u8]) -> Result<Entry, Error> {
        match self {
            Self::Lines => Entry::of_line(entry),
            Self::Bundle => Entry::of_bundle(entry),
        }
    }
}

/// How the entries are held, and how that is compressed.
pub(super) fn form(
    headers: &HeaderMap,
) -> Result<(ImportFormat, Option<Compression>), TransferRefused> {
    let unsupported = |refusal: &str| {
        TransferRefused::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorCode::UnsupportedMediaType,
            refusal,
        )
    };
    let form = ImportFormat::of(headers).ok_or_else(|| {
        unsupported(
            "send `Content-Type: application/fhir+ndjson`, a resource in each line, or `application/fhir+json`, a Bundle",
        )
    })?;
    let compression = Compression::of(headers).ok_or_else(|| {
        unsupported("send it as it is, or with one `Content-Encoding`: `gzip` or `zstd`")
    })?;
    Ok((form, compression))
}

/// The accounts of the patients whom documents name: `account=reference`, as in an address.
const PATIENTS: HeaderName = HeaderName::from_static("x-patients");

/// What is asked for.
pub(super) struct ImportAsked {
    pub(super) import: Import,
    /// For whom the caller acts.
    pub(super) represented: Option<UserId>,
    /// The first entry that is looked at.
    pub(super) from: u64,
    /// Whether nothing is stored.
    pub(super) is_dry: bool,
}

/// The map of a header.
fn map(headers: &HeaderMap) -> Result<Vec<(String, UserId)>, TransferRefused> {
    let unreadable = || {
        Error::bad(
            "X-Patients",
            "write it as account=reference&account=reference",
        )
    };
    let mut given = headers.get_all(PATIENTS).iter();
    let Some(header) = given.next() else {
        return Ok(Vec::new());
    };
    if given.next().is_some() {
        return Err(unreadable().into());
    }
    let pairs = crate::request::pairs(header.to_str().map_err(|_| unreadable())?)?;
    let mapped = pairs.into_iter().map(|(account, reference)| {
        let account = account.parse::<Uuid>().ok()?;
        Some((reference, UserId(account)))
    });
    let mapped: Option<Vec<_>> = mapped.collect();
    Ok(mapped.ok_or_else(unreadable)?)
}

/// What the address and the headers ask for, with all that is wrong with it.
pub(super) fn asked(
    query: Option<&str>,
    headers: &HeaderMap,
    transfer: &Transfer,
) -> Result<ImportAsked, TransferRefused> {
    const FROM: &str = "`from` is the number of an entry, from 1";
    let mut asked = QueryParameters::read(query)?;
    let map = map(headers)?;
    // With a map, the patient is of those documents that name nobody.
    let patient = if map.is_empty() {
        asked.patient()
    } else {
        asked.other_patient()
    };
    let (purpose, prefers) = (asked.purpose(), asked.record_type());
    let key = asked.take("key");
    asked.note(crate::idempotency::check_key(key.as_deref()));
    let source = asked.take("source");
    asked.note(check_source(source.as_deref()));
    let from = asked.parse::<u64>("from", FROM);
    if matches!(from, Some(0 | u64::MAX)) {
        asked.refuse("from", FROM);
    }
    let represented = asked.represented();
    let (restores, is_dry) = (asked.is("restore"), asked.is("dryRun"));
    if restores && (is_dry || !map.is_empty()) {
        asked.refuse(
            "restore",
            "records are brought back to their patient, or not at all",
        );
    }
    let is_anothers = patient.is_some_and(|patient| patient != transfer.caller.user);
    if restores && (is_anothers || represented.is_some()) {
        let refusal =
            "patients bring their own records back, and nobody else does: import without `restore`";
        asked.refuse("restore", refusal);
    }
    asked.complete()?;
    let import = Import {
        patients: PatientAccounts::new(patient, map)?,
        purpose,
        prefers,
        key,
        restores,
        source,
    };
    Ok(ImportAsked {
        import,
        represented,
        from: from.unwrap_or(1),
        is_dry,
    })
}
