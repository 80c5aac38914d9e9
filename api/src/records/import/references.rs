//! What the documents of one import refer to: the id of the record that each of them becomes is reserved before any of them is
//! stored, so that two may refer to each other; and what an earlier import of the same source has brought in is looked up.
//!
//! An id is reserved for what can be read, whose patient is known, and what the caller may write: what is refused is referred to
//! by nobody. Whatever is decided here, the writer decides again. Where a record is refused all the same, what refers to it is
//! counted as a reference to nothing.
//!
//! What is put aside is stored window by window. What a window stored is looked up by its source in those that follow.

mod mended;

use std::collections::{HashMap, HashSet};

use domain::{
    access::{AccessRequest, Action, Actor, Decision, decide, decide_amendment},
    ids::{RecordId, UserId},
    purpose::Purpose,
    records::Availability,
    sources::{RecordSource, SourceComparison, SourceToken},
};
use store::{Pool, Tx, idempotency, records};
use uuid::Uuid;

use super::{Import, name_hashes::NameHashes, prepared::Prepared, resolution::Resolution};
use crate::{
    caller::Caller,
    dependencies::Drafting,
    error::Error,
    facts::Facts,
    records::{
        draft::CREATE,
        sources::{KnownSources, SourceOfPatient},
    },
};

/// How many names, sources and keys are remembered of one import, of each. What comes after that is stored, and found by no
/// reference of the same window.
const MAX_REMEMBERED: usize = 200_000;
/// How many documents of sources there are at least in a window that ends because so much is remembered.
const MANY: usize = MAX_REMEMBERED / 8;

/// The record that something is called.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ReferenceTarget {
    record: RecordId,
    kind: &'static str,
    patient: UserId,
    token: Option<SourceToken>,
}

/// What is known of an import that refers within itself.
#[derive(Debug, Default)]
pub(crate) struct References {
    /// What is called so; `None` where two are.
    names: HashMap<u128, Option<ReferenceTarget>>,
    /// The versions of what its source has sent, those that are stored and those that are reserved.
    planned: HashMap<SourceOfPatient, Vec<RecordSource>>,
    /// How many of them are reserved.
    planned_versions: usize,
    /// What was reserved to documents whose source is not known, by the keys of their retries.
    keys: HashMap<String, RecordId>,
    /// What is not there, as far as was looked.
    absent: HashSet<SourceOfPatient>,
    /// How many references of documents lead to nothing that are there and that the caller may not amend.
    kept_open: HashMap<SourceOfPatient, u32>,
    /// What is there with references that lead to nothing, and may be amended.
    mendable: HashSet<SourceOfPatient>,
    /// How often each record is referred to that was reserved.
    pointed: HashMap<RecordId, u64>,
    /// What was reserved and refused.
    lost: HashSet<RecordId>,
    hashes: NameHashes,
}

/// Which record a document has become that is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Learned<'a> {
    /// What others of its import refer to it by.
    pub(crate) names: &'a [String],
    /// Whose it is.
    pub(crate) patient: UserId,
    /// What stands for its name, where its source is known.
    pub(crate) token: Option<SourceToken>,
    /// The record.
    pub(crate) record: RecordId,
    /// The kind of resource.
    pub(crate) kind: &'static str,
}

/// By whom and by what an import is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImportContext<'a> {
    /// The database.
    pub(crate) pool: &'a Pool,
    /// What documents are known by.
    pub(crate) drafting: Drafting<'a>,
    /// Who asks.
    pub(crate) caller: &'a Caller,
    /// What all entries have in common.
    pub(crate) import: &'a Import,
}

/// What the database says of the documents of a group.
struct ReservationFacts {
    actor: Actor,
    facts: Facts,
    known: KnownSources,
    remembered: HashMap<String, RecordId>,
    records: Vec<records::Record>,
    /// What would be reserved and is somebody's id already: that of a record that was erased.
    taken: HashSet<RecordId>,
}

impl ReservationFacts {
    async fn read(
        tx: &mut Tx<'_>,
        context: ImportContext<'_>,
        group: &[&Prepared],
    ) -> Result<Self, Error> {
        let caller = context.caller;
        let patients = group.iter().map(|it| it.patient);
        let facts = Facts::gather(tx, [caller], patients).await?;
        let actor = facts.actor(caller)?;
        let asked: Vec<SourceOfPatient> = group.iter().filter_map(|it| called(it)).collect();
        let known = KnownSources::read(tx, context.drafting.index_key, &asked).await?;
        let keys: Vec<(UserId, &str)> = group
            .iter()
            .map(|it| (caller.user, it.key.0.as_str()))
            .collect();
        let remembered = idempotency::find(tx, CREATE, &keys).await?;
        let remembered = remembered
            .into_iter()
            .map(|it| (it.key, RecordId(it.resource)));
        let ids: Vec<RecordId> = known.records().collect();
        let reserved: Vec<RecordId> = group.iter().map(|it| reserved(context, it)).collect();
        let taken = records::by_ids(tx, &reserved).await?;
        Ok(Self {
            actor,
            facts,
            known,
            remembered: remembered.collect(),
            records: records::by_ids(tx, &ids).await?,
            taken: taken.iter().map(|record| record.id).collect(),
        })
    }

