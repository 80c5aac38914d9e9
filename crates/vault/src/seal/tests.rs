#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use chrono::TimeDelta;
use domain::{
    consents::{Activity, Category},
    deletion::{DeletionRequestType, DeletionStatus, VerificationMethod},
    ids::{
        AccessCodeId, BreakGlassWindowId, ConsentId, DeletionRequestId, LegalHoldId, MembershipId,
        OrganizationId, PatientKeyId, ReceiptId, RecordId, SessionId, UserId,
    },
    purpose::Purpose,
    receipts::{ReceiptKind, ReceiptSignature},
    records::{DataHash, RecordType},
    users::{Email, Role, Username},
};

use super::*;

fn keyring(digits: &str) -> Keyring {
    let key = digits.repeat(32);
    Keyring::parse(&format!(r#"{{"keys":[{{"id":"a","key":"{key}"}}]}}"#)).unwrap()
}

fn user(nth: u128) -> UserId {
    UserId(Uuid::from_u128(nth))
}

fn account() -> Authority {
    Authority {
        organization: Some(OrganizationId(Uuid::from_u128(2))),
        has_second_factor: true,
        refusals: vec![Uuid::from_u128(3), Uuid::from_u128(4)],
        ..Authority::new(
            user(1),
            &Email::parse("ana@hospital.example").unwrap(),
            &Username::parse("ana").unwrap(),
            Role::Doctor,
            "$argon2id$x".to_owned(),
        )
    }
}

fn second(nth: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(nth, 0).unwrap()
}

fn consent() -> Consent {
    Consent {
        id: ConsentId(Uuid::from_u128(5)),
        patient: user(1),
        purpose: Purpose::Treatment,
        given_at: second(1),
        expires_at: None,
        withdrawn_at: Some(second(2)),
        categories: vec![Category::All, Category::Only(RecordType::Imaging)],
        activities: vec![Activity::Read, Activity::Search],
        grantees: vec![
            Grantee::User { id: user(6) },
            Grantee::Role { role: Role::Doctor },
            Grantee::Org {
                id: OrganizationId(Uuid::from_u128(7)),
                country: "ID".to_owned(),
            },
        ],
    }
}

fn factor() -> Factor {
    Factor {
        user: user(1),
        sealed_secret: vec![9, 8],
        master_key_id: "a".to_owned(),
        confirmed_at: Some(second(3)),
        code_hashes: vec!["aa".to_owned(), "bb".to_owned()],
    }
}

fn session() -> Session {
    Session {
        id: SessionId(Uuid::from_u128(8)),
        user: user(1),
        refresh_token_hash: "cc".repeat(32),
        family: SessionId(Uuid::from_u128(7)),
        parent: Some(SessionId(Uuid::from_u128(7))),
        expires_at: second(9),
        idle_expires_at: Some(second(8)),
        used_at: None,
        second_factor_at: Some(second(4)),
    }
}

fn proposal() -> RoleProposal {
    RoleProposal {
        id: Uuid::from_u128(9),
        user: user(1),
        role: Role::Admin,
        proposed_by: user(2),
        proposed_at: second(5),
        expires_at: second(6),
    }
}

fn prepared() -> PreparedConsent {
    PreparedConsent {
        id: AccessCodeId(Uuid::from_u128(10)),
        patient: user(1),
        code_hash: [7; 32],
        purpose: Purpose::Treatment,
        categories: vec![Category::All],
        activities: vec![Activity::Read, Activity::Search],
        consent_expires_at: Some(second(9)),
        created_at: second(5),
        expires_at: second(6),
    }
}

fn window() -> BreakGlassWindow {
    BreakGlassWindow {
        id: BreakGlassWindowId(Uuid::from_u128(10)),
        patient: user(1),
        doctor: user(2),
        purpose: Purpose::BreakGlass,
        opened_at: second(7),
        expires_at: second(8),
        closed_at: Some(second(7)),
        patient_key: PatientKeyId(Uuid::from_u128(11)),
        sealed_reason: vec![9, 8],
    }
}

fn approval(by: u128, at: i64) -> Approval {
    Approval {
        by: user(by),
        at: second(at),
    }
}

fn coverage(categories: &[Category], records: &[u128]) -> Coverage {
    let records = records.iter().map(|nth| RecordId(Uuid::from_u128(*nth)));
    Coverage {
        categories: categories.to_vec(),
        records: records.collect(),
    }
}

fn deletion() -> DeletionRequest {
    DeletionRequest {
        id: DeletionRequestId(Uuid::from_u128(10)),
        user: user(1),
        request_type: DeletionRequestType::AccountErasure,
        status: DeletionStatus::Scheduled,
        asked: coverage(&[Category::All], &[11, 12]),
        requested_at: second(1),
        completed_at: None,
        verification_method: VerificationMethod::Password,
        challenge: None,
        verification_tries: 0,
        verified_at: Some(second(2)),
        scope: Vec::new(),
        approved: coverage(&[Category::Only(RecordType::Imaging)], &[11]),
        overrides_retention: true,
        reason: None,
        first_approval: Some(approval(2, 3)),
        second_approval: Some(approval(3, 4)),
        scheduled_for: Some(second(5)),
    }
}

fn hold() -> LegalHold {
    LegalHold {
        id: LegalHoldId(Uuid::from_u128(13)),
        patient: user(1),
        covers: coverage(&[Category::All, Category::Only(RecordType::Imaging)], &[11]),
        reason: None,
        placed: approval(2, 3),
        release_proposed: Some(approval(3, 4)),
        released: None,
    }
}

fn organization() -> Organization {
    Organization {
        id: OrganizationId(Uuid::from_u128(14)),
        name: "RS Harapan".to_owned(),
        country: "ID".parse().unwrap(),
        is_active: true,
        created_at: second(1),
        updated_at: second(2),
    }
}

fn membership() -> Membership {
    Membership {
        id: MembershipId(Uuid::from_u128(15)),
        doctor: user(2),
        organization: OrganizationId(Uuid::from_u128(14)),
        from: second(1),
        until: Some(second(9)),
        ended_at: None,
        created_at: second(1),
    }
}

fn seal<T: Sealable>(row: &T) -> Seal {
    keyring("12").seal_row(row).unwrap()
}

/// Whether a row passes with this seal.
fn passes<T: Sealable>(row: T, seal: Seal) -> bool {
    keyring("12").open_row(Sealed::new(row, Some(seal))).is_ok()
}

#[test]
fn a_seal_is_what_another_implementation_computes() {
    // Python 3, by hmac and hashlib, from the layout at the head of the module.
    for (seal, vector) in [
        (seal(&account()), ACCOUNT),
        (seal(&consent()), CONSENT),
        (seal(&factor()), FACTOR),
        (seal(&session()), SESSION),
        (seal(&proposal()), PROPOSAL),
        (seal(&prepared()), PREPARED),
        (seal(&window()), WINDOW),
        (seal(&deletion()), DELETION),
        (seal(&hold()), HOLD),
        (seal(&organization()), ORGANIZATION),
        (seal(&membership()), MEMBERSHIP),
        (seal(&signed_receipt()), RECEIPT),
    ] {
        assert_eq!(crate::digest::to_hex(&seal.mac), vector);
        assert_eq!(seal.key_id, "a");
    }
}

#[test]
fn no_column_of_a_sealed_row_can_be_changed() {
    assert!(passes(account(), seal(&account())));
    let accounts: [fn(&mut Authority); 13] = [
        |it| it.user = user(2),
        |it| it.email.push('y'),
        |it| it.username.push('y'),
        |it| std::mem::swap(&mut it.email, &mut it.username),
        |it| it.role = Role::Admin,
        |it| it.is_active = false,
        |it| it.is_system = true,
        |it| it.organization = None,
        |it| it.hashed_password.push('y'),
        |it| it.blockchain_address = Some(String::new()),
        |it| it.has_second_factor = false,
        |it| it.refusals.truncate(1),
        |it| it.refusals.swap(0, 1),
    ];
    for (nth, change) in accounts.iter().enumerate() {
        let mut changed = account();
        change(&mut changed);
        let passes = passes(changed, seal(&account()));
        assert!(!passes, "change {nth} of an account");
    }
    assert!(passes(consent(), seal(&consent())));
    let consents: [fn(&mut Consent); 11] = [
        |it| it.id = ConsentId(Uuid::from_u128(6)),
        |it| it.patient = user(2),
        |it| it.purpose = Purpose::EmergencyTreatment,
        |it| it.given_at += TimeDelta::microseconds(1),
        |it| it.expires_at = Some(second(9)),
        |it| it.withdrawn_at = None,
        |it| it.categories.truncate(1),
        |it| it.activities = vec![Activity::Deny],
        |it| it.activities.swap(0, 1),
        |it| it.grantees.truncate(1),
        |it| it.grantees[0] = Grantee::User { id: user(7) },
    ];
    for (nth, change) in consents.iter().enumerate() {
        let mut changed = consent();
        change(&mut changed);
        let passes = passes(changed, seal(&consent()));
        assert!(!passes, "change {nth} of a consent");
    }
    assert!(passes(factor(), seal(&factor())));
    let factors: [fn(&mut Factor); 5] = [
        |it| it.user = user(2),
        |it| it.sealed_secret[0] ^= 1,
        |it| it.master_key_id.push('b'),
        |it| it.confirmed_at = None,
        |it| it.code_hashes.push("cc".to_owned()),
    ];
    for (nth, change) in factors.iter().enumerate() {
        let mut changed = factor();
        change(&mut changed);
        let passes = passes(changed, seal(&factor()));
        assert!(!passes, "change {nth} of a second factor");
    }
}

#[test]
fn no_column_of_a_sealed_log_in_or_proposal_can_be_changed() {
    assert!(passes(session(), seal(&session())));
    let sessions: [fn(&mut Session); 10] = [
        |it| it.id = SessionId(Uuid::from_u128(9)),
        |it| it.user = user(2),
        |it| it.refresh_token_hash.replace_range(..1, "d"),
        |it| it.family = it.id,
        |it| it.parent = None,
        |it| it.expires_at += TimeDelta::microseconds(1),
        |it| it.idle_expires_at = None,
        |it| it.used_at = it.idle_expires_at,
        |it| (it.used_at, it.idle_expires_at) = (it.idle_expires_at, None),
        |it| it.second_factor_at = None,
    ];
    for (nth, change) in sessions.iter().enumerate() {
        let mut changed = session();
        change(&mut changed);
        let passes = passes(changed, seal(&session()));
        assert!(!passes, "change {nth} of a log-in");
    }
    assert!(passes(proposal(), seal(&proposal())));
    let proposals: [fn(&mut RoleProposal); 6] = [
        |it| it.id = Uuid::from_u128(8),
        |it| it.user = user(3),
        |it| it.role = Role::Doctor,
        |it| it.proposed_by = user(3),
        |it| it.proposed_at += TimeDelta::microseconds(1),
        |it| it.expires_at += TimeDelta::microseconds(1),
    ];
    for (nth, change) in proposals.iter().enumerate() {
        let mut changed = proposal();
        change(&mut changed);
        let passes = passes(changed, seal(&proposal()));
        assert!(!passes, "change {nth} of a proposal");
    }
}

#[test]
fn no_column_of_a_sealed_access_code_can_be_changed() {
    assert!(passes(prepared(), seal(&prepared())));
    let codes: [fn(&mut PreparedConsent); 9] = [
        |it| it.id = AccessCodeId(Uuid::from_u128(11)),
        |it| it.patient = user(2),
        |it| it.code_hash[31] ^= 1,
        |it| it.purpose = Purpose::EmergencyTreatment,
        |it| it.categories.push(Category::Only(RecordType::Imaging)),
        |it| it.activities.truncate(1),
        |it| it.consent_expires_at = None,
        |it| it.created_at += TimeDelta::microseconds(1),
        |it| it.expires_at += TimeDelta::microseconds(1),
    ];
    for (nth, change) in codes.iter().enumerate() {
        let mut changed = prepared();
        change(&mut changed);
        let passes = passes(changed, seal(&prepared()));
        assert!(!passes, "change {nth} of an access code");
    }
}

#[test]
fn no_column_of_a_sealed_window_can_be_changed() {
    assert!(passes(window(), seal(&window())));
    let windows: [fn(&mut BreakGlassWindow); 10] = [
        |it| it.id = BreakGlassWindowId(Uuid::from_u128(8)),
        |it| it.patient = user(3),
        |it| it.doctor = user(3),
        |it| std::mem::swap(&mut it.patient, &mut it.doctor),
        |it| it.purpose = Purpose::EmergencyTreatment,
        |it| it.opened_at += TimeDelta::microseconds(1),
        |it| it.expires_at += TimeDelta::microseconds(1),
        |it| it.closed_at = None,
        |it| it.patient_key = PatientKeyId(Uuid::from_u128(12)),
        |it| it.sealed_reason[0] ^= 1,
    ];
    for (nth, change) in windows.iter().enumerate() {
        let mut changed = window();
        change(&mut changed);
        let passes = passes(changed, seal(&window()));
        assert!(!passes, "change {nth} of a window");
    }
}

#[test]
fn no_column_of_a_request_to_erase_and_of_a_hold_can_be_changed() {
    assert!(passes(deletion(), seal(&deletion())));
    let deletions: [fn(&mut DeletionRequest); 12] = [
        |it| it.id = DeletionRequestId(Uuid::from_u128(9)),
        |it| it.user = user(2),
        |it| it.request_type = DeletionRequestType::CategoryErasure,
        |it| it.status = DeletionStatus::UnderReview,
        |it| it.asked.records.truncate(1),
        |it| it.requested_at += TimeDelta::microseconds(1),
        |it| it.verified_at = None,
        |it| it.approved.categories = vec![Category::All],
        |it| it.overrides_retention = false,
        |it| it.first_approval = None,
        |it| it.second_approval = Some(approval(2, 4)),
        |it| it.scheduled_for = Some(second(4)),
    ];
    for (nth, change) in deletions.iter().enumerate() {
        let mut changed = deletion();
        change(&mut changed);
        let passes = passes(changed, seal(&deletion()));
        assert!(!passes, "change {nth} of a request");
    }
    assert!(passes(hold(), seal(&hold())));
    let holds: [fn(&mut LegalHold); 6] = [
        |it| it.id = LegalHoldId(Uuid::from_u128(9)),
        |it| it.patient = user(2),
        |it| it.covers.records.clear(),
        |it| it.placed.by = user(3),
        |it| it.release_proposed = None,
        |it| it.released = Some(approval(4, 5)),
    ];
    for (nth, change) in holds.iter().enumerate() {
        let mut changed = hold();
        change(&mut changed);
        let passes = passes(changed, seal(&hold()));
        assert!(!passes, "change {nth} of a hold");
    }
}

fn signed_receipt() -> ConsentReceipt {
    ConsentReceipt {
        id: ReceiptId(Uuid::from_u128(14)),
        consent: ConsentId(Uuid::from_u128(5)),
        patient: user(1),
        kind: ReceiptKind::Grant,
        text: "{}".to_owned(),
        details_hash: DataHash([7; 32]),
        registry_end: 9,
        made_at: second(1),
        signature: Some(ReceiptSignature {
            chain_id: 1,
            contract: "0x1".to_owned(),
            wallet: "0x2".to_owned(),
            deadline: second(9),
            signature: vec![1, 2],
            signed_at: second(2),
        }),
    }
}

#[test]
fn a_receipt_is_sealed_with_its_signature() {
    type Change = fn(&mut ConsentReceipt);
    let signature = |change: fn(&mut ReceiptSignature)| {
        let mut other = signed_receipt();
        other.signature.as_mut().map(change);
        other
    };
    assert!(passes(signed_receipt(), seal(&signed_receipt())));
    let changes: [Change; 9] = [
        |it| it.id = ReceiptId(Uuid::from_u128(9)),
        |it| it.consent = ConsentId(Uuid::from_u128(9)),
        |it| it.patient = user(2),
        |it| it.kind = ReceiptKind::Withdrawal,
        |it| it.text.push(' '),
        |it| it.details_hash = DataHash([8; 32]),
        |it| it.registry_end = 0,
        |it| it.made_at += TimeDelta::microseconds(1),
        |it| it.signature = None,
    ];
    let mut all: Vec<ConsentReceipt> = Vec::new();
    for change in changes {
        let mut other = signed_receipt();
        change(&mut other);
        all.push(other);
    }
    all.extend([
        signature(|it| it.chain_id = 2),
        signature(|it| it.contract.push('0')),
        signature(|it| it.wallet.push('0')),
        signature(|it| it.deadline = second(8)),
        signature(|it| it.signature.push(3)),
        signature(|it| it.signed_at = second(3)),
    ]);
    for (nth, other) in all.into_iter().enumerate() {
        assert!(!passes(other, seal(&signed_receipt())), "change {nth}");
    }
}

#[test]
fn no_column_of_an_organization_and_of_a_membership_can_be_changed() {
    assert!(passes(organization(), seal(&organization())));
    let organizations: [fn(&mut Organization); 5] = [
        |it| it.id = OrganizationId(Uuid::from_u128(9)),
        |it| it.name.push('y'),
        |it| it.country = "SG".parse().unwrap(),
        |it| it.is_active = false,
        |it| it.updated_at += TimeDelta::microseconds(1),
    ];
    for (nth, change) in organizations.iter().enumerate() {
        let mut changed = organization();
        change(&mut changed);
        let passes = passes(changed, seal(&organization()));
        assert!(!passes, "change {nth} of an organisation");
    }
    assert!(passes(membership(), seal(&membership())));
    let memberships: [fn(&mut Membership); 6] = [
        |it| it.id = MembershipId(Uuid::from_u128(9)),
        |it| it.doctor = user(3),
        |it| it.organization = OrganizationId(Uuid::from_u128(9)),
        |it| it.from += TimeDelta::microseconds(1),
        |it| it.until = None,
        |it| it.ended_at = Some(second(5)),
    ];
    for (nth, change) in memberships.iter().enumerate() {
        let mut changed = membership();
        change(&mut changed);
        let passes = passes(changed, seal(&membership()));
        assert!(!passes, "change {nth} of a membership");
    }
}

#[test]
fn an_absent_seal_a_cut_one_and_that_of_another_key_are_wrong() {
    let ring = keyring("12");
    let right = seal(&account());
    let found = ring.open_row(Sealed::new(account(), None)).unwrap_err();
    let wanted = Tampered {
        table: SealedTable::Users,
        row: Uuid::from_u128(1),
        of: user(1),
    };
    assert_eq!(found, wanted);
    let cut = Seal {
        mac: right.mac[..31].to_vec(),
        ..right.clone()
    };
    let empty = Seal {
        mac: Vec::new(),
        ..right.clone()
    };
    let lost = Seal {
        key_id: "gone".to_owned(),
        ..right.clone()
    };
    let other = keyring("13").seal_row(&account()).unwrap();
    for wrong in [cut, empty, lost, other] {
        let sealed = Sealed::new(account(), Some(wrong));
        assert!(ring.open_row(sealed).is_err());
    }
    for bit in 0..256 {
        let mut wrong = right.clone();
        wrong.mac[bit / 8] ^= 1 << (bit & 7);
        let sealed = Sealed::new(account(), Some(wrong));
        assert!(ring.open_row(sealed).is_err(), "bit {bit}");
    }
}

const ACCOUNT: &str = "f8c0f93a511eaa985d825bc30592b88ca672f9d0d7190606f0f0d3e2c7de33be";
const CONSENT: &str = "a6d75d9767c9f26c4e5251cee4c2d8089bde1e068399fa7bbc3e9aa07bdb1394";
const FACTOR: &str = "df7ab410b85524ab8be0039bb73e886c0cc7b8b2c6dfd0aa1574ed95b43ae7a2";
const SESSION: &str = "b48513e5af38fc9e4d6becea06ecb7d33314a1ea549cc09f9df2149448775870";
const WINDOW: &str = "05d16678916b9bbb06e633666c722071c11c732a6553d62fed78d3cdac89be5f";
const PROPOSAL: &str = "08077524fc3f6959b2d7df9bf21b7cf51780d825ac6a1c024dd23f42f40398f3";
const PREPARED: &str = "18a2a50f3f0ecf63c929ed37b16c85cea4e208defcc11647a68d5345f8d698c9";
const DELETION: &str = "5055f79485e3fe966b0d7e4d2ff64d4151619699a208ee6df45d41f240ccb585";
const RECEIPT: &str = "d3abc5a531fb3aa7a47f436a0d2f4225683ccc1a59caf01a396c99e844ab2e94";
const HOLD: &str = "08311b64a1845f26dd1a9be7da5bdf85ad3751950c40c3e3a43f5d063272031d";
const ORGANIZATION: &str = "bb2f90117a236eb89d41c02f0cd91e7ffd24544b65db4a391b67e2e44bf07239";
const MEMBERSHIP: &str = "4a55f5dd6062a50ab111f5307a0f0a7129e8ea9c312f2a773ab04c5f0d78d910";

mod represented;
