//! What an import or an export is asked for in its address. A name that is not known is refused: a
//! misspelt filter would let more through than was meant.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use domain::{ids::UserId, purpose::Purpose, records::RecordType};
use uuid::Uuid;

use super::TransferRefused;
use crate::{
    error::{Error, check_time},
    request,
};

/// The names and values of an address, each of which is taken once.
#[derive(Debug)]
pub(super) struct QueryParameters<'a>(Vec<(&'a str, String)>);

impl<'a> QueryParameters<'a> {
    /// Reads an address.
    pub(super) fn read(query: Option<&'a str>) -> Result<Self, TransferRefused> {
        let all = request::pairs(query.unwrap_or_default())?;
        for (nth, (name, _)) in all.iter().enumerate() {
            if all[..nth].iter().any(|(other, _)| other == name) {
                return Err(bad("query", format!("`{name}` is given twice")));
            }
        }
        Ok(Self(all))
    }

    /// The value of this name.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// The value of this name, read as what it should be.
    pub(super) fn parse<T: FromStr>(
        &mut self,
        name: &'static str,
        wanted: &str,
    ) -> Result<Option<T>, TransferRefused> {
        let read = |text: String| text.parse().map_err(|_| bad(name, wanted));
        self.take(name).map(read).transpose()
    }

    /// The patient, who must be named.
    pub(super) fn patient(&mut self) -> Result<UserId, TransferRefused> {
        let wanted = "say `patient=<id>`: whose records";
        let patient = self.parse::<Uuid>("patient", wanted)?;
        patient.map(UserId).ok_or_else(|| bad("patient", wanted))
    }

    /// Why; `None` for what the caller's role acts for.
    pub(super) fn purpose(&mut self) -> Result<Option<Purpose>, TransferRefused> {
        self.parse("purpose", "`purpose` is a code such as TREAT")
    }

    /// A record type.
    pub(super) fn record_type(&mut self) -> Result<Option<RecordType>, TransferRefused> {
        self.parse("recordType", "`recordType` is one such as LAB_RESULT")
    }

    /// `true` or `false`.
    pub(super) fn is(&mut self, name: &'static str) -> Result<bool, TransferRefused> {
        let given = self.parse(name, "say `true` or `false`")?;
        Ok(given.unwrap_or_default())
    }

    /// A time in RFC 3339.
    pub(super) fn time(
        &mut self,
        name: &'static str,
    ) -> Result<Option<DateTime<Utc>>, TransferRefused> {
        let at = self.parse(name, "a time is written as 2026-01-31T08:15:00Z")?;
        check_time(name, at)?;
        Ok(at)
    }

    /// Refuses what is left over.
    pub(super) fn nothing_else(self) -> Result<(), TransferRefused> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                let name: String = name.chars().take(40).collect();
                Err(bad(
                    "query",
                    format!("`{name}` is nothing that can be said here"),
                ))
            }
        }
    }
}

/// A value that cannot be used.
pub(super) fn bad(field: &'static str, message: impl Into<String>) -> TransferRefused {
    Error::bad(field, message).into()
}
