//! The nodes that can be asked. A round asks one of them from its beginning to its end, so that all that it sees is of one
//! chain. One that fails rests, longer each time, and another takes its place ([`Failover`]); the others are asked where one is not
//! to be believed alone: before anything is undone, and before anything is called final.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chain::{Block, ChainAddress, Client, EndpointHealth, Failover, MAX_REST};
use store::chain_events::UnpairedEvent;

use crate::{
    fetch::{self, PlaceAnswer},
    position::BlockRef,
};

/// How long another node may take to say what it has; one that takes longer says nothing, and is not asked for [`MAX_REST`].
/// A connection that is half open would hold up each reorganisation otherwise, and each move of finality.
const OTHERS_TIMEOUT: Duration = Duration::from_secs(1);

/// One node.
#[derive(Debug)]
struct NodeEndpoint {
    client: Client,
    /// Until when it is not asked beside another one, because it gave no answer.
    silent_until: Mutex<Option<Instant>>,
}

/// All of them; one is asked, until it fails. A copy asks the same one for as long as it is there.
#[derive(Debug, Clone)]
pub(crate) struct Endpoints {
    all: Arc<[NodeEndpoint]>,
    failover: Failover,
}

impl Endpoints {
    /// At least one client; the first is asked first. `first_rest` is how long one rests that has failed once.
    pub(crate) fn new(first: Client, others: Vec<Client>, first_rest: Duration) -> Self {
        let all = std::iter::once(first).chain(others);
        let all = all.map(|client| NodeEndpoint {
            client,
            silent_until: Mutex::new(None),
        });
        let all: Arc<[NodeEndpoint]> = all.collect();
        Self {
            failover: Failover::new(all.len(), first_rest),
            all,
        }
    }

    /// The one that is asked.
    pub(crate) fn client(&self) -> &Client {
        &self.all[self.failover.used()].client
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// The others, each with its place.
    fn others(&self) -> impl Iterator<Item = (usize, &Client)> {
        let all = self.all.iter().enumerate();
        all.filter(|(place, _)| *place != self.failover.used())
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

    /// Whether the others, where there are any, say too that these events are not where their rows say, in their order: one of them
    /// at least, and none otherwise. Who gives no answer says nothing.
    pub(crate) async fn others_differ(
        &self,
        contract: ChainAddress,
        events: &[UnpairedEvent],
        at: BlockRef,
    ) -> Vec<bool> {
        let asked = self.others().map(|(place, client)| {
            self.soon(place, async move {
                let told = fetch::proven_places(client, contract, events, at).await;
                told.ok()
            })
        });
        let told = futures::future::join_all(asked).await;
        let differ = |nth: usize| {
            let answers = told.iter().flatten().filter_map(|it| it.get(nth));
            let mut known = answers.filter(|it| **it != PlaceAnswer::Unknown).peekable();
            let is_told = known.peek().is_some();
            self.count() == 1 || (is_told && known.all(|it| *it != PlaceAnswer::Same))
        };
        (0..events.len()).map(differ).collect()
    }

    /// Asks this one from now on.
    pub(crate) fn use_other(&mut self, place: usize) {
        self.failover.use_other(place);
    }

    /// The one that is asked did what it should.
    pub(crate) fn succeeded(&mut self) {
        self.failover.succeeded(self.failover.used());
    }

    /// The one that is asked did not: it rests, at least as long as it asked for, and the one takes its place that may be
    /// asked first. Gives how long until then.
    pub(crate) fn failed(&mut self, error: String, asked_for: Option<Duration>) -> Duration {
        self.failover.failed(self.failover.used(), error, asked_for)
    }

    /// What is known of each.
    pub(crate) fn health(&self) -> Vec<EndpointHealth> {
        self.failover.health()
    }
}

#[cfg(test)]
mod tests {
    use chain::{BlockHash, Deployment};

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
    fn another_one_takes_the_place_of_one_that_fails() {
        let mut two = endpoints(2);
        assert_eq!(two.failed("gone".to_owned(), None), Duration::ZERO);
        assert!(two.health()[1].is_used);
        two.succeeded();
        assert!(two.health()[1].is_well && !two.health()[0].is_well);
        let others: Vec<usize> = two.others().map(|(place, _)| place).collect();
        assert_eq!(others, [0]);
    }

    #[tokio::test]
    async fn an_event_is_elsewhere_where_another_one_says_so_too_if_there_is_another_one() {
        let event = UnpairedEvent {
            sequence: 1,
            block_number: 2,
            block_hash: BlockHash([2; 32]).to_string(),
            tx_hash: String::new(),
            log_index: 0,
        };
        let at = BlockRef {
            number: 3,
            hash: BlockHash([3; 32]),
        };
        for (count, differs) in [(1, true), (2, false)] {
            let nodes = endpoints(count);
            let contract = nodes.client().deployment().registry;
            let events = std::slice::from_ref(&event);
            let said = nodes.others_differ(contract, events, at).await;
            assert_eq!(said, [differs], "{count} that give no answer");
        }
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
}
