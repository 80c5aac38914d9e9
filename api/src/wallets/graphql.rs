//! Wallets in the schema.

use async_graphql::{Context, Enum, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{ids::WalletId, wallets};
use uuid::Uuid;

use super::{
    challenge,
    link::{self, Again},
    log_in,
};
use crate::{
    app::App,
    graphql::{app, request, scalars::Address, visit},
    page::{self, Connection, Cursor},
    second_factor::demand::Code,
    users::graphql::LogInPayload,
};

/// What a signed message is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::wallets::ChallengePurpose")]
pub(crate) enum WalletChallengePurpose {
    /// Linking the wallet to your account.
    Link,
    /// Logging in.
    LogIn,
}

/// How a wallet proved itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::wallets::ProvenBy")]
pub(crate) enum WalletProof {
    /// By the key that its address is made of.
    Key,
    /// By the word of the contract at its address (EIP-1271).
    Contract,
}

/// A wallet that is, or was, linked to your account.
#[derive(Debug, Clone)]
pub(crate) struct Wallet(wallets::Wallet);

impl Wallet {
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor::of_moment(self.0.linked_at, self.0.id.0)
    }
}

/// A wallet that is, or was, linked to your account.
#[Object]
impl Wallet {
    /// Which link: linked again, the wallet has another one.
    async fn id(&self) -> Uuid {
        self.0.id.0
    }

    /// Its address.
    async fn address(&self) -> Address {
        Address(self.0.address.clone())
    }

    /// The chain's number (EIP-155).
    async fn chain_id(&self) -> i64 {
        self.0.chain_id
    }

    /// How it proved itself when it was linked.
    async fn proven_by(&self) -> WalletProof {
        self.0.proven_by.into()
    }

    /// Since when.
    async fn linked_at(&self) -> DateTime<Utc> {
        self.0.linked_at
    }

    /// Until when; null for the one that is linked.
    async fn unlinked_at(&self) -> Option<DateTime<Utc>> {
        self.0.unlinked_at
    }
}

#[derive(Default)]
pub(crate) struct WalletQuery;

#[Object]
impl WalletQuery {
    /// The wallets that are, or were, linked to your account, newest first. One at most is linked; it
    /// is also `me.blockchainAddress`.
    async fn my_wallets(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100.", default = 20)] first: Option<i32>,
        #[graphql(desc = "Go on after this cursor.")] after: Option<Cursor>,
    ) -> Result<Connection<Wallet>> {
        let (app, caller) = request(ctx)?;
        let size = page::size(first)?;
        let from = after.as_ref().map(Cursor::moment).transpose()?;
        let from = from.map(|(at, id)| (at, WalletId(id)));
        let found = link::list(app, &caller, from, size).await?;
        let found = found.into_iter().map(Wallet).collect();
        Ok(Connection::new(
            found,
            size,
            after.is_some(),
            Wallet::cursor,
        ))
    }
}

/// Which wallet is to sign, and what for.
#[derive(Debug, InputObject)]
pub(crate) struct WalletChallengeInput {
    /// Its address.
    address: String,
    /// What for.
    purpose: WalletChallengePurpose,
}

/// What the wallet is to sign.
#[derive(Debug, SimpleObject)]
pub(crate) struct WalletChallengePayload {
    /// The exact text (EIP-4361), for the wallet's `personal_sign`.
    message: String,
    /// Until when it may be answered.
    expires_at: DateTime<Utc>,
}

/// A signed message, and who you are.
#[derive(Debug, InputObject)]
pub(crate) struct LinkWalletInput {
    /// The text of `walletChallenge`, unchanged.
    message: String,
    /// The wallet's signature: `0x` and hexadecimal digits.
    signature: String,
    /// Your password.
    password: String,
    /// A code of your second factor, if you have one.
    code: Option<String>,
}

/// A linked wallet.
#[derive(Debug, SimpleObject)]
pub(crate) struct LinkWalletPayload {
    /// The wallet.
    wallet: Wallet,
}

/// Who you are.
#[derive(Debug, InputObject)]
pub(crate) struct UnlinkWalletInput {
    /// Your password.
    password: String,
    /// A code of your second factor, if you have one.
    code: Option<String>,
}

/// A wallet that was linked.
#[derive(Debug, SimpleObject)]
pub(crate) struct UnlinkWalletPayload {
    /// The wallet.
    wallet: Wallet,
}

/// A signed message.
#[derive(Debug, InputObject)]
pub(crate) struct LogInWithWalletInput {
    /// The text of `walletChallenge`, unchanged.
    message: String,
    /// The wallet's signature: `0x` and hexadecimal digits.
    signature: String,
    /// A code of your second factor, or a recovery code, if the account has one.
    code: Option<String>,
}

#[derive(Default)]
pub(crate) struct WalletMutation;

#[Object]
impl WalletMutation {
    /// Gives a message to sign: to link a wallet to your account, or to log in with the one that is
    /// linked. It is good for five minutes and for one answer.
    async fn wallet_challenge(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which wallet, and what for.")] input: WalletChallengeInput,
    ) -> Result<WalletChallengePayload> {
        let (app, visit): (&App, _) = (app(ctx)?, visit(ctx)?);
        let purpose = input.purpose.into();
        let asked = challenge::ask(app, visit, &input.address, purpose).await?;
        Ok(WalletChallengePayload {
            message: asked.text,
            expires_at: asked.expires_at,
        })
    }

    /// Links the wallet that signed the message to your account: you can log in with it from then on.
    /// One wallet has one account, one account one wallet.
    async fn link_wallet(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A signed message, and who you are.")] input: LinkWalletInput,
    ) -> Result<LinkWalletPayload> {
        let (app, caller) = request(ctx)?;
        let again = Again {
            password: input.password,
            code: Code(input.code),
        };
        let wallet = link::link(app, &caller, &input.message, &input.signature, &again).await?;
        Ok(LinkWalletPayload {
            wallet: Wallet(wallet),
        })
    }

    /// Unlinks your wallet: nobody logs in with it any more.
    async fn unlink_wallet(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who you are.")] input: UnlinkWalletInput,
    ) -> Result<UnlinkWalletPayload> {
        let (app, caller) = request(ctx)?;
        let again = Again {
            password: input.password,
            code: Code(input.code),
        };
        let wallet = link::unlink(app, &caller, &again).await?;
        Ok(UnlinkWalletPayload {
            wallet: Wallet(wallet),
        })
    }

    /// Logs in with a linked wallet.
    async fn log_in_with_wallet(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A signed message.")] input: LogInWithWalletInput,
    ) -> Result<LogInPayload> {
        let (app, visit): (&App, _) = (app(ctx)?, visit(ctx)?);
        let code = Code(input.code);
        let session = log_in::log_in(app, visit, &input.message, &input.signature, &code).await?;
        Ok(session.into())
    }
}