    /// The id of what will be new.
    fn id_of(&self, context: ImportContext<'_>, one: &Prepared) -> RecordId {
        let reserved = reserved(context, one);
        if self.taken.contains(&reserved) {
            RecordId::fresh()
        } else {
            reserved
        }
    }

    /// Whether the caller may do this with a record of this patient and type, which `author` wrote.
    fn may(
        &self,
        context: ImportContext<'_>,
        one: &Prepared,
        old: Option<&records::Record>,
    ) -> bool {
        let said: Option<Purpose> = context.import.purpose.or(context.caller.purpose);
        let usual = || self.actor.default_purpose(Some(one.patient));
        let request = AccessRequest {
            actor: self.actor,
            patient: one.patient,
            action: if old.is_some() {
                Action::Amend
            } else {
                Action::Create
            },
            purpose: said.unwrap_or_else(usual),
            record_type: one.record_type,
            availability: old.map_or(Availability::Open, |old| old.availability),
            destination: None,
            emergency: None,
            now: self.facts.now,
        };
        let consents = self.facts.consents_of(one.patient);
        let decision = match old {
            None => decide(&request, consents),
            Some(old) => decide_amendment(&request, old.author, consents),
        };
        matches!(decision, Decision::Permit(_))
    }

    /// Whether what comes may follow this version: one of this import, or one that is stored, current, and theirs to amend.
    fn may_follow(&self, context: ImportContext<'_>, one: &Prepared, old: RecordId) -> bool {
        let Some(old) = self.records.iter().find(|record| record.id == old) else {
            return true;
        };
        old.is_current
            && !old.is_withdrawn
            && old.record_type == one.record_type
            && self.may(context, one, Some(old))
    }
}

fn called(prepared: &Prepared) -> Option<SourceOfPatient> {
    let source = prepared.source.as_ref()?;
    Some((prepared.patient, source.state.token))
}

/// The id of a record that is reserved: the same each time that the same document is sent.
fn reserved(context: ImportContext<'_>, one: &Prepared) -> RecordId {
    let key = context.drafting.index_key;
    let Some(source) = &one.source else {
        let asked = one.key.0.as_bytes();
        return key.reserved_record(one.patient, &[context.caller.user.0.as_bytes(), asked]);
    };
    let state = &source.state;
    let version = state.version.as_deref().unwrap_or_default().as_bytes();
    let at = state
        .updated_at
        .map(|at| at.timestamp_micros().to_be_bytes());
    let at = at.unwrap_or_default();
    key.reserved_record(one.patient, &[&state.token, &state.content.0, version, &at])
}

impl References {
    /// Whether so much is remembered that what comes had better be a window of its own.
    pub(crate) fn are_many(&self) -> bool {
        self.names.len() >= MAX_REMEMBERED && self.planned.len() >= MANY
    }

    /// Begins a window: what was put aside before is stored. What is known by its source is found by that from here on, and forgotten
    /// where much is remembered.
    pub(crate) fn begin_window(&mut self) {
        self.absent.clear();
        self.pointed.clear();
        self.mendable.clear();
        if self.are_many() {
            self.names.retain(|_, target| {
                let is_known = target.as_ref().is_some_and(|it| it.token.is_some());
                !is_known
            });
            self.planned.clear();
            self.planned_versions = 0;
            self.kept_open.clear();
        }
    }

    /// Begins to look again at what is stored: which versions there are is read anew.
    pub(crate) fn look_again(&mut self) {
        self.begin_window();
        self.planned.clear();
        self.planned_versions = 0;
        self.kept_open.clear();
    }

    /// Whether so many names are known that what was there before had better leave the rest to what comes.
    pub(super) fn is_half_full(&self) -> bool {
        self.names.len() >= MAX_REMEMBERED / 2
    }

    /// Learns which record a document has become. Of several versions the newest one has its names.
    pub(crate) fn learn(&mut self, learned: Learned<'_>) {
        let of = learned.token.map(|token| (learned.patient, token));
        let versions = of.and_then(|of| self.planned.get(&of));
        let versions = versions.filter(|it| it.iter().any(|it| it.record == learned.record));
        let newest = versions.and_then(|versions| {
            let stored = versions.iter().filter(|it| !self.lost.contains(&it.record));
            stored.max_by_key(|it| it.number)
        });
        let target = ReferenceTarget {
            record: newest.map_or(learned.record, |it| it.record),
            kind: learned.kind,
            patient: learned.patient,
            token: learned.token,
        };
        self.call(learned.names, &target);
    }

