//! The nodes that can be asked. A round asks one of them from its beginning to its end, so that all that it sees is of one
//! chain. One that fails rests, longer each time, and another takes its place; the others are asked where one is not to be
//! believed alone: before anything is undone, and before anything is called final.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use chain::{Block, Client};
use domain::ids::RequestId;

use crate::position::BlockRef;

/// The longest rest of one that fails again and again.
const MAX_REST: Duration = Duration::from_secs(5);

/// How long another node may take to say what it has; one that takes longer says nothing, and is not asked for [`MAX_REST`].
/// A connection that is half open would hold up each reorganisation otherwise, and each move of finality.
const OTHERS_TIMEOUT: Duration = Duration::from_secs(1);

/// How much of a rest is left to chance, so that those who wait do not all come back at once: a fifth. Unit: parts.
const JITTER_PARTS: u32 = 5;

/// One node.
#[derive(Debug)]
struct NodeEndpoint {
    client: Client,
    /// How often it has failed since it last did what it should.
    failures_in_a_row: u32,
    /// Until when it is left alone.
    rests_until: Option<Instant>,
    failures: u64,
    last_error: Option<String>,
    /// Until when it is not asked beside another one, because it gave no answer.
    silent_until: Mutex<Option<Instant>>,
}

/// What is known of a node, by its place in the list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointHealth {
    /// Whether it is the one that is asked.
    pub(crate) is_used: bool,
    /// Whether it did what it should when it was last asked.
    pub(crate) is_well: bool,
    /// How often it did not.
    pub(crate) failures: u64,
    /// Why, the last time, while it is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<String>,
}

/// All of them; one is asked, until it fails.
#[derive(Debug)]
pub(crate) struct Endpoints {
    all: Vec<NodeEndpoint>,
    used: usize,
    first_rest: Duration,
}

impl Endpoints {
    /// At least one client; the first is asked first. `first_rest` is how long one rests that has failed once.
    pub(crate) fn new(first: Client, others: Vec<Client>, first_rest: Duration) -> Self {
        let all = std::iter::once(first).chain(others);
        let all = all.map(|client| NodeEndpoint {
            client,
            failures_in_a_row: 0,
            rests_until: None,
            failures: 0,
            last_error: None,
            silent_until: Mutex::new(None),
        });
        Self {
            all: all.collect(),
            used: 0,
            first_rest,
        }
    }

    /// The one that is asked.
    pub(crate) fn client(&self) -> &Client {
        &self.all[self.used].client
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// The others, each with its place.
    fn others(&self) -> impl Iterator<Item = (usize, &Client)> {
        let all = self.all.iter().enumerate();
        all.filter(|(place, _)| *place != self.used)
            .map(|(place, it)| (place, &it.client))
    }

    /// What another node says, where it says it soon.
    async fn soon<T>(&self, place: usize, answer: impl Future<Output = Option<T>>) -> Option<T> {
        let silent_until = &self.all[place].silent_until;
        let until = *silent_until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        if let Ok(answer) = tokio::time::timeout(OTHERS_TIMEOUT, answer).await {
            return answer;
        }
        tracing::debug!("Node {} gives no answer", place + 1);
        let until = Some(Instant::now() + MAX_REST);
        *silent_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
        None
    }

    /// Those of the others that have this very block, with their newest block each. Who gives no answer says nothing.
    pub(crate) async fn others_with(&self, block: BlockRef) -> Vec<(usize, Block)> {
        let asked = self.others().map(|(place, client)| {
            self.soon(place, async move {
                let theirs = client.block_by_number(block.number).await.ok()??;
                let head = client.head().await.ok()?;
                (theirs.hash == block.hash).then_some((place, head))
            })
        });
        let answers = futures::future::join_all(asked).await;
        answers.into_iter().flatten().collect()
    }

    /// Those of the others that have another block of this number. Who gives no answer, or has none, says nothing.
    pub(crate) async fn others_without(&self, block: BlockRef) -> Vec<(usize, BlockRef)> {
        let asked = self.others().map(|(place, client)| {
            self.soon(place, async move {
                let theirs = client.block_by_number(block.number).await.ok()??;
                let theirs = BlockRef::from(&theirs);
                (theirs.hash != block.hash).then_some((place, theirs))
            })
        });
        let answers = futures::future::join_all(asked).await;
        answers.into_iter().flatten().collect()
    }

    /// Asks this one from now on.
    pub(crate) fn use_other(&mut self, place: usize) {
        if place < self.all.len() && place != self.used {
            tracing::info!(
                "Asking node {} instead of node {}",
                place + 1,
                self.used + 1
            );
            self.used = place;
        }
    }

    /// The one that is asked did what it should.
    pub(crate) fn succeeded(&mut self) {
        let used = &mut self.all[self.used];
        (used.failures_in_a_row, used.rests_until, used.last_error) = (0, None, None);
    }

    /// The one that is asked did not: it rests, at least as long as it asked for, and the one takes its place that may be
    /// asked first. Gives how long until then.
    pub(crate) fn failed(&mut self, error: String, asked_for: Option<Duration>) -> Duration {
        let now = Instant::now();
        let used = &mut self.all[self.used];
        let rest = self
            .first_rest
            .saturating_mul(1_u32 << used.failures_in_a_row.min(16))
            .min(MAX_REST.max(self.first_rest));
        let rest =
            jittered(rest, RequestId::fresh().0.as_u128()).max(asked_for.unwrap_or_default());
        used.failures_in_a_row = used.failures_in_a_row.saturating_add(1);
        used.failures += 1;
        used.rests_until = Some(now + rest);
        used.last_error = Some(error);
        let wait_of = |it: &NodeEndpoint| {
            let until = it.rests_until.unwrap_or(now);
            until.saturating_duration_since(now)
        };
        let next = self.all.iter().enumerate();
        let next = next.min_by_key(|&(place, it)| (wait_of(it), place == self.used));
        let (place, wait) = next.map_or((self.used, rest), |(place, it)| (place, wait_of(it)));
        self.use_other(place);
        wait
    }

    /// What is known of each.
    pub(crate) fn health(&self) -> Vec<EndpointHealth> {
        let all = self.all.iter().enumerate();
        all.map(|(place, it)| EndpointHealth {
            is_used: place == self.used,
            is_well: it.last_error.is_none(),
            failures: it.failures,
            last_error: it.last_error.clone(),
        })
        .collect()
    }
}

/// A rest, shorter or longer by up to a fifth.
fn jittered(rest: Duration, chance: u128) -> Duration {
    let part = rest / JITTER_PARTS;
    // The last bits of an identifier are random.
    let thousandths = u32::try_from(chance % 2_001).unwrap_or(1_000);
    part * (JITTER_PARTS - 1) + part * thousandths / 1_000
}

#[cfg(test)]
mod tests {
    use chain::Deployment;

