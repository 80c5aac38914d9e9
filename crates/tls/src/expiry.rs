//! Until when a certificate is in force, so that whoever renews it can be told in time. Nothing else of it is read here: whether it is
//! believed is decided by rustls alone.

use std::{fs, path::Path};

use chrono::{DateTime, NaiveDateTime, Utc};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::{TlsError, certificate::unreadable};

/// The tag of a version, which the first version of X.509 leaves out.
const VERSION: u8 = 0xa0;
/// The tag of a time with two digits for the year.
const UTC_TIME: u8 = 0x17;
/// The tag of a time with four.
const GENERALIZED_TIME: u8 = 0x18;

/// When the first of the certificates in a file in PEM is over.
///
/// # Errors
/// [`TlsError::Unreadable`] and [`TlsError::NoCertificate`].
pub fn in_force_until(path: &Path) -> Result<DateTime<Utc>, TlsError> {
    let none = || TlsError::NoCertificate {
        path: path.to_owned(),
    };
    let text = fs::read(path).map_err(unreadable(path))?;
    let mut ends = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|_| none())?;
        ends.push(end_of(&certificate).ok_or_else(none)?);
    }
    ends.into_iter().min().ok_or_else(none)
}

/// The end of the validity of a certificate in DER.
fn end_of(certificate: &[u8]) -> Option<DateTime<Utc>> {
    let (_, certificate, _) = element(certificate)?;
    let (_, signed, _) = element(certificate)?;
    let (tag, _, after) = element(signed)?;
    let mut rest = if tag == VERSION { after } else { signed };
    // The serial number, the algorithm of the signature, the issuer.
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, end) = element(validity)?;
    let (tag, end, _) = element(end)?;
    time(tag, end)
}

/// The first element of DER: its tag, its content, and what comes after it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        let length = digits
            .iter()
            .fold(0, |length, digit| (length << 8) | usize::from(*digit));
        (length, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// A time as RFC 5280 has it. Two digits are a year from 1950 to 2049.
fn time(tag: u8, text: &[u8]) -> Option<DateTime<Utc>> {
    let text = str::from_utf8(text).ok()?;
    let century = match (tag, text.get(..2)?) {
        (UTC_TIME, year) if year < "50" => "20",
        (UTC_TIME, _) => "19",
        (GENERALIZED_TIME, _) => "",
        _ => return None,
    };
    let text = format!("{century}{text}");
    let at = NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%SZ").ok()?;
    Some(at.and_utc())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// A certificate until the beginning of a year.
    fn until(year: i32) -> (String, Vec<u8>) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(1999, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.self_signed(&key).expect("signed");
        (certificate.pem(), certificate.der().to_vec())
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_forms_of_a_time() {
        for year in [2020, 2049, 2050, 2999] {
            let (_, der) = until(year);
            let end = end_of(&der).expect("it has an end").to_string();
            assert_eq!(end, format!("{year}-01-01 00:00:00 UTC"));
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let (_, der) = until(2030);
        for length in 0..der.len() {
            assert_eq!(end_of(&der[..length]), None, "{length}");
        }
        let broken: [&[u8]; 4] = [
            &[0x30],
            &[0x30, 0x80],
            &[0x30, 0x85, 0, 0, 0, 0, 1, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        ];
        for bytes in broken {
            assert_eq!(end_of(bytes), None, "{bytes:?}");
        }
        assert_eq!(time(UTC_TIME, b"3013010000Z"), None);
        assert_eq!(time(0x30, b"300101000000Z"), None);
    }

    #[test]
    fn of_several_certificates_in_a_file_the_first_end_counts() {
        let file = std::env::temp_dir().join(format!("tls-{}-ends.pem", std::process::id()));
        let (late, soon) = (until(2040).0, until(2031).0);
        fs::write(&file, format!("{late}{soon}")).expect("written");
        let end = in_force_until(&file);
        fs::write(&file, "no certificate").expect("written");
        let none = in_force_until(&file);
        fs::remove_file(&file).ok();
        let gone = in_force_until(&file);

        let end = end.expect("both are read").to_string();
        assert_eq!(end, "2031-01-01 00:00:00 UTC");
        assert!(matches!(none, Err(TlsError::NoCertificate { .. })));
        assert!(matches!(gone, Err(TlsError::Unreadable { .. })));
    }
}