    fn call(&mut self, names: &[String], target: &ReferenceTarget) {
        for name in names {
            let hash = self.hashes.of(name);
            if self.names.len() >= MAX_REMEMBERED && !self.names.contains_key(&hash) {
                continue;
            }
            let known = self
                .names
                .entry(hash)
                .or_insert_with(|| Some(target.clone()));
            // A later version takes the name; what another document is called, too, means neither.
            let is_same = known.as_ref().is_some_and(|it| {
                it.patient == target.patient
                    && (it.record == target.record
                        || it.token.is_some() && it.token == target.token)
            });
            *known = is_same.then(|| target.clone());
        }
    }

    /// Says which records the documents of a group will be, in their order: the ids of those that will be new, by which the
    /// others can refer to them.
    ///
    /// # Errors
    /// The database's; [`Error::Unauthenticated`] where the log-in is over.
    pub(crate) async fn reserve(
        &mut self,
        context: ImportContext<'_>,
        group: &[&Prepared],
    ) -> Result<Vec<Option<RecordId>>, Error> {
        let mut tx = context.pool.begin().await?;
        let facts_of_group = ReservationFacts::read(&mut tx, context, group).await?;
        tx.commit().await?;
        let mut reserved = Vec::with_capacity(group.len());
        for one in group {
            let (id, target) = self.plan(context, &facts_of_group, one);
            if let Some(record) = target {
                let target = ReferenceTarget {
                    record,
                    kind: one.kind,
                    patient: one.patient,
                    token: one.source.as_ref().map(|source| source.state.token),
                };
                self.call(&one.names, &target);
            }
            reserved.push(id);
        }
        Ok(reserved)
    }

    /// The id of a document that will be new, and the record that its names mean, if it will be stored or is.
    fn plan(
        &mut self,
        context: ImportContext<'_>,
        facts_of_group: &ReservationFacts,
        one: &Prepared,
    ) -> (Option<RecordId>, Option<RecordId>) {
        if !facts_of_group.may(context, one, None) {
            return (None, None);
        }
        let (Some(of), Some(source)) = (called(one), &one.source) else {
            return self.plan_by_key(context, facts_of_group, one);
        };
        let Ok(known) = facts_of_group.known.of(&of) else {
            return (None, None);
        };
        if self.planned.len() >= MAX_REMEMBERED && !self.planned.contains_key(&of) {
            return (None, None);
        }
        let versions = self.planned.entry(of).or_insert_with(|| known.to_vec());
        match source.state.compare(versions) {
            // Whatever it is, others mean the newest one.
            SourceComparison::Same(_) | SourceComparison::Outdated(_) => {
                let newest = versions.iter().max_by_key(|it| it.number);
                return (None, newest.map(|it| it.record));
            }
            SourceComparison::Mended { record, open } => {
                if facts_of_group.may_follow(context, one, record) {
                    if self.mendable.len() < MAX_REMEMBERED {
                        self.mendable.insert(of);
                    }
                } else if self.kept_open.len() < MAX_REMEMBERED {
                    self.kept_open.insert(of, open);
                }
                return (None, Some(record));
            }
            SourceComparison::Unknown => {
                if let Some(id) = facts_of_group.remembered.get(&one.key.0) {
                    return (None, Some(*id));
                }
            }
            SourceComparison::Changed(old) => {
                if !facts_of_group.may_follow(context, one, old) {
                    return (None, Some(old));
                }
            }
        }
        if self.planned_versions >= MAX_REMEMBERED {
            return (None, None);
        }
        self.planned_versions += 1;
        let fresh = facts_of_group.id_of(context, one);
        let newest = versions.iter().map(|it| it.number).max();
        versions.push(RecordSource {
            patient: one.patient,
            record: fresh,
            number: newest.map_or(1, |newest| newest.saturating_add(1)),
            kind: one.kind.to_owned(),
            state: source.state.clone(),
        });
        (Some(fresh), Some(fresh))
    }

    fn plan_by_key(
        &mut self,
        context: ImportContext<'_>,
        facts_of_group: &ReservationFacts,
        one: &Prepared,
    ) -> (Option<RecordId>, Option<RecordId>) {
        let key = &one.key.0;
        let known = facts_of_group
            .remembered
            .get(key)
            .or_else(|| self.keys.get(key));
        if let Some(known) = known {
            return (None, Some(*known));
        }
        if self.keys.len() >= MAX_REMEMBERED {
            return (None, None);
        }
        let fresh = facts_of_group.id_of(context, one);
        self.keys.insert(key.clone(), fresh);
        (Some(fresh), Some(fresh))
    }

