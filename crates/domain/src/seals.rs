//! Rows that decide, as they stand in the database: who may log in as what, what patients allow and
//! refuse, second factors, log-ins, roles and consents that wait, windows of emergency access, organisations and who belongs to them, representatives. Each carries a seal (`vault::seal`), and nothing is believed of one whose seal
//! was not checked: what is in a [`Sealed`] row, `vault` gives out.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    consents::Consent,
    ids::{OrganizationId, SessionId, UserId},
    text::text_enum,
    users::{Email, Role, Username},
};

text_enum! {
    /// The tables whose rows are sealed.
    SealedTable {
        /// Accounts.
        Users = "users",
        /// Consents.
        Consents = "data_processing_consents",
        /// Second factors.
        SecondFactors = "second_factors",
        /// Log-ins and their refresh tokens.
        Sessions = "sessions",
        /// Roles that wait for a second administrator.
        RoleProposals = "role_proposals",
        /// Consents that wait for whoever has their code.
        AccessCodes = "access_codes",
        /// Windows of emergency access.
        BreakGlassWindows = "break_glass_windows",
        /// Requests to erase or restrict that were verified and are not over.
        DeletionRequests = "data_deletion_requests",
        /// Legal holds in force.
        LegalHolds = "legal_holds",
        /// Organisations.
        Organizations = "organizations",
        /// Who belongs to organisations.
        Memberships = "memberships",
        /// Who acts for which patient.
        Representatives = "representatives",
        /// Representatives who wait for a second administrator.
        RepresentativeProposals = "representative_proposals",
        /// Receipts of consents, and the signatures of wallets on them.
        ConsentReceipts = "consent_receipts",
    }
}

/// A seal as it is stored beside its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// `seal`: the MAC.
    pub mac: Vec<u8>,
    /// `seal_key`: the id of the master key that its key is derived from.
    pub key_id: String,
}

impl Seal {
    /// The two columns; `None` where one of them is empty.
    pub fn of(mac: Option<Vec<u8>>, key_id: Option<String>) -> Option<Self> {
        Some(Self {
            mac: mac?,
            key_id: key_id?,
        })
    }
}

/// A row whose seal nobody has checked yet. Prints nothing of it.
#[derive(Clone)]
pub struct Sealed<T> {
    row: T,
    seal: Option<Seal>,
}

impl<T> std::fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealed(…)")
    }
}

impl<T> Sealed<T> {
    /// A row as it was read, with its seal, if it has one.
    pub const fn new(row: T, seal: Option<Seal>) -> Self {
        Self { row, seal }
    }

    /// The row and its seal, to be judged. For `vault`, and for commands that write a new seal.
    pub fn into_parts(self) -> (T, Option<Seal>) {
        (self.row, self.seal)
    }
}

/// What an account may do, how it proves itself, and by which names people know it: the columns of `users`
/// that decide.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    /// `id`.
    pub user: UserId,
    /// `email`.
    pub email: String,
    /// `username`.
    pub username: String,
    /// `role`.
    pub role: Role,
    /// `is_active`.
    pub is_active: bool,
    /// `is_system`.
    pub is_system: bool,
    /// `organization_id`.
    pub organization: Option<OrganizationId>,
    /// `hashed_password`, in PHC form.
    pub hashed_password: String,
    /// `blockchain_address`.
    pub blockchain_address: Option<String>,
    /// `has_second_factor`: a log-in needs one. Where its row is gone, it cannot be shown.
    pub has_second_factor: bool,
    /// `refusals`: the ids of this patient's refusals that were not taken back. One whose row is gone
    /// still refuses.
    pub refusals: Vec<Uuid>,
}

impl Authority {
    /// That of an account that is new.
    pub fn new(
        user: UserId,
        email: &Email,
        username: &Username,
        role: Role,
        hashed_password: String,
    ) -> Self {
        Self {
            user,
            email: email.as_str().to_owned(),
            username: username.as_str().to_owned(),
            role,
            is_active: true,
            is_system: false,
            organization: None,
            hashed_password,
            blockchain_address: None,
            has_second_factor: false,
            refusals: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("user", &self.user)
            .field("role", &self.role)
            .field("is_active", &self.is_active)
            .finish_non_exhaustive()
    }
}

/// A second factor: the columns of `second_factors` that decide, and its recovery codes.
#[derive(Clone, PartialEq, Eq)]
pub struct Factor {
    /// `user_id`.
    pub user: UserId,
    /// `sealed_secret`.
    pub sealed_secret: Vec<u8>,
    /// `master_key_id`: what the secret is sealed by.
    pub master_key_id: String,
    /// `confirmed_at`.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// The hashes of its recovery codes, used or not, in their order.
    pub code_hashes: Vec<String>,
}

impl std::fmt::Debug for Factor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Factor")
            .field("user", &self.user)
            .field("confirmed_at", &self.confirmed_at)
            .finish_non_exhaustive()
    }
}

/// A refresh token, and, where it is the first of its family, the log-in: the columns of `sessions` that
/// decide. Whoever ends a log-in takes the seals off its rows, so that none of them counts again.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// `id`.
    pub id: SessionId,
    /// `user_id`.
    pub user: UserId,
    /// `refresh_token`: the SHA-256 of the token, 64 hex digits.
    pub refresh_token_hash: String,
    /// `family_id`: the log-in.
    pub family: SessionId,
    /// `parent_id`: the token that was rotated to this one; none of a log-in's first row.
    pub parent: Option<SessionId>,
    /// `expires_at`: when the log-in is over.
    pub expires_at: DateTime<Utc>,
    /// `idle_expires_at`: until when the token may be used.
    pub idle_expires_at: Option<DateTime<Utc>>,
    /// `used_at`: when it was used.
    pub used_at: Option<DateTime<Utc>>,
    /// `second_factor_at`: when a second factor was shown, in a log-in's first row.
    pub second_factor_at: Option<DateTime<Utc>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A role that one administrator proposed and no other has confirmed yet. Whoever closes it takes its seal
/// off.
#[derive(Debug, Clone)]
pub struct RoleProposal {
    /// Its id.
    pub id: Uuid,
    /// Whose role.
    pub user: UserId,
    /// Which.
    pub role: Role,
    /// By whom it was proposed.
    pub proposed_by: UserId,
    /// When.
    pub proposed_at: DateTime<Utc>,
    /// Until when it may be confirmed.
    pub expires_at: DateTime<Utc>,
}

/// Patients' consents as they stand: those in force, and the refusals that their accounts name, whether
/// their rows say that they are in force or not.
#[derive(Debug, Default)]
pub struct StoredConsents {
    /// The patients' accounts.
    pub patients: Vec<Sealed<Authority>>,
    /// The consents.
    pub consents: Vec<Sealed<Consent>>,
    /// Consents that cannot even be read: whose, and which.
    pub unreadable: Vec<(UserId, Uuid)>,
    /// The patients who have other consents in force, which were not asked for.
    pub left_out: Vec<UserId>,
}

/// A row whose seal is missing or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tampered {
    /// In which table.
    pub table: SealedTable,
    /// Which row.
    pub row: Uuid,
    /// Whose it is, as far as it can be believed.
    pub of: UserId,
}
