//! What an import or an export is asked for in its address. A name that is not known is refused: a
//! misspelt filter would let more through than was meant.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use domain::{countries::Country, ids::UserId, purpose::Purpose, records::RecordType};
use uuid::Uuid;

use super::TransferRefused;
use crate::{
    error::{Error, all, check_time},
    facts::distinct,
    request,
    variables::MAX_INVALID_VALUES,
};

/// The names and values of an address, each of which is taken once. What is wrong is gathered, and told at
/// once when all were taken.
#[derive(Debug)]
pub(super) struct QueryParameters<'a> {
    left: Vec<(&'a str, String)>,
    wrong: Vec<Error>,
}

impl<'a> QueryParameters<'a> {
    /// Reads an address.
    pub(super) fn read(query: Option<&'a str>) -> Result<Self, TransferRefused> {
        let left = request::pairs(query.unwrap_or_default())?;
        let mut wrong = Vec::new();
        for (nth, (name, _)) in left.iter().enumerate() {
            let mut others = left[..nth].iter();
            if others.any(|(other, _)| other == name) {
                let message = format!("`{}` is given twice", shortened(name));
                wrong.push(Error::bad("query", message));
            }
        }
        Ok(Self { left, wrong })
    }

    /// The value of this name.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let given: Vec<_> = self
            .left
            .extract_if(.., |(known, _)| *known == name)
            .collect();
        given.into_iter().map(|(_, value)| value).next()
    }

    /// Notes what cannot be used.
    pub(super) fn refuse(&mut self, field: &'static str, message: impl Into<String>) {
        self.wrong.push(Error::bad(field, message));
    }

    /// Notes a check that failed.
    pub(super) fn note(&mut self, checked: Result<(), Error>) {
        self.wrong.extend(checked.err());
    }

    /// The value of this name, read as what it should be.
    pub(super) fn parse<T: FromStr>(&mut self, name: &'static str, wanted: &str) -> Option<T> {
        let read = self.take(name)?.parse().ok();
        if read.is_none() {
            self.refuse(name, wanted);
        }
        read
    }

    /// The patient, who must be named.
    pub(super) fn patient(&mut self) -> Option<UserId> {
        let patient = self
            .take("patient")
            .and_then(|text| text.parse::<Uuid>().ok());
        if patient.is_none() {
            self.refuse("patient", "say `patient=<id>`: whose records");
        }
        patient.map(UserId)
    }

    /// The patient, if one is named.
    pub(super) fn other_patient(&mut self) -> Option<UserId> {
        let wanted = "`patient` is the id of an account";
        self.parse::<Uuid>("patient", wanted).map(UserId)
    }

    /// The patient for whom the caller acts, if they say so.
    pub(super) fn represented(&mut self) -> Option<UserId> {
        let wanted = "`onBehalfOf` is the id of the patient for whom you act";
        self.parse::<Uuid>("onBehalfOf", wanted).map(UserId)
    }

    /// Why; `None` for what the caller's role acts for.
    pub(super) fn purpose(&mut self) -> Option<Purpose> {
        self.parse("purpose", "`purpose` is a code such as TREAT")
    }

    /// The country that the data goes to.
    pub(super) fn destination(&mut self) -> Option<Country> {
        let wanted = "`destination` is a country of two capital letters, such as SG";
        self.parse("destination", wanted)
    }

    /// A record type.
    pub(super) fn record_type(&mut self) -> Option<RecordType> {
        self.parse("recordType", "`recordType` is one such as LAB_RESULT")
    }

    /// `true` or `false`.
    pub(super) fn is(&mut self, name: &'static str) -> bool {
        self.parse(name, "say `true` or `false`")
            .unwrap_or_default()
    }

    /// A time in RFC 3339.
    pub(super) fn time(&mut self, name: &'static str) -> Option<DateTime<Utc>> {
        let at = self.parse(name, "a time is written as 2026-01-31T08:15:00Z");
        self.note(check_time(name, at));
        at
    }

    /// What was asked, such as the patient, where all of it can be used and nothing is left over.
    ///
    /// # Errors
    /// [`Error::BadInput`] with everything that is wrong.
    pub(super) fn finish<T>(self, asked: Option<T>) -> Result<T, Error> {
        self.complete()?;
        asked.ok_or(Error::Internal)
    }

    /// Whether all of it can be used and nothing is left over.
    ///
    /// # Errors
    /// [`Error::BadInput`] with everything that is wrong.
    pub(super) fn complete(mut self) -> Result<(), Error> {
        let left = std::mem::take(&mut self.left);
        for name in distinct(left.into_iter().map(|(name, _)| name)) {
            let message = format!("`{}` is nothing that can be said here", shortened(name));
            self.refuse("query", message);
        }
        self.wrong.truncate(MAX_INVALID_VALUES);
        all(self.wrong.into_iter().map(Err::<(), _>))?;
        Ok(())
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(40).collect()
}
