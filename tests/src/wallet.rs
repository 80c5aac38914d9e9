//! Wallets: anvil's own accounts, which sign whatever they are asked to, and a contract.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{Answer, Person, World, text};

const CHALLENGE: &str = "mutation Challenge($input: WalletChallengeInput!) {
  walletChallenge(input: $input) { message expiresAt }
}";
const LINK: &str = "mutation Link($input: LinkWalletInput!) {
  linkWallet(input: $input) { wallet { id address chainId provenBy linkedAt unlinkedAt } }
}";
const UNLINK: &str = "mutation Unlink($input: UnlinkWalletInput!) {
  unlinkWallet(input: $input) { wallet { id address unlinkedAt } }
}";
const LOG_IN: &str = "mutation LogIn($input: LogInWithWalletInput!) {
  logInWithWallet(input: $input) { accessToken user { id blockchainAddress } }
}";

impl Person {
    /// Asks for a message to sign.
    pub async fn asks_to(&self, purpose: &str, address: &str) -> Answer {
        let input = json!({ "address": address, "purpose": purpose });
        self.asks(CHALLENGE, json!({ "input": input })).await
    }

    /// Is given a message to sign.
    pub async fn challenge(&self, purpose: &str, address: &str) -> String {
        let answer = self.asks_to(purpose, address).await;
        text(&answer.data()["walletChallenge"]["message"])
    }

    /// Links a wallet by its signature, or tries to.
    pub async fn links(&self, message: &str, signature: &str) -> Answer {
        let input =
            json!({ "message": message, "signature": signature, "password": self.password });
        self.asks(LINK, json!({ "input": input })).await
    }

    /// Unlinks the wallet, or tries to.
    pub async fn unlinks(&self) -> Answer {
        let input = json!({ "input": { "password": self.password } });
        self.asks(UNLINK, input).await
    }

    /// Logs in by a wallet's signature, or tries to.
    pub async fn shows_wallet(&self, message: &str, signature: &str, code: Option<&str>) -> Answer {
        let input = json!({ "message": message, "signature": signature, "code": code });
        self.asks(LOG_IN, json!({ "input": input })).await
    }
}

impl World {
    /// The address of one of the node's accounts, in EIP-55 spelling. The first two have work to do.
    pub async fn account(&self, nth: usize) -> String {
        // As the node was started with its usual words.
        const ACCOUNTS: [&str; 4] = [
            "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
            "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
            "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
            "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc",
        ];
        let all = self.rpc("eth_accounts", json!([])).await;
        let known = text(&all[nth + 2]);
        assert!(known.eq_ignore_ascii_case(ACCOUNTS[nth]), "{known}");
        ACCOUNTS[nth].to_owned()
    }

    /// What an account's wallet answers when it is asked to sign a text (`personal_sign`).
    pub async fn signs(&self, account: &str, message: &str) -> String {
        let hex: Vec<String> = message.bytes().map(|it| format!("{it:02x}")).collect();
        let signed = self.rpc(
            "personal_sign",
            json!([format!("0x{}", hex.concat()), account]),
        );
        text(&signed.await)
    }

    /// What an account's wallet answers when it is asked to sign typed data (`eth_signTypedData_v4`).
    pub async fn signs_typed_data(&self, account: &str, typed_data: &Value) -> String {
        let signed = self.rpc("eth_signTypedData_v4", json!([account, typed_data]));
        text(&signed.await)
    }

    /// A contract wallet (EIP-1271) of this account's, in a block that is final. It wants its owner's
    /// signatures behind the byte `77`.
    pub async fn contract_wallet(&self, owner: &str) -> String {
        let code = wallet_code(self).await;
        let owner_word = format!("{:0>64}", owner[2..].to_lowercase());
        let transaction = json!([{ "from": owner, "data": format!("{code}{owner_word}") }]);
        let sent = text(&self.rpc("eth_sendTransaction", transaction).await);
        let address = crate::eventually("the wallet is deployed", async || {
            let receipt = self.rpc("eth_getTransactionReceipt", json!([sent])).await;
            receipt["contractAddress"].as_str().map(str::to_owned)
        })
        .await;
        self.mine(3).await;
        address
    }
}

/// The code that makes `contracts/test/consent/Wallet.sol`, as forge compiles it.
async fn wallet_code(world: &World) -> &'static str {
    static CODE: OnceCell<String> = OnceCell::const_new();
    let tools = world.foundation.tools.clone();
    let code = CODE.get_or_init(|| async {
        let compiled = tokio::task::spawn_blocking(move || compile(&tools)).await;
        compiled.expect("compiling does not panic")
    });
    code.await
}

fn compile(tools: &dev::tools::Tools) -> String {
    // Apart from what a deployment at the same time builds.
    const BUILT: &str = "target/forge-wallet";
    let output = Command::new(tools.forge().expect("forge is among the tools"))
        .args(["build", "contracts/test/consent/Wallet.sol"])
        .env("FOUNDRY_OUT", format!("{BUILT}/out"))
        .env("FOUNDRY_CACHE_PATH", format!("{BUILT}/cache"))
        .env("NO_COLOR", "1")
        .current_dir(tools.root())
        .stdin(Stdio::null())
        .output()
        .expect("forge starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "forge build: {said}");
    let file = tools.root().join(BUILT).join("out/Wallet.sol/Wallet.json");
    let artifact = std::fs::read_to_string(file).expect("forge leaves what it built");
    let artifact: Value = serde_json::from_str(&artifact).expect("in JSON");
    text(&artifact["bytecode"]["object"])
}
