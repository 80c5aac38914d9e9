//! Wallets in the schema.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{ids::WalletId, wallets};
use serde_json::Value;
use uuid::Uuid;

use super::{
    challenge,
    link::{self, Reauthentication},
    log_in,
};
use crate::{
    cursor::{Cursor, ListCursors},
    error::Error,
    graphql::{
        app, context,
        global_id::{GlobalId, NodeKind},
        payload::Payload,
        request,
        scalars::{Address, ChainId, Time},
    },
    page::{Connection, CountedConnection, Node, PageArguments, asks_total},
    second_factor::check::Code,
    sessions::graphql::RefreshBy,
    users::graphql::LogInPayload,
};

/// What a signed message may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::wallets::ChallengePurpose")]
pub(crate) enum WalletChallengePurpose {
    /// To link the wallet to the caller's account by `linkWallet`.
    Link,
    /// To log in by `logInWithWallet`.
    LogIn,
}

/// How a wallet proved that it signed a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::wallets::ProvenBy")]
pub(crate) enum WalletProof {
    /// By a signature of the key that its address is derived from.
    Key,
    /// By the answer of the contract at its address (EIP-1271).
    Contract,
}

/// A wallet that is, or was, linked to the caller's account.
#[derive(Debug, Clone)]
pub(crate) struct Wallet(wallets::Wallet);

impl Node for Wallet {
    const EDGE: &'static str = "WalletEdge";
    const CONNECTION: &'static str = "WalletConnection";
}

impl Wallet {
    fn page_key(&self) -> (DateTime<Utc>, Uuid) {
        (self.0.linked_at, self.0.id.0)
    }
}

/// A wallet that is, or was, linked to the caller's account.
#[Object]
impl Wallet {
    /// The global ID of the link: `node` gives the same object again.
    pub(crate) async fn node_id(&self) -> ID {
        GlobalId::of(NodeKind::Wallet, self.0.id.0).into()
    }

    /// The ID of the link. A wallet that is linked a second time has another one.
    async fn id(&self) -> Uuid {
        self.0.id.0
    }

    /// The address of the wallet.
    async fn address(&self) -> Address {
        Address(self.0.address.clone())
    }

    /// The ID of the chain that the wallet was linked on (EIP-155).
    async fn chain_id(&self) -> ChainId {
        ChainId(self.0.chain_id.to_string())
    }

    /// How the wallet proved its signature when it was linked.
    async fn proven_by(&self) -> WalletProof {
        self.0.proven_by.into()
    }

    /// The time at which the wallet was linked.
    async fn linked_at(&self) -> Time {
        Time(self.0.linked_at)
    }

    /// The time at which the wallet was unlinked; null for the one that is linked.
    async fn unlinked_at(&self) -> Option<Time> {
        self.0.unlinked_at.map(Time)
    }
}

#[derive(Default)]
pub(crate) struct WalletQuery;

#[Object]
impl WalletQuery {
    /// The wallets that are, or were, linked to the caller's account, newest first. At most one is
    /// linked at a time: it is also `me.blockchainAddress`.
    async fn my_wallets(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100; 20 where neither `first` nor `last` is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins; the first page without it.")]
        after: Option<Cursor>,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100, where it is read backward: the last ones of the list, or those before `before`."
        )]
        last: Option<i32>,
        #[graphql(
            desc = "The cursor before which the page ends, where it is read backward; the end of the list without it."
        )]
        before: Option<Cursor>,
    ) -> Result<CountedConnection<Wallet>> {
        let (app, caller) = request(ctx)?;
        let cursors = ListCursors::of(&app.index_key, "myWallets", caller.user, &Value::Null);
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let range = asked.range::<(DateTime<Utc>, Uuid)>(&cursors)?;
        let by_id = range.by(|(at, id)| (at, WalletId(id)));
        let found = link::list(&app.pool, &caller, by_id, asks_total(ctx)).await?;
        let wallets = found.rows.into_iter().map(Wallet).collect();
        let page = Connection::of_range(wallets, &range, |it: &Wallet| cursors.at(&it.page_key()));
        Ok(page.counted(found.total))
    }
}

/// Those of these wallets that are, or were, the caller's.
///
/// # Errors
/// As of the list of them.
pub(crate) async fn by_ids(ctx: &Context<'_>, ids: &[Uuid]) -> Result<Vec<(Uuid, Wallet)>, Error> {
    let (app, caller) = request(ctx)?;
    let found = link::by_ids(&app.pool, &caller, ids).await?.into_iter();
    Ok(found.map(|it| (it.id.0, Wallet(it))).collect())
}

/// The wallet that is to sign, and what the message is to be used for.
#[derive(Debug, InputObject)]
pub(crate) struct WalletChallengeInput {
    /// The address of the wallet: `0x` and 40 hexadecimal digits.
    address: String,
    /// What the signed message is to be used for.
    purpose: WalletChallengePurpose,
}

/// The message for the wallet to sign.
#[derive(Debug, SimpleObject)]
pub(crate) struct WalletChallengePayload {
    /// The exact text (EIP-4361), to be signed by the wallet's `personal_sign`.
    message: String,
    /// The time until which the signed message is accepted, five minutes after it was made.
    expires_at: Time,
}

/// The signed message, and the proof that the owner of the account links the wallet.
#[derive(Debug, InputObject)]
pub(crate) struct LinkWalletInput {
    /// The text of `walletChallenge`, unchanged.
    message: String,
    /// The signature of the wallet: `0x` and hexadecimal digits.
    signature: String,
    /// The password of the account.
    password: String,
    /// A six-digit code of the second factor, or a recovery code; needed where the account has a second
    /// factor.
    code: Option<String>,
}

