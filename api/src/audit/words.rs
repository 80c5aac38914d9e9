//! The words of the audit trail as enums of the schema. Rows may hold words of another version, or of somebody who wrote to the
//! database: those of actions and things are shown as `UNKNOWN`, so that the rest of the trail stays readable.

use async_graphql::{Enum, resolver_utils::EnumType as _};
use domain::audit;

/// What was done, or tried, as the audit trail names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum AuditAction {
    /// An account was made by registration.
    AuthRegister,
    /// Somebody logged in to an account.
    AuthLogin,
    /// Somebody failed to log in.
    AuthLoginFailed,
    /// A name has to wait, from one address, before it may try again.
    AuthLocked,
    /// A wallet was linked to an account.
    WalletLink,
    /// A wallet was unlinked from its account.
    WalletUnlink,
    /// A second factor was begun, and does not count yet.
    SecondFactorStart,
    /// A second factor was shown for the first time, and counts from now on.
    SecondFactorConfirm,
    /// A second factor was taken off by its owner, or reset by the operator.
    SecondFactorRemove,
    /// Somebody ended log-ins of their own.
    AuthLogout,
    /// A log-in went on by its refresh token.
    AuthRefresh,
    /// A refresh token was presented that was used before: the log-in was ended.
    AuthRefreshReuse,
    /// Data of an account was changed.
    UserUpdate,
    /// An account was deactivated.
    UserDeactivate,
    /// An account was made active again.
    UserReactivate,
    /// An account was given a role.
    UserRoleChange,
    /// An account was read, by its owner or by whoever may know of it.
    UserRead,
    /// Log-ins were listed by whose they are.
    SessionSearch,
    /// Accounts were listed or searched.
    UserSearch,
    /// A record was written for a patient.
    RecordCreate,
    /// A new version of a record was written, or the record withdrawn.
    RecordAmend,
    /// What a record is found by was read off its document anew, by the operator's command.
    RecordDerive,
    /// A record was opened, or its metadata disclosed.
    RecordRead,
    /// Records were searched, and maybe shown in a list; or a stream told of them.
    RecordSearch,
    /// A record was compared with its hash and the chain.
    RecordVerify,
    /// A record was taken out, to be kept elsewhere.
    RecordExport,
    /// A version was brought back from an export, with its id, its salt and its hash.
    RecordImport,
    /// A record's hash was found on the chain.
    RecordAnchor,
    /// A consent was given by a patient.
    ConsentGrant,
    /// A consent was taken back by its patient.
    ConsentWithdraw,
    /// A wallet signed the receipt of a consent.
    ConsentSign,
    /// A consent was prepared for whoever redeems its code.
    AccessCodeCreate,
    /// An access code was redeemed by a doctor.
    AccessCodeRedeem,
    /// An access code was cancelled by its patient.
    AccessCodeCancel,
    /// Consents of a patient were read.
    ConsentRead,
    /// Something was refused: `newValue` names what and why.
    AccessDenied,
    /// A doctor opened a window of emergency access.
    BreakGlassStart,
    /// A window of emergency access ended: its doctor closed it, or its time was over.
    BreakGlassEnd,
    /// A window of emergency access was reviewed, or was not in time.
    BreakGlassReview,
    /// Windows of emergency access were read.
    BreakGlassRead,
    /// Somebody was named who acts for a patient.
    RepresentativeAppoint,
    /// An administrator proposed somebody who is to act for a patient, or another rejected that.
    RepresentativePropose,
    /// Somebody acts for a patient no longer.
    RepresentativeEnd,
    /// Who acts for whom was read.
    RepresentativeRead,
    /// Notifications were read, or marked as read.
    NotificationRead,
    /// The audit trail was read.
    AuditRead,
    /// The rules of countries were read.
    CountryRuleRead,
    /// The rule of a country was set.
    CountryRuleSet,
    /// Organisations were searched by their names.
    OrganizationSearch,
    /// An organisation was made by an administrator.
    OrganizationCreate,
    /// The name, the country or the state of an organisation was changed.
    OrganizationUpdate,
    /// The members of an organisation were read.
    MembershipRead,
    /// A doctor became a member of an organisation.
    MembershipAdd,
    /// The membership of a doctor was ended.
    MembershipEnd,
    /// The audit trail, or a part of it, was taken out.
    AuditExport,
    /// An erasure or a restriction was asked for.
    DeletionRequest,
    /// The subject of a deletion request proved to be the subject.
    DeletionVerify,
    /// A deletion request was not verified in time, or too many proofs were wrong.
    DeletionExpire,
    /// An administrator decided about a deletion request.
    DeletionReview,
    /// The subject took a deletion request back.
    DeletionCancel,
    /// A deletion request was put on hold, or goes on after a hold.
    DeletionHold,
    /// A step of a deletion request was carried out.
    DeletionExecute,
    /// A deletion request was carried out, and certified.
    DeletionComplete,
    /// A legal hold was placed on records.
    HoldPlace,
    /// A legal hold was released, or an administrator was the first to ask for it.
    HoldRelease,
    /// Deletion requests or legal holds were read.
    DeletionRead,
    /// What had been kept long enough was removed: records erased, or rows of the trail.
    RetentionPurge,
    /// How long records of a type are kept was changed.
    RetentionRuleSet,
    /// A key of a patient was destroyed.
    KeyDestroy,
    /// A key was made, or another took its place.
    KeyRotate,
    /// Rows that were changed by hand were sealed again by the operator.
    RowSeal,
    /// Everything was copied into a backup.
    BackupRun,
    /// The database was made again of a backup.
    BackupRestore,
    /// An inconsistency was found, or is gone.
    IntegrityFailure,
    /// A word of the trail that this version of the service does not know.
    Unknown,
}