    /// The references of a document as they are to be stored.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn resolve(
        &mut self,
        context: ImportContext<'_>,
        one: &Prepared,
    ) -> Result<Resolution, Error> {
        let resolution = self.meant(context, one).await?;
        for record in &resolution.records {
            if self.pointed.len() < MAX_REMEMBERED || self.pointed.contains_key(record) {
                *self.pointed.entry(*record).or_default() += 1;
            }
        }
        Ok(resolution)
    }

    /// What the references of a document mean by now.
    async fn meant(
        &mut self,
        context: ImportContext<'_>,
        one: &Prepared,
    ) -> Result<Resolution, Error> {
        let scope = one.scope(context.import.source.as_deref());
        let mut resolution = Resolution::default();
        let kept_open = called(one).and_then(|of| self.kept_open.get(&of));
        resolution.least_open = kept_open.copied().unwrap_or_default();
        let mut left: Vec<(&String, SourceOfPatient)> = Vec::new();
        let mut unknown: Vec<&String> = Vec::new();
        for reference in &one.references {
            let names = fhir::origin::names_meant(reference, scope);
            if let Some((record, kind)) = self.named(&names, one.patient) {
                resolution.put(reference, kind, record);
                continue;
            }
            let may_mean = fhir::origin::may_mean_record(reference);
            let beside = fhir::origin::name_beside_server(reference, scope);
            let may_mean = may_mean && !self.is_of_another_server(beside, &names, one.patient);
            let source = fhir::origin::source_meant(reference, scope).filter(|_| may_mean);
            let of = source.map(|name| {
                let token = context.import.token(context.drafting, one.patient, &name);
                (one.patient, token)
            });
            match of.filter(|of| !self.absent.contains(of)) {
                Some(of) => left.push((reference, of)),
                None => unknown.push(reference),
            }
        }
        if !left.is_empty() {
            let asked: Vec<SourceOfPatient> = left.iter().map(|(_, of)| *of).collect();
            let mut conn = context.pool.acquire().await?;
            let known = KnownSources::read(&mut conn, context.drafting.index_key, &asked).await?;
            for (reference, of) in left {
                let versions = known.of(&of).unwrap_or_default();
                if let Some(newest) = versions.iter().max_by_key(|it| it.number) {
                    resolution.put(reference, &newest.kind, newest.record);
                    continue;
                }
                unknown.push(reference);
                if self.absent.len() < MAX_REMEMBERED {
                    self.absent.insert(of);
                }
            }
        }
        name_records_here(context, one.patient, unknown, &mut resolution).await?;
        Ok(resolution)
    }

    /// The record of this patient that one of these names means.
    fn named(&self, names: &[String], patient: UserId) -> Option<(RecordId, &'static str)> {
        let mut called = names
            .iter()
            .map(|name| self.names.get(&self.hashes.of(name)));
        let target = called.find_map(|known| known?.as_ref())?;
        let is_theirs = target.patient == patient && !self.lost.contains(&target.record);
        is_theirs.then_some((target.record, target.kind))
    }

    /// Whether this import has what a reference means by its source (`beside`), but not of the server that the reference is of; `names`
    /// are what that calls it.
    fn is_of_another_server(
        &self,
        beside: Option<String>,
        names: &[String],
        patient: UserId,
    ) -> bool {
        let is_there = beside.is_some_and(|name| self.named(&[name], patient).is_some());
        let is_known = |name: &String| self.names.contains_key(&self.hashes.of(name));
        is_there && !names.iter().any(is_known)
    }

    /// Learns that what was reserved is not stored. Gives how many documents refer to it that are.
    pub(crate) fn lose(&mut self, record: RecordId) -> u64 {
        self.lost.insert(record);
        self.pointed.remove(&record).unwrap_or_default()
    }
}

/// Sorts out which references name records of this patient by the ids that these have here; the others mean nothing that is stored.
async fn name_records_here(
    context: ImportContext<'_>,
    patient: UserId,
    references: Vec<&String>,
    resolution: &mut Resolution,
) -> Result<(), Error> {
    let id_of = |reference: &str| {
        let id = fhir::origin::id_of_record(reference)?;
        id.parse::<Uuid>().ok().map(RecordId)
    };
    let ids: Vec<RecordId> = references.iter().filter_map(|it| id_of(it)).collect();
    let there = if ids.is_empty() {
        Vec::new()
    } else {
        let mut conn = context.pool.acquire().await?;
        records::by_ids(&mut conn, &ids).await?
    };
    for reference in references {
        let id = id_of(reference);
        let is_theirs = |record: &&records::Record| {
            Some(record.id) == id
                && record.patient == patient
                && record.availability == Availability::Open
        };
        match there.iter().find(is_theirs) {
            Some(record) => resolution.records.push(record.id),
            None => resolution.leave(reference),
        }
    }
    Ok(())
}
