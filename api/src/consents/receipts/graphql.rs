//! Receipts of consents in the schema.

use std::sync::Arc;

use async_graphql::{Context, Enum, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{ids::ConsentId, receipts as receipt};
use store::receipts::ReceiptProgress;
use uuid::Uuid;

use super::sign::{self, ConsentSigning};
use crate::{
    consents::graphql::Consent,
    error::Error,
    graphql::{
        document::Document,
        loaders,
        payload::Payload,
        request,
        scalars::{Address, Hash, Time, TxHash},
    },
};

/// Which act on a consent a receipt is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::receipts::ReceiptKind")]
pub(crate) enum ConsentReceiptKind {
    /// That the consent was given.
    Grant,
    /// That the consent was withdrawn.
    Withdrawal,
}

/// How far a signed receipt has come on its way to the registry of consents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::receipts::ReceiptState")]
pub(crate) enum ConsentReceiptState {
    /// The signature waits to be sent.
    Pending,
    /// The transaction was signed, and is sent until it is in a block.
    Submitted,
    /// The registry says the same, in a block that may still be undone.
    Confirmed,
    /// The registry says the same, in a block that cannot be undone any more.
    Finalized,
    /// The registry will never take this signature: see `failure`. The act can be signed again.
    Failed,
}

/// Why the registry of consents will never take a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::receipts::ReceiptFailure")]
pub(crate) enum ConsentReceiptFailure {
    /// It was not there by the deadline that was signed.
    DeadlinePassed,
    /// The consent had ended by itself before.
    ConsentExpired,
    /// The withdrawal of the consent was there before.
    WithdrawnBefore,
    /// The registry refused it again and again.
    Refused,
    /// The consent was withdrawn here before its grant was sent.
    WithdrawnHere,
    /// It was signed for another registry than the one that is told now.
    OtherRegistry,
    /// It is a withdrawal, and another wallet has signed the grant.
    OtherWallet,
}

/// What a patient agreed to by a consent, or took back: one text that never changes, and the patient's signature on it.
#[derive(Debug, Clone)]
pub(crate) struct ConsentReceipt {
    receipt: receipt::ConsentReceipt,
    progress: ReceiptProgress,
}

/// What a patient agreed to by a consent, or took back: one text that never changes, and the patient's signature on it.
#[Object]
impl ConsentReceipt {
    /// Which act on the consent it is of.
    async fn kind(&self) -> ConsentReceiptKind {
        self.receipt.kind.into()
    }

    /// What was agreed to, or taken back, as canonical JSON: keys sorted, no white space. Its `details` are what a wallet
    /// shows; their `salt` is random, so that no hash can be guessed.
    async fn text(&self) -> &str {
        &self.receipt.text
    }

    /// The SHA-256 of `text`. It is also in the audit row of the act, as `receipt`.
    async fn hash(&self) -> Hash {
        Hash(super::hash_of(&self.receipt))
    }

    /// The hash of the details by EIP-712 (`hashStruct`), by which the registry of consents knows the consent: 64
    /// hexadecimal digits.
    async fn details_hash(&self) -> Hash {
        Hash(self.receipt.details_hash.to_string())
    }

    /// The typed data that the wallet signed (EIP-712); null while nobody has signed.
    async fn typed_data(&self) -> Option<Document> {
        sign::signed_data(&self.receipt).map(Into::into)
    }

    /// The wallet that signed; null while nobody has signed.
    async fn wallet(&self) -> Option<Address> {
        let signed = self.receipt.signature.as_ref()?;
        Some(Address(signed.wallet.clone()))
    }

    /// The signature of the wallet, `0x` and hexadecimal digits; null while nobody has signed.
    async fn signature(&self) -> Option<String> {
        let signed = self.receipt.signature.as_ref()?;
        Some(format!("0x{}", vault::digest::to_hex(&signed.signature)))
    }

    /// The last second in which the signature may be used; null while nobody has signed.
    async fn deadline(&self) -> Option<Time> {
        let signed = self.receipt.signature.as_ref()?;
        Some(Time(signed.deadline))
    }

    /// The time at which the signature was stored; null while nobody has signed.
    async fn signed_at(&self) -> Option<Time> {
        let signed = self.receipt.signature.as_ref()?;
        Some(Time(signed.signed_at))
    }

    /// How far it has come on its way to the registry of consents; null where it is not sent there and that registry
    /// does not know it.
    async fn chain_state(&self) -> Option<ConsentReceiptState> {
        self.progress.state.map(Into::into)
    }

    /// Why the registry will never take the signature, for the state FAILED; null otherwise.
    async fn failure(&self) -> Option<ConsentReceiptFailure> {
        self.progress.failure.map(Into::into)
    }

    /// The transaction that tells the registry, or told it; null before there is one.
    async fn tx_hash(&self) -> Option<TxHash> {
        self.progress.tx_hash.clone().map(TxHash)
    }

    /// The number of the block that the transaction is in; null before it is in one.
    async fn block_number(&self) -> Option<i64> {
        self.progress.block_number
    }
}

/// The receipt of an act on a consent, for the patient whose consent it is. One that is not as it was sealed is none, and
/// becomes a finding.
///
/// # Errors
/// [`Error::Busy`], [`Error::Unavailable`].
pub(in crate::consents) async fn load(
    ctx: &Context<'_>,
    consent: &domain::consents::Consent,
    kind: receipt::ReceiptKind,
) -> Result<Option<ConsentReceipt>, Error> {
    let (app, caller) = request(ctx)?;
    if caller.user != consent.patient {
        return Ok(None);
    }
    let found = loaders(ctx)?.receipts(consent.id).await?;
    let found = Arc::unwrap_or_clone(found).into_iter();
    let stored = found.into_iter().find(|stored| stored.kind == kind);
    Ok(stored.and_then(|stored| {
        Some(ConsentReceipt {
            receipt: app.seals.open(stored.sealed)?,
            progress: stored.progress,
        })
    }))
}

/// What a wallet is to sign, to be handed to it as it is.
#[derive(Debug, SimpleObject)]
pub(crate) struct ConsentToSign {
    /// The typed data (EIP-712), for the wallet's `eth_signTypedData_v4`.
    typed_data: Document,
    /// The wallet that is to sign: the one that is linked to the caller's account.
    wallet: Address,
    /// The last second in which the signature may be used, to be sent to `signConsent` with it.
    deadline: Time,
}

#[derive(Default)]
pub(crate) struct ReceiptQuery;

#[Object]
impl ReceiptQuery {
    /// What the caller's linked wallet has to sign to confirm that a consent was given, or withdrawn. The signature goes
    /// to `signConsent`.
    async fn consent_to_sign(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of one of the caller's consents.")] id: Uuid,
        #[graphql(desc = "Which act on the consent is to be signed.")] kind: ConsentReceiptKind,
        #[graphql(
            desc = "The last second in which the signature may be used, in the next 366 days; a day from now, if nothing is said."
        )]
        deadline: Option<DateTime<Utc>>,
    ) -> Result<ConsentToSign> {
        let (app, caller) = request(ctx)?;
        let signing = ConsentSigning {
            consent: ConsentId(id),
            kind: kind.into(),
            deadline,
        };
        let to_sign = sign::to_sign(app.receipt_signing(), &caller, signing).await?;
        Ok(ConsentToSign {
            typed_data: to_sign.typed_data.into(),
            wallet: Address(to_sign.wallet.to_string()),
            deadline: Time(to_sign.deadline),
        })
    }
}

