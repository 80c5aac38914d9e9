//! A registry as in production: an account of its own for each role, and an admin that is a contract.

use std::fs;

use dev::chain::{Deployment, run_deploy_script};
use serde_json::json;

use crate::World;

/// anvil's account 3: the steward.
pub const STEWARD: &str = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
/// anvil's account 4: the one that pins the audit log.
pub const CHECKPOINT: &str = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65";
/// anvil's account 5: the pauser.
pub const PAUSER: &str = "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc";
/// anvil's account 6: the deployer.
const DEPLOYER: &str = "0x976EA74026E726554dB657fA54763abd0C3a0aa9";

/// keccak256 of `REGISTRAR_ROLE` and the others.
pub const REGISTRAR_ROLE: &str = "edcc084d3dcd65a1f7f23c65c46722faca6953d28e43150a467cf43e5c309238";
/// The steward's role.
pub const STEWARD_ROLE: &str = "bde745d383bd90948c6bf528cf5a56a9fe775bfee56a5d53b36fd785802b88ec";
/// The role that pins the audit log.
pub const CHECKPOINT_ROLE: &str =
    "1668f9bcd7c4fcee6cb5efd784e7251568ebcc2e65d2c4b9cb4a65b7ef5d1607";
/// The pauser's role.
pub const PAUSER_ROLE: &str = "65d7a28e3265b37a6474929f336521b332c1681b933f6cb9f3376673440d862a";

/// `grantRole(role, account)`
pub fn grant_role(role: &str, account: &str) -> String {
    format!("0x2f2ff15d{role}{:0>64}", &account[2..])
}

/// `revokeRole(role, account)`
pub fn revoke_role(role: &str, account: &str) -> String {
    format!("0xd547741f{role}{:0>64}", &account[2..])
}

/// `setPaused(paused)`
pub fn set_paused(paused: bool) -> String {
    format!("0x16c38b3c{:064x}", u8::from(paused))
}

/// `annul(record hash)`
pub fn annul(hash: &str) -> String {
    format!("0x89fdf281{hash}")
}

/// `close(record hash, Revoked, reason)`
pub fn close(hash: &str, reason: u8) -> String {
    format!("0x7e593e4a{hash}{:064x}{reason:064x}", 3)
}

impl World {
    /// Puts another registry in the place of the one that is there, deployed by the script of the operator's manual
    /// with an account for each role, and starts the programs again with it and with more environment. The admin is a
    /// contract, in whose name the node is made to send; answers its address. `more` is environment of the script.
    ///
    /// Before anybody does anything: what was anchored stays on the old registry.
    pub async fn deploys_as_in_production(
        &mut self,
        more: &[(&str, &str)],
        programs: &[(&str, &str)],
    ) -> String {
        self.api.stop().await;
        self.indexer.stop().await;
        let admin = self.foundation.deployment.registry.clone();
        let registrar = self.foundation.deployment.registrar.clone();
        let file = self.foundation.dir().join("production.json");
        let (tools, url) = (
            self.foundation.tools.clone(),
            self.foundation.chain_rpc_url().to_owned(),
        );
        let environment: Vec<(String, String)> = [
            ("ADMIN_ADDRESS", admin.as_str()),
            ("REGISTRAR_ADDRESS", &registrar),
            ("STEWARD_ADDRESS", STEWARD),
            ("CHECKPOINT_ADDRESS", CHECKPOINT),
            ("PAUSER_ADDRESS", PAUSER),
        ]
        .iter()
        .chain(more)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
        let written = file.clone();
        let printed = tokio::task::spawn_blocking(move || {
            let environment: Vec<(&str, &str)> = environment
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let sender = ["--unlocked", "--sender", DEPLOYER];
            run_deploy_script(&tools, &url, &written, &sender, &environment)
        });
        let printed = printed.await.expect("the script does not panic");
        let printed = printed.unwrap_or_else(|error| panic!("{error}"));
        let deployment = fs::read(&file).expect("the script wrote the deployment");
        let deployment: Deployment = serde_json::from_slice(&deployment).expect("it is one");
        self.foundation.deployment = deployment;

        self.rpc("anvil_impersonateAccount", json!([admin])).await;
        let much = json!([admin, "0xde0b6b3a7640000"]);
        self.rpc("anvil_setBalance", much).await;
        let mut lines = printed.lines();
        let mut calls = 0;
        while let Some(line) = lines.next() {
            if line.contains("The admin must still call") {
                let call = lines.next().unwrap_or_default().trim();
                self.calls_registry(&admin, call.to_owned()).await;
                calls += 1;
            }
        }
        assert_eq!(calls, 5, "four roles and the limit: {printed}");

        let file = file.display().to_string();
        let environment = [
            &[("MEDITRUSTAL_DEPLOYMENT_FILE", file.as_str())][..],
            programs,
        ]
        .concat();
        self.indexer = self
            .another_indexer("production-indexer", &environment)
            .await;
        self.api = self.another_api("production-api", &environment).await;
        admin
    }
}

impl World {
    /// Puts another registry in the place of the one that is there, with a registry of consents beside it, deployed as
    /// for development, and starts the programs again with it and with more environment of the api.
    ///
    /// Before anybody does anything: what was anchored stays on the old registry.
    pub async fn deploys_consents(&mut self, api: &[(&str, &str)]) {
        self.api.stop().await;
        self.indexer.stop().await;
        let file = self.foundation.dir().join("consents.json");
        let registrar = self.foundation.deployment.registrar.clone();
        let (tools, url, written) = (
            self.foundation.tools.clone(),
            self.foundation.chain_rpc_url().to_owned(),
            file.clone(),
        );
        let deployed = tokio::task::spawn_blocking(move || {
            let environment = [
                ("DEVELOPMENT", "true"),
                ("REGISTRAR_ADDRESS", registrar.as_str()),
                ("DEPLOY_CONSENT_REGISTRY", "true"),
            ];
            let sender = ["--unlocked", "--sender", DEPLOYER];
            run_deploy_script(&tools, &url, &written, &sender, &environment)
        });
        let deployed = deployed.await.expect("the script does not panic");
        deployed.unwrap_or_else(|error| panic!("{error}"));
        let deployment = fs::read(&file).expect("the script wrote the deployment");
        self.foundation.deployment = serde_json::from_slice(&deployment).expect("it is one");
        let file = file.display().to_string();
        let environment = [("MEDITRUSTAL_DEPLOYMENT_FILE", file.as_str())];
        self.indexer = self.another_indexer("consents-indexer", &environment).await;
        let environment = [&environment[..], api].concat();
        self.api = self.another_api("consents-api", &environment).await;
    }

    /// The address of the registry of consents.
    pub fn consent_registry(&self) -> &str {
        let consents = self.foundation.deployment.consent_registry.as_deref();
        consents.expect("one was deployed")
    }
}
