//! Transactions of accounts that are not in use and whose keys are not here: an earlier key's, and one's that was taken out. They are sent to their end, for
//! which nobody needs the key. Where such an account may not anchor any more they would be mined without effect, so what they were
//! for is signed again by an account that is in use.

use chain::{ChainAddress, ToldFact};
use store::{
    StoreError,
    outbox::{self, DueTransaction, again},
    signers::SignerAccount,
};

use super::{BATCH, RETRY_IN, Relay, claim_sendable, stuck::StuckReason};

impl Relay {
    /// Sends what other accounts have signed.
    pub(super) async fn finish_others(&self) -> Result<(), StoreError> {
        let mut conn = self.pool.acquire().await?;
        let in_use = self.in_use(&mut conn).await?;
        let others = again::other_accounts(&mut conn, self.chain_id, &in_use).await?;
        drop(conn);
        for address in others {
            let Ok(account) = address.parse::<ChainAddress>() else {
                // Not written by us.
                continue;
            };
            let signer = SignerAccount {
                chain_id: self.chain_id,
                address: &address,
            };
            self.finish(signer, account).await?;
        }
        Ok(())
    }

    async fn finish(
        &self,
        signer: SignerAccount<'_>,
        account: ChainAddress,
    ) -> Result<(), StoreError> {
        let mut conn = self.pool.acquire().await?;
        let mut due = outbox::due(&mut conn, signer, BATCH).await?;
        if due.is_empty() {
            return Ok(());
        }
        let decision = self.ends.begin();
        let under_way = outbox::under_way(&mut conn, signer).await?;
        drop(conn);
        let room = match self.client.room(account).await {
            Ok(room) => room,
            Err(error) => return self.put_off_all(&due, &error).await,
        };
        if !room.paused && !room.may_anchor {
            if self.is_agreed(ToldFact::NoRegistrar(account)).await {
                return self.take_over(account, &due).await;
            }
            return self.wait_with(&due).await;
        }
        let held = due.split_off(claim_sendable(&decision, &due, room, under_way));
        self.send(account, &due).await?;
        self.wait_with(&held).await
    }

    /// Puts these off.
    async fn wait_with(&self, due: &[DueTransaction]) -> Result<(), StoreError> {
        if due.is_empty() {
            return Ok(());
        }
        let due: Vec<i64> = due.iter().map(|it| it.outbox).collect();
        let mut conn = self.pool.acquire().await?;
        outbox::put_off(&mut conn, &due, RETRY_IN).await
    }

    /// Gives up what an account has signed that may not anchor any more.
    async fn take_over(
        &self,
        account: ChainAddress,
        due: &[DueTransaction],
    ) -> Result<(), StoreError> {
        tracing::warn!(
            %account,
            transactions = due.len(),
            "The registry takes nothing from {account} any more: what it has signed is signed again by another account"
        );
        for transaction in due {
            self.give_up(transaction, StuckReason::RoleLost).await?;
        }
        Ok(())
    }
}
