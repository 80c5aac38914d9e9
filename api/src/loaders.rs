//! Loaders: what resolvers ask for one by one is fetched together. One set per request, because its
//! cache must not outlive the caller's rights.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, OnceLock},
};

use chrono::{DateTime, Utc};
use dataloader::{BatchFn, cached::Loader};
use domain::{
    ids::{ConsentId, OrganizationId, RecordId, UserId},
    organizations::{Membership, Organization},
    users::User,
};
use store::{
    Pool, StoreError,
    anchors::Anchor,
    receipts::StoredReceipt,
    versions::{Successor, Version},
};

use crate::{error::Error, seals::Seals};

/// How often a loader yields before it fetches what has gathered. It is no timer: an idle process
/// goes on at once.
const YIELDS: usize = 3;
/// How many keys go into one statement.
const MAX_BATCH: usize = 500;

/// What a batch gives for one key. Every key is answered, so no caller waits for ever.
type Loaded<V> = Result<Option<V>, LoadFailed>;

/// What became of the batch: its statement failed, and was logged there.
#[derive(Debug, Clone)]
pub(crate) struct LoadFailed(Arc<Error>);

impl LoadFailed {
    /// The batch was given up before it answered.
    fn unanswered<E>(_: E) -> Self {
        Self(Arc::new(Error::Unavailable))
    }
}

impl From<LoadFailed> for Error {
    fn from(failed: LoadFailed) -> Self {
        Arc::unwrap_or_clone(failed.0)
    }
}

// What a batch asks is boxed: each field that may ask for one would be as large as the statement's future, asked or not.

/// Fetches accounts.
struct UserBatch(Pool);

impl BatchFn<UserId, Loaded<Arc<User>>> for UserBatch {
    async fn load(&mut self, keys: &[UserId]) -> HashMap<UserId, Loaded<Arc<User>>> {
        let found = Box::pin(async {
            let mut conn = self.0.acquire().await?;
            store::users::by_ids(&mut conn, keys).await
        });
        by_key(keys, found.await, |user| user.id)
    }
}

/// Fetches anchors.
struct AnchorBatch(Pool);

impl BatchFn<RecordId, Loaded<Arc<Anchor>>> for AnchorBatch {
    async fn load(&mut self, keys: &[RecordId]) -> HashMap<RecordId, Loaded<Arc<Anchor>>> {
        let found = Box::pin(async {
            let mut conn = self.0.acquire().await?;
            store::anchors::by_records(&mut conn, keys).await
        });
        by_key(keys, found.await, |anchor| anchor.record)
    }
}

/// Fetches what took the place of versions.
struct SuccessorBatch(Pool);

impl BatchFn<RecordId, Loaded<Arc<RecordId>>> for SuccessorBatch {
    async fn load(&mut self, keys: &[RecordId]) -> HashMap<RecordId, Loaded<Arc<RecordId>>> {
        let found = Box::pin(async {
            let mut conn = self.0.acquire().await?;
            store::versions::successors(&mut conn, keys).await
        });
        let by_old = by_key(keys, found.await, |found: &Successor| found.of);
        let id = |found: Arc<Successor>| Arc::new(found.successor);
        let found = by_old.into_iter();
        found
            .map(|(old, new)| (old, new.map(|new| new.map(id))))
            .collect()
    }
}

/// All versions of a record, newest first.
pub(crate) type Versions = Arc<Vec<Version>>;

/// Fetches the versions of records, by any one of them.
struct VersionBatch(Pool);

impl BatchFn<RecordId, Loaded<Versions>> for VersionBatch {
    async fn load(&mut self, keys: &[RecordId]) -> HashMap<RecordId, Loaded<Versions>> {
        let found = Box::pin(async {
            let mut conn = self.0.acquire().await?;
            let found = store::versions::all(&mut conn, keys).await?;
            let of_one = |one: &[Version]| one.to_vec();
            let by_record = found.chunk_by(|a, b| a.asked == b.asked).map(of_one);
            Ok(by_record.collect::<Vec<_>>())
        });
        by_key(keys, found.await, |versions: &Vec<Version>| {
            versions
                .first()
                .map_or(RecordId(uuid::Uuid::nil()), |version| version.asked)
        })
    }
}

