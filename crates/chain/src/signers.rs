//! The accounts that share the load of anchoring, and which of them signs for whom. Each has nonces of its own, so that none waits
//! for another.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use alloy::primitives::keccak256;
use domain::ids::{ConsentId, UserId};

use crate::{hash::ChainAddress, signer::Signer};

/// Two keys are of one account: each would take the other's nonces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("two of these keys are of one account, {0}: name each once")]
pub struct SameAccount(pub ChainAddress);

/// The accounts that anchor, in the order in which they were named: at least one, each once. Cheap to clone; clones share which of
/// them are in use.
#[derive(Clone)]
pub struct Signers {
    all: Arc<[Arc<Signer>]>,
    /// A bit for each of the first 64: whether it begins something.
    beginning: Arc<AtomicU64>,
    /// How many accounts are in use whose keys are not here.
    lacking: Arc<AtomicU64>,
}

impl fmt::Debug for Signers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all()).finish()
    }
}

impl Signers {
    /// The first, and more.
    ///
    /// # Errors
    /// [`SameAccount`].
    pub fn new(first: Signer, more: Vec<Signer>) -> Result<Self, SameAccount> {
        let mut all: Vec<Arc<Signer>> = vec![Arc::new(first)];
        for signer in more {
            let address = signer.address();
            if all.iter().any(|it| it.address() == address) {
                return Err(SameAccount(address));
            }
            all.push(Arc::new(signer));
        }
        Ok(Self {
            all: all.into(),
            beginning: Arc::new(AtomicU64::new(u64::MAX)),
            lacking: Arc::default(),
        })
    }

    /// Has only these accounts begin something from now on, as EIP-55 writes them. Where none of them is here, all that are do.
    pub fn begin_with(&self, in_use: &[String]) {
        let mut bits = 0;
        let mut here = 0;
        for (place, address) in self.addresses().iter().enumerate() {
            if in_use.contains(address) {
                here += 1;
                bits |= 1_u64 << place.min(63);
            }
        }
        let bits = if bits == 0 { u64::MAX } else { bits };
        self.beginning.store(bits, Ordering::Relaxed);
        let lacking = u64::try_from(in_use.len())
            .unwrap_or(u64::MAX)
            .saturating_sub(here);
        self.lacking.store(lacking, Ordering::Relaxed);
    }

    /// How many accounts are in use whose keys are not here.
    pub fn lacking(&self) -> u64 {
        self.lacking.load(Ordering::Relaxed)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// All of them, in the order in which they were named.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Signer>> {
        self.all.iter()
    }

    /// The one that was named first: what is nobody's in particular is its.
    pub fn first(&self) -> &Arc<Signer> {
        &self.all[0]
    }

    /// The addresses of all, as EIP-55 writes them.
    pub fn addresses(&self) -> Vec<String> {
        self.all().map(|it| it.address().to_string()).collect()
    }

    /// Whether this account is one of them.
    pub fn has(&self, account: ChainAddress) -> bool {
        self.all().any(|it| it.address() == account)
    }

    /// The place of the one with this address, as EIP-55 writes it.
    pub fn place_of(&self, address: &str) -> Option<usize> {
        self.all()
            .position(|it| it.address().to_string() == address)
    }

    /// The place of the one that begins the records of a patient: always the same while the accounts in use are the same, in
    /// whatever order they are named. Where one is added or taken away, nobody else's patients move.
    pub fn place_of_patient(&self, patient: UserId) -> usize {
        self.place_by(patient.0.as_bytes())
    }

    /// The one that signs for a patient.
    pub fn of_patient(&self, patient: UserId) -> &Arc<Signer> {
        &self.all[self.place_of_patient(patient)]
    }

    /// The one that tells the registry of a consent: the same for all that is told of it.
    pub fn of_consent(&self, consent: ConsentId) -> &Arc<Signer> {
        &self.all[self.place_by(consent.0.as_bytes())]
    }

    /// The one whose address gives the highest hash together with the key (rendezvous hashing).
    fn place_by(&self, key: &[u8; 16]) -> usize {
        let beginning = self.beginning.load(Ordering::Relaxed);
        let scores = self.all.iter().map(|it| score(it.address(), key));
        let scores = scores
            .enumerate()
            .filter(|(place, _)| (beginning >> (*place).min(63)) & 1 == 1);
        let highest = scores.max_by_key(|(_, score)| *score);
        highest.map_or(0, |(place, _)| place)
    }
}

