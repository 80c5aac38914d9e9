//! Which countries data may be sent to, by which basis. What the table says at first are defaults of ours, to be checked
//! by the operator's counsel; a country of which it says nothing gets nothing.

use std::{fmt, str::FromStr};

/// Every code that ISO 3166-1 gives to a country or a territory.
const ASSIGNED: &str = "\
     AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ \
     BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM \
     DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS \
     GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN \
     KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ \
     MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM \
     PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV \
     SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI \
     VN VU WF WS YE YT ZA ZM ZW";

/// A country, as ISO 3166-1 alpha-2 writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

/// A code that is given to no country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ISO 3166-1 gives this code to no country")]
pub struct UnassignedCountry;

/// A text that names no country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a country is two capital letters, as ISO 3166-1 alpha-2 writes it")]
pub struct InvalidCountry;

impl FromStr for Country {
    type Err = InvalidCountry;
    fn from_str(text: &str) -> Result<Self, InvalidCountry> {
        match *text.as_bytes() {
            [first, second] if first.is_ascii_uppercase() && second.is_ascii_uppercase() => {
                Ok(Self([first, second]))
            }
            _ => Err(InvalidCountry),
        }
    }
}

impl Country {
    /// Its two letters.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether there is such a country. What was stored before this was asked decides as it did.
    pub fn is_assigned(&self) -> bool {
        ASSIGNED.split(' ').any(|code| code == self.as_str())
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One row of `country_rules`: by what data may be sent there. By none of the three, nothing may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountryRule {
    /// Which country.
    pub country: Country,
    /// Its law protects data as the home country's does.
    pub is_adequate: bool,
    /// There are safeguards that bind whoever receives data there.
    pub has_safeguards: bool,
    /// There is nothing but the patient's consent, and that is enough.
    pub needs_consent: bool,
}

/// Whether data may be sent to a country of which this is known. What a consent must say besides, `domain::access`
/// decides: for anybody but the patient TRANSFER, and a third party there.
pub fn may_be_sent_to(rule: Option<&CountryRule>) -> bool {
    rule.is_some_and(|rule| rule.is_adequate || rule.has_safeguards || rule.needs_consent)
}

/// Where data goes that is sent to `destination`, where that is not the home country.
pub fn abroad(destination: Option<Country>, home: Country) -> Option<Country> {
    destination.filter(|country| *country != home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_two_capital_letters() {
        for (text, is_one) in [
            ("ID", true),
            ("SG", true),
            ("", false),
            ("I", false),
            ("id", false),
            ("IDN", false),
            ("I1", false),
            ("Ä", false),
        ] {
            let read = text.parse::<Country>();
            assert_eq!(read.is_ok(), is_one, "{text}");
            assert!(read.is_err() || read.is_ok_and(|it| it.as_str() == text));
        }
    }

    #[test]
    fn a_code_that_nobody_was_given_is_no_country() {
        assert_eq!(ASSIGNED.split(' ').count(), 249);
        for code in ASSIGNED.split(' ') {
            let read = code.parse::<Country>();
            assert!(read.is_ok_and(|it| it.is_assigned()), "{code}");
        }
        for code in ["XX", "ZZ", "AA", "UK", "XK", "QM"] {
            let read = code.parse::<Country>();
            assert!(read.is_ok_and(|it| !it.is_assigned()), "{code}");
        }
    }

    #[test]
    fn what_is_not_known_gets_nothing_and_one_basis_is_enough() {
        assert!(!may_be_sent_to(None));
        for bases in 0..8 {
            let rule = CountryRule {
                country: Country(*b"SG"),
                is_adequate: bases & 1 > 0,
                has_safeguards: bases & 2 > 0,
                needs_consent: bases & 4 > 0,
            };
            assert_eq!(may_be_sent_to(Some(&rule)), bases > 0, "{rule:?}");
        }
    }

    #[test]
    fn home_is_not_abroad() {
        let (home, other) = (Country(*b"ID"), Country(*b"SG"));
        assert_eq!(abroad(None, home), None);
        assert_eq!(abroad(Some(home), home), None);
        assert_eq!(abroad(Some(other), home), Some(other));
    }
}