/// Fetches organisations that are as they were sealed.
struct OrganizationBatch(Pool, Seals);

impl BatchFn<OrganizationId, Loaded<Arc<Organization>>> for OrganizationBatch {
    async fn load(
        &mut self,
        keys: &[OrganizationId],
    ) -> HashMap<OrganizationId, Loaded<Arc<Organization>>> {
        let found = Box::pin(async {
            let mut conn = self.0.acquire().await?;
            let found = store::organizations::by_ids(&mut conn, keys).await?;
            let found = found.into_iter();
            let opened = found.filter_map(|stored| self.1.open(stored.organization));
            Ok(opened.collect())
        });
        by_key(keys, found.await, |organization: &Organization| {
            organization.id
        })
    }
}

/// A membership, and whether it is as it was sealed.
pub(crate) type ShownMembership = (Membership, bool);

/// What a doctor's memberships are, and the organisations of those that are as they were sealed.
#[derive(Debug, Default)]
pub(crate) struct DoctorMemberships {
    doctor: Option<UserId>,
    /// Every membership, newest first.
    pub(crate) memberships: Vec<ShownMembership>,
    /// The organisations, in the same order, each once; without those that are not as they were sealed.
    pub(crate) organizations: Vec<Arc<Organization>>,
}

impl DoctorMemberships {
    /// The active organisations that the doctor belongs to at `now`, each once.
    pub(crate) fn current(&self, now: DateTime<Utc>) -> impl Iterator<Item = Arc<Organization>> {
        let belongs = move |id: OrganizationId| {
            let counts = |(it, counts): &ShownMembership| {
                *counts && it.organization == id && it.is_in_force(now.max(it.created_at))
            };
            self.memberships.iter().any(counts)
        };
        let organizations = self.organizations.iter();
        let current = organizations.filter(move |it| it.is_active && belongs(it.id));
        current.cloned()
    }
}

/// Fetches the memberships of doctors.
struct MembershipBatch(Pool, Seals);

impl BatchFn<UserId, Loaded<Arc<DoctorMemberships>>> for MembershipBatch {
    async fn load(&mut self, keys: &[UserId]) -> HashMap<UserId, Loaded<Arc<DoctorMemberships>>> {
        let found = Box::pin(async {
            let mut conn = self.0.acquire().await?;
            let found = store::memberships::of_doctors(&mut conn, keys).await?;
            let mut by_doctor = HashMap::<UserId, DoctorMemberships>::new();
            for (doctor, stored) in found.into_iter().rev() {
                let theirs = by_doctor.entry(doctor).or_default();
                theirs.doctor = Some(doctor);
                theirs.memberships.push(self.1.look_at(stored.membership));
                let organization = stored.organization;
                let organization = organization.and_then(|it| self.1.open(it.organization));
                let known = &mut theirs.organizations;
                let new = organization.filter(|new| known.iter().all(|it| it.id != new.id));
                known.extend(new.map(Arc::new));
            }
            Ok(by_doctor.into_values().collect())
        });
        by_key(keys, found.await, |it: &DoctorMemberships| {
            it.doctor.unwrap_or(UserId(uuid::Uuid::nil()))
        })
    }
}

/// The receipts of one consent: of the grant, and of the withdrawal.
pub(crate) type Receipts = Arc<Vec<StoredReceipt>>;

/// Fetches the receipts of consents.
struct ReceiptBatch(Pool);

impl BatchFn<ConsentId, Loaded<Receipts>> for ReceiptBatch {
    async fn load(&mut self, keys: &[ConsentId]) -> HashMap<ConsentId, Loaded<Receipts>> {
        let found = Box::pin(async {
            let mut conn = self.0.acquire().await?;
            let found = store::receipts::of_consents(&mut conn, keys).await?;
            let of_one = |one: &[StoredReceipt]| one.to_vec();
            let by_consent = found.chunk_by(|a, b| a.consent == b.consent).map(of_one);
            Ok(by_consent.collect::<Vec<_>>())
        });
        by_key(keys, found.await, |receipts: &Vec<StoredReceipt>| {
            receipts
                .first()
                .map_or(ConsentId(uuid::Uuid::nil()), |receipt| receipt.consent)
        })
    }
}

