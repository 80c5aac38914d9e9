//! Receipts of consents: what a patient agreed to, or took back, as one text that never changes, and the part of it
//! that a wallet shows and signs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    consents::{Consent, Grantee},
    ids::{ConsentId, ReceiptId, UserId},
    records::DataHash,
    text::text_enum,
};

text_enum! {
    /// Which act of the patient a receipt is of.
    ReceiptKind {
        /// A consent was given.
        Grant = "GRANT",
        /// It was taken back.
        Withdrawal = "WITHDRAWAL",
    }
}

text_enum! {
    /// How far a signed receipt has come on its way to the registry of consents.
    ReceiptState {
        /// It waits to be sent.
        Pending = "PENDING",
        /// Its transaction was signed and is sent until it is in a block.
        Submitted = "SUBMITTED",
        /// The registry says the same, in a block.
        Confirmed = "CONFIRMED",
        /// That block is final.
        Finalized = "FINALIZED",
        /// The registry will never take it.
        Failed = "FAILED",
    }
}

text_enum! {
    /// Why the registry of consents will never take what was signed.
    ReceiptFailure {
        /// It was not there by the deadline that was signed.
        DeadlinePassed = "DEADLINE_PASSED",
        /// The consent had ended by itself.
        ConsentExpired = "CONSENT_EXPIRED",
        /// The withdrawal was there first.
        WithdrawnBefore = "WITHDRAWN_BEFORE",
        /// It was mined without effect again and again.
        Refused = "REFUSED",
        /// The consent was withdrawn here before its grant was sent.
        WithdrawnHere = "WITHDRAWN_HERE",
        /// It was signed for another registry than the one that is told now.
        OtherRegistry = "OTHER_REGISTRY",
        /// It is a withdrawal, and another wallet has signed the grant.
        OtherWallet = "OTHER_WALLET",
    }
}

/// How many signatures of a patient are relayed within 24 hours: each costs the registrar's account.
pub const MAX_RELAYED_A_DAY: i64 = 20;

/// What a wallet shows of a consent: EIP-712 calls it `ConsentDetails`. The salt keeps its hash from being guessed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgreedDetails {
    /// The codes of the data categories.
    pub data_categories: Vec<String>,
    /// Who is let in or kept out.
    pub grantee: String,
    /// What for, and what may be done.
    pub purpose: String,
    /// `0x` and 64 hexadecimal digits.
    pub salt: String,
}

impl AgreedDetails {
    /// Those of a consent.
    pub fn of(consent: &Consent, salt: String) -> Self {
        let activities: Vec<&str> = consent.activities.iter().map(|it| it.as_str()).collect();
        let grantees: Vec<String> = consent.grantees.iter().map(in_words).collect();
        let categories = consent.categories.iter();
        Self {
            data_categories: categories.map(|it| it.as_str().to_owned()).collect(),
            grantee: if grantees.is_empty() {
                "everybody".to_owned()
            } else {
                grantees.join("; ")
            },
            purpose: format!("{}: {}", consent.purpose, activities.join(", ")),
            salt,
        }
    }
}

fn in_words(grantee: &Grantee) -> String {
    match grantee {
        Grantee::User { id } => format!("person {id}"),
        Grantee::Role { role } => format!("role {role}"),
        Grantee::Org { id, country } => format!("organisation {id} in {country}"),
    }
}

/// When a consent ends, as the registry of consents holds it: whole seconds since 1970, 40 bits, zero for never. Never
/// later than the patient said.
pub fn registry_end(expires_at: Option<DateTime<Utc>>) -> u64 {
    const MAX: u64 = (1 << 40) - 1;
    let seconds = |end: DateTime<Utc>| u64::try_from(end.timestamp()).unwrap_or(1).clamp(1, MAX);
    expires_at.map_or(0, seconds)
}

/// A wallet's signature of a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptSignature {
    /// On which chain it may be used (EIP-155).
    pub chain_id: i64,
    /// By which contract, as EIP-55 writes it.
    pub contract: String,
    /// The wallet, as EIP-55 writes it.
    pub wallet: String,
    /// The last second in which it may be used.
    pub deadline: DateTime<Utc>,
    /// The signature.
    pub signature: Vec<u8>,
    /// When it was stored.
    pub signed_at: DateTime<Utc>,
}

/// One row of `consent_receipts`, without what became of it on the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentReceipt {
    /// Which.
    pub id: ReceiptId,
    /// Of which consent.
    pub consent: ConsentId,
    /// Whose.
    pub patient: UserId,
    /// Of which act.
    pub kind: ReceiptKind,
    /// What the patient agreed to or took back: canonical JSON, whose `details` are [`AgreedDetails`].
    pub text: String,
    /// `hashStruct` of the details, by which the registry of consents knows the consent.
    pub details_hash: DataHash,
    /// When the consent ends, as the registry holds it ([`registry_end`]).
    pub registry_end: i64,
    /// When it was made.
    pub made_at: DateTime<Utc>,
    /// The wallet's signature, once there is one.
    pub signature: Option<ReceiptSignature>,
}

impl ConsentReceipt {
    /// What a wallet shows; `None` of a text that is not ours.
    pub fn details(&self) -> Option<AgreedDetails> {
        #[derive(Deserialize)]
        struct Said {
            details: AgreedDetails,
        }
        let said: Said = serde_json::from_str(&self.text).ok()?;
        Some(said.details)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        consents::{Activity, Category},
        ids::OrganizationId,
        purpose::Purpose,
        records::RecordType,
        users::Role,
    };

    fn consent(activities: &[Activity], grantees: Vec<Grantee>) -> Consent {
        Consent {
            id: ConsentId(Uuid::nil()),
            patient: UserId(Uuid::nil()),
            purpose: Purpose::Treatment,
            given_at: DateTime::UNIX_EPOCH,
            expires_at: None,
            withdrawn_at: None,
            categories: vec![Category::Only(RecordType::Imaging), Category::All],
            activities: activities.to_vec(),
            grantees,
        }
    }

    #[test]
    fn a_wallet_shows_all_that_a_consent_says() {
        let nil = Uuid::nil();
        let everybody = [
            Grantee::User { id: UserId(nil) },
            Grantee::Role { role: Role::Doctor },
            Grantee::Org {
                id: OrganizationId(nil),
                country: "ID".to_owned(),
            },
        ];
        let cases = [
            (
                consent(&[Activity::Read, Activity::Search], everybody.to_vec()),
                "TREAT: READ, SEARCH",
                format!("person {nil}; role DOCTOR; organisation {nil} in ID"),
            ),
            (
                consent(&[Activity::Deny], Vec::new()),
                "TREAT: DENY",
                "everybody".to_owned(),
            ),
        ];
        for (consent, purpose, grantee) in cases {
            let details = AgreedDetails::of(&consent, "0x".to_owned());
            assert_eq!(details.purpose, purpose);
            assert_eq!(details.grantee, grantee);
            assert_eq!(details.data_categories, ["IMAGING", "ALL_RECORDS"]);
        }
    }

    #[test]
    fn the_registry_never_holds_a_later_end_than_the_patient_said() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().ok();
        for (end, held) in [
            (None, 0),
            (at("2027-01-01T00:00:00.999999Z"), 1_798_761_600),
            (at("1969-12-31T23:59:59Z"), 1),
            (at("1970-01-01T00:00:00.5Z"), 1),
            (at("+099999-01-01T00:00:00Z"), 1_099_511_627_775),
        ] {
            assert_eq!(registry_end(end), held, "{end:?}");
        }
    }
}