    use super::*;

    const REST: Duration = Duration::from_millis(100);

    fn endpoints(count: usize) -> Endpoints {
        let deployment: Deployment = serde_json::from_str(
            r#"{
                "chainId": 31337, "registry": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "block": 1,
                "codeHash": "0x1111111111111111111111111111111111111111111111111111111111111111",
                "registrar": "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
            }"#,
        )
        .expect("a deployment");
        let client = || Client::new("http://127.0.0.1:9", REST, &deployment).expect("a client");
        Endpoints::new(client(), (1..count).map(|_| client()).collect(), REST)
    }

    #[test]
    fn one_that_fails_rests_and_another_is_asked_at_once() {
        let mut two = endpoints(2);
        assert_eq!(two.failed("gone".to_owned(), None), Duration::ZERO);
        assert_eq!(two.used, 1);
        let health = two.health();
        assert!(!health[0].is_well && !health[0].is_used && health[1].is_used);
        two.succeeded();
        assert!(two.health()[1].is_well);

        // Then the first is rested sooner than the second.
        let wait = two.failed("gone, too".to_owned(), Some(Duration::from_secs(30)));
        assert_eq!(two.used, 0);
        assert!(wait <= REST + REST / JITTER_PARTS, "{wait:?}");
    }

    #[test]
    fn one_alone_rests_longer_each_time_within_bounds_and_as_long_as_it_asks_for() {
        let mut one = endpoints(1);
        let mut before = Duration::ZERO;
        for _ in 0..5 {
            let wait = one.failed("gone".to_owned(), None);
            assert!(wait > before, "{wait:?} after {before:?}");
            before = wait;
        }
        for _ in 0..40 {
            let wait = one.failed("gone".to_owned(), None);
            assert!(wait <= MAX_REST + MAX_REST / JITTER_PARTS, "{wait:?}");
        }
        let wait = one.failed("429".to_owned(), Some(Duration::from_secs(20)));
        assert!(wait > Duration::from_secs(19), "{wait:?}");
        one.succeeded();
        assert!(one.failed("gone".to_owned(), None) < REST * 2);
        assert_eq!(one.used, 0);
    }

    #[tokio::test]
    async fn one_that_gives_no_answer_is_not_waited_for_twice() {
        let two = endpoints(2);
        let never = std::future::pending::<Option<()>>;
        let began = Instant::now();
        assert_eq!(two.soon(1, never()).await, None);
        assert!(began.elapsed() >= OTHERS_TIMEOUT);

        let began = Instant::now();
        assert_eq!(two.soon(1, never()).await, None);
        assert!(began.elapsed() < OTHERS_TIMEOUT);
        assert_eq!(two.soon(0, async { Some(()) }).await, Some(()));
    }

    #[test]
    fn chance_moves_a_rest_by_a_fifth_at_most() {
        for chance in [0, 1, 999, 1_000, 2_000, 2_001, u128::MAX] {
            let rest = jittered(REST, chance);
            assert!(rest >= REST / 5 * 4 && rest <= REST + REST / 5, "{rest:?}");
        }
        assert_ne!(jittered(REST, 0), jittered(REST, 2_000));
    }
}