fn by_key<K: Copy + Eq + Hash, V>(
    keys: &[K],
    found: Result<Vec<V>, StoreError>,
    key_of: impl Fn(&V) -> K,
) -> HashMap<K, Loaded<Arc<V>>> {
    match found {
        Err(error) => {
            // The conversion logs it.
            let failed = LoadFailed(Arc::new(Error::from(error)));
            keys.iter().map(|key| (*key, Err(failed.clone()))).collect()
        }
        Ok(values) => {
            let mut all: HashMap<K, Loaded<Arc<V>>> =
                keys.iter().map(|key| (*key, Ok(None))).collect();
            all.extend(
                values
                    .into_iter()
                    .map(|value| (key_of(&value), Ok(Some(Arc::new(value))))),
            );
            all
        }
    }
}

/// The loaders of one request, made once one is needed: a stream is open for hours, and may need none.
#[derive(Clone)]
pub(crate) struct Loaders(Arc<LazyLoaders>);

struct LazyLoaders {
    pool: Pool,
    seals: Seals,
    made: OnceLock<Box<BatchLoaders>>,
}

struct BatchLoaders {
    users: Loader<UserId, Loaded<Arc<User>>, UserBatch>,
    anchors: Loader<RecordId, Loaded<Arc<Anchor>>, AnchorBatch>,
    successors: Loader<RecordId, Loaded<Arc<RecordId>>, SuccessorBatch>,
    versions: Loader<RecordId, Loaded<Versions>, VersionBatch>,
    organizations: Loader<OrganizationId, Loaded<Arc<Organization>>, OrganizationBatch>,
    memberships: Loader<UserId, Loaded<Arc<DoctorMemberships>>, MembershipBatch>,
    receipts: Loader<ConsentId, Loaded<Receipts>, ReceiptBatch>,
}

impl BatchLoaders {
    fn new(pool: &Pool, seals: &Seals) -> Self {
        Self {
            users: Loader::new(UserBatch(pool.clone()))
                .with_yield_count(YIELDS)
                .with_max_batch_size(MAX_BATCH),
            anchors: Loader::new(AnchorBatch(pool.clone()))
                .with_yield_count(YIELDS)
                .with_max_batch_size(MAX_BATCH),
            successors: Loader::new(SuccessorBatch(pool.clone()))
                .with_yield_count(YIELDS)
                .with_max_batch_size(MAX_BATCH),
            versions: Loader::new(VersionBatch(pool.clone()))
                .with_yield_count(YIELDS)
                .with_max_batch_size(MAX_BATCH),
            organizations: Loader::new(OrganizationBatch(pool.clone(), seals.clone()))
                .with_yield_count(YIELDS)
                .with_max_batch_size(MAX_BATCH),
            memberships: Loader::new(MembershipBatch(pool.clone(), seals.clone()))
                .with_yield_count(YIELDS)
                .with_max_batch_size(MAX_BATCH),
            receipts: Loader::new(ReceiptBatch(pool.clone()))
                .with_yield_count(YIELDS)
                .with_max_batch_size(MAX_BATCH),
        }
    }
}

impl Loaders {
    /// Fresh loaders over this pool.
    pub(crate) fn new(pool: &Pool, seals: &Seals) -> Self {
        Self(Arc::new(LazyLoaders {
            pool: pool.clone(),
            seals: seals.clone(),
            made: OnceLock::new(),
        }))
    }

    fn batched(&self) -> &BatchLoaders {
        let LazyLoaders { pool, seals, made } = self.0.as_ref();
        made.get_or_init(|| Box::new(BatchLoaders::new(pool, seals)))
    }

    /// An account.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Unavailable`].
    pub(crate) async fn user(&self, id: UserId) -> Result<Option<Arc<User>>, Error> {
        Ok(self
            .batched()
            .users
            .try_load(id)
            .await
            .map_err(LoadFailed::unanswered)??)
    }