/// The result of `linkWallet`: the linked wallet.
#[derive(Debug, SimpleObject)]
pub(crate) struct LinkWalletPayload {
    /// The wallet, which the caller may log in with from now on.
    wallet: Wallet,
}

/// The proof that the owner of the account unlinks the wallet.
#[derive(Debug, InputObject)]
pub(crate) struct UnlinkWalletInput {
    /// The password of the account.
    password: String,
    /// A six-digit code of the second factor, or a recovery code; needed where the account has a second
    /// factor.
    code: Option<String>,
}

/// The result of `unlinkWallet`: the wallet that was linked.
#[derive(Debug, SimpleObject)]
pub(crate) struct UnlinkWalletPayload {
    /// The wallet, which nobody can log in with any more.
    wallet: Wallet,
}

/// The signed message that a person logs in with.
#[derive(Debug, InputObject)]
pub(crate) struct LogInWithWalletInput {
    /// The text of `walletChallenge`, unchanged.
    message: String,
    /// The signature of the wallet: `0x` and hexadecimal digits.
    signature: String,
    /// A six-digit code of the second factor, or a recovery code. Needed where the answer without it is
    /// `SECOND_FACTOR_REQUIRED`; the same message may then be sent again.
    code: Option<String>,
    /// How the refresh token is handed over: `TOKEN` where it is left out.
    refresh_by: Option<RefreshBy>,
}

#[derive(Default)]
pub(crate) struct WalletMutation;

#[Object]
impl WalletMutation {
    /// Makes a message for a wallet to sign. It is accepted once, within five minutes. The purpose LINK
    /// needs a session; the purpose `LOG_IN` needs none, and the answer does not reveal whether the
    /// wallet is linked to an account.
    ///
    /// Error codes: `BAD_USER_INPUT` (`address`), `THROTTLED`.
    async fn wallet_challenge(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The wallet, and the purpose of the message.")]
        input: WalletChallengeInput,
    ) -> Result<Payload<WalletChallengePayload>> {
        let (app, context) = (app(ctx)?, context(ctx)?);
        let purpose = input.purpose.into();
        let asked = challenge::ask(
            app.wallet_messages(),
            &app.throttle,
            context,
            &input.address,
            purpose,
        )
        .await?;
        Ok(Payload(WalletChallengePayload {
            message: asked.text,
            expires_at: Time(asked.expires_at),
        }))
    }

    /// Links the wallet that signed the message to the caller's account, which can log in with it from
    /// then on. One account has at most one wallet, and a wallet belongs to at most one account.
    ///
    /// Error codes: `WRONG_CREDENTIALS`, `SECOND_FACTOR_REQUIRED` where the code is missing,
    /// `BAD_USER_INPUT` (`message`, `signature`), `CONFLICT` (`message`: the wallet or the account is
    /// linked already), `UNAVAILABLE` where the chain has to be asked and does not answer, `THROTTLED`.
    async fn link_wallet(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The signed message, the password and a code.")] input: LinkWalletInput,
    ) -> Result<Payload<LinkWalletPayload>> {
        let (app, caller) = request(ctx)?;
        let reauthentication = Reauthentication {
            password: input.password,
            code: Code(input.code),
        };
        let wallet = link::link(
            app.wallet_messages(),
            app.credentials(),
            &caller,
            &input.message,
            &input.signature,
            &reauthentication,
        )
        .await?;
        Ok(Payload(LinkWalletPayload {
            wallet: Wallet(wallet),
        }))
    }

    /// Unlinks the wallet of the caller's account: nobody logs in with it any more.
    ///
    /// Error codes: `WRONG_CREDENTIALS`, `SECOND_FACTOR_REQUIRED` where the code is missing,
    /// `NOT_FOUND` where no wallet is linked, `THROTTLED`.
    async fn unlink_wallet(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The password and a code.")] input: UnlinkWalletInput,
    ) -> Result<Payload<UnlinkWalletPayload>> {
        let (app, caller) = request(ctx)?;
        let reauthentication = Reauthentication {
            password: input.password,
            code: Code(input.code),
        };
        let wallet = link::unlink(app.credentials(), &caller, &reauthentication).await?;
        Ok(Payload(UnlinkWalletPayload {
            wallet: Wallet(wallet),
        }))
    }

    /// Begins a session with a message that a linked wallet signed. Needs no session.
    ///
    /// Error codes: `WRONG_CREDENTIALS`, whatever was wrong; `SECOND_FACTOR_REQUIRED` where only the
    /// code is missing; `FORBIDDEN` where a cookie is asked for without `X-Meditrustal-Csrf: 1` or by a
    /// foreign page; `BAD_USER_INPUT` (`refreshBy`: an event stream carries no cookie); `UNAVAILABLE`
    /// where the chain has to be asked and does not answer; `THROTTLED`.
    async fn log_in_with_wallet(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The signed message and, where needed, a code.")]
        input: LogInWithWalletInput,
    ) -> Result<Payload<LogInPayload>> {
        let (app, context) = (app(ctx)?, context(ctx)?);
        let by = RefreshBy::chosen(ctx, input.refresh_by)?;
        let code = Code(input.code);
        let session = log_in::log_in(
            app.wallet_messages(),
            app.credentials(),
            app.session_issuer(),
            context,
            &input.message,
            &input.signature,
            &code,
        )
        .await?;
        let now = app.clock.now();
        Ok(Payload(LogInPayload::of(ctx, session, by, now)))
    }
}