/// A wallet's signature of an act on a consent.
#[derive(Debug, InputObject)]
pub(crate) struct SignConsentInput {
    /// The ID of one of the caller's consents.
    id: Uuid,
    /// Which act on the consent was signed.
    kind: ConsentReceiptKind,
    /// The deadline that was signed, as `consentToSign` answered it.
    deadline: DateTime<Utc>,
    /// The signature of the wallet: `0x` and 130 hexadecimal digits.
    signature: String,
}

/// The result of `signConsent`: the consent, with its receipts.
#[derive(Debug, SimpleObject)]
pub(crate) struct SignConsentPayload {
    /// The consent whose grant or withdrawal was signed.
    consent: Consent,
}

#[derive(Default)]
pub(crate) struct ReceiptMutation;

#[Object]
impl ReceiptMutation {
    /// Stores the signature of the caller's linked wallet on what `consentToSign` gave. Where the operator has switched it
    /// on, the registry of consents on the chain is told: then anybody can see there that this wallet agreed to something,
    /// but not to what. Repeating it changes nothing.
    ///
    /// Error codes: `NOT_FOUND` where it is not one of the caller's consents, or one from before there were receipts,
    /// `BAD_USER_INPUT` (`deadline`: passed, or too far away, or, where it is relayed, less than 10 minutes away;
    /// `signature`: not that wallet's, or of something else), `CONFLICT` (`id`: no wallet is linked, or another one has
    /// signed the grant; `kind`: a consent that is over, or one that was not withdrawn; `signature`: signed already),
    /// `LIMIT_REACHED` where 20 of the caller's signatures were relayed in the last 24 hours.
    async fn sign_consent(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The consent, which act on it, and the signature.")]
        input: SignConsentInput,
    ) -> Result<Payload<SignConsentPayload>> {
        let (app, caller) = request(ctx)?;
        let signing = ConsentSigning {
            consent: ConsentId(input.id),
            kind: input.kind.into(),
            deadline: Some(input.deadline),
        };
        let signed = sign::sign(app.receipt_signing(), &caller, signing, &input.signature).await?;
        Ok(Payload(SignConsentPayload {
            consent: Consent::new(app.clock.now(), signed),
        }))
    }
}
