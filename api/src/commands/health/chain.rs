//! What the chain's node says: of its blocks, and of the accounts that sign.

use chain::{ChainAddress, Client, transactions_left};
use domain::{
    clock::Clock,
    monitoring::{CheckLimits, CheckName, HealthCheck, TRANSACTIONS_LEFT},
};
use metrics::number;
use store::{PgConnection, StoreError, cursor::Registry, monitoring};

use super::{CheckHealth, span};

/// How often the limit of the age of the newest block is passed before that is critical.
const CRITICAL_HEAD_AGES: f64 = 3.0;

impl CheckHealth {
    pub(super) async fn chain(
        &self,
        client: &Client,
        conn: &mut PgConnection,
        registry: &Registry,
    ) -> Result<Vec<HealthCheck>, StoreError> {
        let mut checks = vec![self.node(client).await];
        checks.extend(registrars(client, conn, registry).await?);
        if let Some(signer) = monitoring::checkpoint_signer(conn, registry).await?
            && let Ok(account) = signer.parse::<ChainAddress>()
        {
            checks.push(funds(client, CheckName::CheckpointFunds, account).await);
        }
        Ok(checks)
    }

    async fn node(&self, client: &Client) -> HealthCheck {
        if let Err(error) = client.check().await {
            return HealthCheck::critical(CheckName::Node, error.to_string());
        }
        let head = match client.head().await {
            Ok(head) => head,
            Err(error) => return HealthCheck::critical(CheckName::Node, error.to_string()),
        };
        let made = i64::try_from(head.timestamp).unwrap_or(i64::MAX);
        let age = number(Clock::System.now().timestamp().saturating_sub(made).max(0));
        let found = format!("its newest block, {}, is {} old", head.number, span(age));
        if self.head_age == 0 {
            return HealthCheck::ok(CheckName::Node, found);
        }
        let limit = f64::from(self.head_age);
        let limits = CheckLimits::new(limit, CRITICAL_HEAD_AGES * limit);
        HealthCheck::at_most(CheckName::Node, age, limits, found)
    }
}

/// The accounts that sign anchors and may: one that was replaced is none of them.
async fn registrars(
    client: &Client,
    conn: &mut PgConnection,
    registry: &Registry,
) -> Result<Vec<HealthCheck>, StoreError> {
    let mut checks = Vec::new();
    for signer in monitoring::signers(conn, registry.chain_id).await? {
        let Ok(account) = signer.address.parse::<ChainAddress>() else {
            continue;
        };
        // Who cannot be asked about is told of below.
        if matches!(client.is_registrar(account).await, Ok(false)) {
            continue;
        }
        checks.push(funds(client, CheckName::RegistrarFunds, account).await);
        checks.push(nonce(client, account, signer.next_nonce).await);
    }
    Ok(checks)
}

async fn funds(client: &Client, name: CheckName, account: ChainAddress) -> HealthCheck {
    let asked = tokio::try_join!(client.balance(account), client.fees());
    let (balance, fees) = match asked {
        Ok(known) => known,
        Err(error) => return HealthCheck::warning(name, format!("not known: {error}")),
    };
    let left = transactions_left(balance, fees.max_fee_per_gas);
    HealthCheck::at_least(
        name,
        number(i64::try_from(left).unwrap_or(i64::MAX)),
        TRANSACTIONS_LEFT,
        format!("{account} has {balance} wei, for {left} transactions"),
    )
}

async fn nonce(client: &Client, account: ChainAddress, ours: i64) -> HealthCheck {
    let chain = match client.next_nonce(account).await {
        Ok(nonce) => i64::try_from(nonce).unwrap_or(i64::MAX),
        Err(error) => return HealthCheck::warning(CheckName::Nonce, format!("not known: {error}")),
    };
    let under_way = ours.saturating_sub(chain);
    let check = if under_way < 0 {
        let found = format!(
            "the chain knows {} transactions of {account} that we do not",
            -under_way
        );
        HealthCheck::critical(CheckName::Nonce, found)
    } else {
        let found = format!("{under_way} of {account} are not in a block yet");
        HealthCheck::ok(CheckName::Nonce, found)
    };
    HealthCheck {
        value: Some(number(under_way)),
        ..check
    }
}