    /// Where a record's anchor stands.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Unavailable`].
    pub(crate) async fn anchor(&self, id: RecordId) -> Result<Option<Arc<Anchor>>, Error> {
        Ok(self
            .batched()
            .anchors
            .try_load(id)
            .await
            .map_err(LoadFailed::unanswered)??)
    }

    /// What took the place of a version; `None` of the current one.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Unavailable`].
    pub(crate) async fn successor(&self, id: RecordId) -> Result<Option<RecordId>, Error> {
        let found = self
            .batched()
            .successors
            .try_load(id)
            .await
            .map_err(LoadFailed::unanswered)??;
        Ok(found.map(|id| *id))
    }

    /// All versions of the record that this is one of, newest first.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Unavailable`].
    pub(crate) async fn versions(&self, id: RecordId) -> Result<Versions, Error> {
        let found = self
            .batched()
            .versions
            .try_load(id)
            .await
            .map_err(LoadFailed::unanswered)??;
        Ok(found.unwrap_or_default())
    }

    /// An organisation that is as it was sealed.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Unavailable`].
    pub(crate) async fn organization(
        &self,
        id: OrganizationId,
    ) -> Result<Option<Arc<Organization>>, Error> {
        Ok(self
            .batched()
            .organizations
            .try_load(id)
            .await
            .map_err(LoadFailed::unanswered)??)
    }

    /// The memberships of a doctor.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Unavailable`].
    pub(crate) async fn memberships(
        &self,
        doctor: UserId,
    ) -> Result<Arc<DoctorMemberships>, Error> {
        let found = self
            .batched()
            .memberships
            .try_load(doctor)
            .await
            .map_err(LoadFailed::unanswered)??;
        Ok(found.unwrap_or_default())
    }

    /// The receipts of a consent.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Unavailable`].
    pub(crate) async fn receipts(&self, id: ConsentId) -> Result<Receipts, Error> {
        let found = self
            .batched()
            .receipts
            .try_load(id)
            .await
            .map_err(LoadFailed::unanswered)??;
        Ok(found.unwrap_or_default())
    }

    /// Forgets all of it: what an answer of a stream shows is read for that answer.
    pub(crate) async fn forget(&self) {
        let Some(made) = self.0.made.get() else {
            return;
        };
        made.users.clear_all().await;
        made.anchors.clear_all().await;
        made.successors.clear_all().await;
        made.versions.clear_all().await;
        made.organizations.clear_all().await;
        made.memberships.clear_all().await;
        made.receipts.clear_all().await;
    }

    /// Keeps accounts that are known already.
    pub(crate) async fn keep_users(&self, users: impl IntoIterator<Item = Arc<User>>) {
        let known = users.into_iter().map(|user| (user.id, Ok(Some(user))));
        self.batched().users.prime_many(known).await;
    }

    /// Keeps anchors that are known already.
    pub(crate) async fn keep_anchors(&self, anchors: impl IntoIterator<Item = Anchor>) {
        let anchors = anchors.into_iter();
        let known = anchors.map(|anchor| (anchor.record, Ok(Some(Arc::new(anchor)))));
        self.batched().anchors.prime_many(known).await;
    }

    /// Fetches accounts that are about to be asked for, in one statement.
    pub(crate) async fn prepare_users(&self, ids: Vec<UserId>) {
        if !ids.is_empty() {
            // A failure is kept under each key and told to whoever asks for it.
            drop(self.batched().users.try_load_many(ids).await);
        }
    }

    /// Fetches what took the place of versions, in one statement.
    pub(crate) async fn prepare_successors(&self, ids: Vec<RecordId>) {
        if !ids.is_empty() {
            drop(self.batched().successors.try_load_many(ids).await);
        }
    }

    /// Fetches the versions of records, in one statement.
    pub(crate) async fn prepare_versions(&self, ids: Vec<RecordId>) {
        if !ids.is_empty() {
            drop(self.batched().versions.try_load_many(ids).await);
        }
    }
}