/// Keccak-256 of the address and the key, one behind the other.
fn score(account: ChainAddress, key: &[u8; 16]) -> [u8; 32] {
    let mut bytes = [0; 36];
    bytes[..20].copy_from_slice(&account.0);
    bytes[20..].copy_from_slice(key);
    keccak256(bytes).0
}

#[cfg(test)]
mod tests {
    use alloy::signers::k256::ecdsa::SigningKey;

    use super::*;
    use crate::deployment::Deployment;

    fn signer(number: u8) -> Signer {
        let deployment: Deployment = serde_json::from_str(
            r#"{
                "chainId": 31337, "registry": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "block": 1,
                "codeHash": "0x1111111111111111111111111111111111111111111111111111111111111111",
                "registrar": "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
            }"#,
        )
        .expect("a deployment");
        let key = SigningKey::from_slice(&[number; 32]).expect("a key");
        Signer::new(key, &deployment)
    }

    fn signers(numbers: &[u8]) -> Signers {
        let (first, more) = numbers.split_first().expect("one");
        let more = more.iter().map(|number| signer(*number)).collect();
        Signers::new(signer(*first), more).expect("each once")
    }

    fn patient(nth: u32) -> UserId {
        let id = format!("\"00000000-0000-4000-8000-{nth:012x}\"");
        serde_json::from_str(&id).expect("an id")
    }

    #[test]
    fn a_patients_account_is_known_for_ever() {
        // By another implementation of Keccak-256.
        let two = signers(&[1, 2]);
        let places: Vec<usize> = (0..16)
            .map(|nth| two.place_of_patient(patient(nth)))
            .collect();
        assert_eq!(places, [1, 1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1]);
        assert_eq!(
            keccak_of_the_first(&two),
            "376ee3fbc1a1bb6ddd90a7cd4395284e19d136af8b29458a62d5b74d1b15b0f9"
        );
    }

    fn keccak_of_the_first(signers: &Signers) -> String {
        let score = score(signers.first().address(), patient(0).0.as_bytes());
        alloy::hex::encode(score)
    }

    #[test]
    fn each_has_its_part_and_another_one_takes_patients_of_all() {
        let (two, three) = (signers(&[1, 2]), signers(&[1, 2, 3]));
        let mut moved = 0;
        let mut of_each = [0; 3];
        for patient in (0..1_200).map(patient) {
            let (before, after) = (
                two.place_of_patient(patient),
                three.place_of_patient(patient),
            );
            of_each[after] += 1;
            assert!(
                after == before || after == 2,
                "nobody moves between the two"
            );
            moved += usize::from(after != before);
        }
        assert!(
            of_each.iter().all(|count| (340..460).contains(count)),
            "{of_each:?}"
        );
        assert_eq!(moved, of_each[2]);
    }

    #[test]
    fn the_order_in_which_they_are_named_says_nothing() {
        let (one_way, the_other) = (signers(&[1, 2, 3]), signers(&[3, 1, 2]));
        for patient in (0..200).map(patient) {
            let address = one_way.of_patient(patient).address();
            assert_eq!(the_other.of_patient(patient).address(), address);
        }
    }

    #[test]
    fn only_accounts_in_use_begin_something_and_others_are_missed() {
        let (all, other) = (signers(&[1, 2, 3]), signer(4).address().to_string());
        let clone = all.clone();
        let two = signers(&[1, 3]);

        all.begin_with(&two.addresses());

        for patient in (0..200).map(patient) {
            let wanted = two.of_patient(patient).address();
            assert_eq!(clone.of_patient(patient).address(), wanted);
        }
        assert_eq!(clone.lacking(), 0);
        all.begin_with(&[other.clone(), signer(2).address().to_string()]);
        assert_eq!(
            (clone.place_of_patient(patient(0)), clone.lacking()),
            (1, 1)
        );
        // Somebody has to.
        all.begin_with(&[other]);
        let places = (0..200).map(|nth| clone.place_of_patient(patient(nth)));
        assert_eq!(places.max(), Some(2));
        assert_eq!(clone.lacking(), 1);
    }

    #[test]
    fn one_account_is_named_once() {
        let twice = Signers::new(signer(1), vec![signer(2), signer(1)]);
        let address = signer(1).address();
        assert_eq!(twice.err(), Some(SameAccount(address)));
        let two = signers(&[1, 2]);
        assert_eq!(
            (two.count(), two.place_of(&address.to_string())),
            (2, Some(0))
        );
        assert!(two.has(address) && !two.has(signer(3).address()));
    }
}