/// The kind of thing that something was done to, as the audit trail names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum ResourceType {
    /// An account of a person or of the system.
    User,
    /// A log-in of somebody.
    Session,
    /// A version of a record.
    MedicalRecord,
    /// A key that a patient's records are sealed under, or all of them.
    PatientKey,
    /// A consent of a patient.
    Consent,
    /// A consent that waits for whoever has its code.
    AccessCode,
    /// The rules of countries that data may be sent to.
    CountryRule,
    /// How long records are kept.
    RetentionRule,
    /// A backup of the whole database.
    Backup,
    /// A hospital or a practice.
    Organization,
    /// That a doctor belongs to an organisation.
    Membership,
    /// The audit trail itself.
    AuditLog,
    /// A request to erase or restrict data.
    DeletionRequest,
    /// A legal hold on records.
    LegalHold,
    /// An inconsistency that was found.
    Finding,
    /// A link of a wallet to an account.
    Wallet,
    /// A window of emergency access.
    BreakGlassWindow,
    /// Who acts for a patient, or is to.
    Representative,
    /// A notification to somebody.
    Notification,
    /// An account that signs for us on the chain.
    Signer,
    /// A word of the trail that this version of the service does not know.
    Unknown,
}

/// How sensitive the data is that something was done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::audit::Classification")]
pub(crate) enum DataClassification {
    /// What anybody may know.
    Public,
    /// What the operator may know.
    Internal,
    /// Data about a person.
    Personal,
    /// Delicate data about a person.
    SensitivePersonal,
    /// Data about a person's health.
    Medical,
    /// Data about a person's health under special protection.
    MedicalRestricted,
    /// Keys, log-ins and rights.
    Security,
}

/// In which form data was accessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::audit::EncryptionStatus")]
pub(crate) enum EncryptionStatus {
    /// It stayed sealed, or was sealed.
    EncryptedAtRest,
    /// It was opened to be shown to somebody.
    DecryptedForDisclosure,
    /// It left the service in clear.
    ExportedPlaintext,
    /// It left the service sealed.
    ExportedEncrypted,
    /// Its key was destroyed: nobody can read it any more.
    KeyDestroyed,
    /// Only what is stored in clear was accessed.
    MetadataOnly,
    /// No such data was accessed.
    NotApplicable,
}

impl AuditAction {
    /// The one that a row says.
    pub(super) fn of(text: &str) -> Self {
        let mut known = Self::items().iter();
        let found = known.find(|item| item.name == text);
        found.map_or(Self::Unknown, |item| item.value)
    }

    /// The one that rows have; `None` for `UNKNOWN`.
    pub(super) fn word(self) -> Option<audit::AuditAction> {
        let mut known = Self::items().iter();
        let item = known.find(|item| item.value == self)?;
        item.name.parse().ok()
    }
}

impl ResourceType {
    /// The one that a row says.
    pub(super) fn of(text: &str) -> Self {
        let mut known = Self::items().iter();
        let found = known.find(|item| item.name == text);
        found.map_or(Self::Unknown, |item| item.value)
    }

    /// The one that rows have; `None` for `UNKNOWN`.
    pub(super) fn word(self) -> Option<audit::ResourceType> {
        let mut known = Self::items().iter();
        let item = known.find(|item| item.value == self)?;
        item.name.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_that_is_written_is_one_of_the_schema() {
        for action in domain::audit::AuditAction::ALL {
            let shown = AuditAction::of(&action.to_string());
            assert_ne!(shown, AuditAction::Unknown, "{action}");
            assert_eq!(shown.word(), Some(*action));
        }
        for kind in domain::audit::ResourceType::ALL {
            let shown = ResourceType::of(&kind.to_string());
            assert_ne!(shown, ResourceType::Unknown, "{kind}");
            assert_eq!(shown.word(), Some(*kind));
        }
        let actions = domain::audit::AuditAction::ALL.len();
        assert_eq!(AuditAction::items().len(), actions + 1);
        let kinds = domain::audit::ResourceType::ALL.len();
        assert_eq!(ResourceType::items().len(), kinds + 1);
    }

    #[test]
    fn a_word_that_nobody_writes_is_shown_as_unknown() {
        assert_eq!(AuditAction::of("RECORD_STEAL"), AuditAction::Unknown);
        assert_eq!(AuditAction::of(""), AuditAction::Unknown);
        assert_eq!(AuditAction::Unknown.word(), None);
        assert_eq!(ResourceType::Unknown.word(), None);
        assert_eq!(ResourceType::of("medical_record"), ResourceType::Unknown);
    }
}
