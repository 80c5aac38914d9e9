//! The audit row: what is written for everything that is done, or refused.

use std::net::IpAddr;

use chrono::TimeDelta;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    ids::{ConsentId, RecordId, RepresentationId, RequestId, UserId},
    purpose::Purpose,
    text::text_enum,
};

text_enum! {
    /// What was done.
    AuditAction {
        /// An account was made.
        AuthRegister = "AUTH_REGISTER",
        /// Somebody logged in.
        AuthLogin = "AUTH_LOGIN",
        /// Somebody failed to.
        AuthLoginFailed = "AUTH_LOGIN_FAILED",
        /// A name has to wait, from one address, before it may try again.
        AuthLocked = "AUTH_LOCKED",
        /// A wallet was linked.
        WalletLink = "WALLET_LINK",
        /// A wallet was unlinked.
        WalletUnlink = "WALLET_UNLINK",
        /// A second factor was begun, and does not count yet.
        SecondFactorStart = "SECOND_FACTOR_START",
        /// A second factor was shown for the first time, and counts from now on.
        SecondFactorConfirm = "SECOND_FACTOR_CONFIRM",
        /// A second factor was taken off by its owner, or reset by the operator.
        SecondFactorRemove = "SECOND_FACTOR_REMOVE",
        /// Somebody ended log-ins of their own.
        AuthLogout = "AUTH_LOGOUT",
        /// A log-in went on by its refresh token.
        AuthRefresh = "AUTH_REFRESH",
        /// A refresh token was presented that was used before: the log-in was ended.
        AuthRefreshReuse = "AUTH_REFRESH_REUSE",
        /// An account changed.
        UserUpdate = "USER_UPDATE",
        /// An account was deactivated.
        UserDeactivate = "USER_DEACTIVATE",
        /// An account was made active again.
        UserReactivate = "USER_REACTIVATE",
        /// A role was given.
        UserRoleChange = "USER_ROLE_CHANGE",
        /// An account was read by its owner.
        UserRead = "USER_READ",
        /// Log-ins were listed by whose they are.
        SessionSearch = "SESSION_SEARCH",
        /// Accounts were listed.
        UserSearch = "USER_SEARCH",
        /// A record was written.
        RecordCreate = "RECORD_CREATE",
        /// A new version of a record was written, or the record withdrawn.
        RecordAmend = "RECORD_AMEND",
        /// What a record is found by was read off its document anew.
        RecordDerive = "RECORD_DERIVE",
        /// A record was opened, or its metadata disclosed.
        RecordRead = "RECORD_READ",
        /// Records were searched, or a stream told of them.
        RecordSearch = "RECORD_SEARCH",
        /// A record was compared with its hash and the chain.
        RecordVerify = "RECORD_VERIFY",
        /// A record was taken out, to be kept elsewhere.
        RecordExport = "RECORD_EXPORT",
        /// A version was brought back from an export, with its id, its salt and its hash.
        RecordImport = "RECORD_IMPORT",
        /// A record's hash was found on the chain.
        RecordAnchor = "RECORD_ANCHOR",
        /// A consent was given.
        ConsentGrant = "CONSENT_GRANT",
        /// A consent was taken back.
        ConsentWithdraw = "CONSENT_WITHDRAW",
        /// A wallet signed the receipt of a consent.
        ConsentSign = "CONSENT_SIGN",
        /// A consent was prepared for whoever redeems its code.
        AccessCodeCreate = "ACCESS_CODE_CREATE",
        /// A code was redeemed.
        AccessCodeRedeem = "ACCESS_CODE_REDEEM",
        /// A code was cancelled.
        AccessCodeCancel = "ACCESS_CODE_CANCEL",
        /// Consents were read.
        ConsentRead = "CONSENT_READ",
        /// Something was refused.
        AccessDenied = "ACCESS_DENIED",
        /// A doctor opened a window of emergency access.
        BreakGlassStart = "BREAK_GLASS_START",
        /// A window of emergency access ended: its doctor closed it, or its time was over.
        BreakGlassEnd = "BREAK_GLASS_END",
        /// A window of emergency access was reviewed, or was not in time.
        BreakGlassReview = "BREAK_GLASS_REVIEW",
        /// Windows of emergency access were read.
        BreakGlassRead = "BREAK_GLASS_READ",
        /// Somebody was named who acts for a patient.
        RepresentativeAppoint = "REPRESENTATIVE_APPOINT",
        /// An administrator proposed somebody who is to act for a patient, or another rejected that.
        RepresentativePropose = "REPRESENTATIVE_PROPOSE",
        /// Somebody acts for a patient no longer.
        RepresentativeEnd = "REPRESENTATIVE_END",
        /// Who acts for whom was read.
        RepresentativeRead = "REPRESENTATIVE_READ",
        /// Notifications were read, or marked as read.
        NotificationRead = "NOTIFICATION_READ",
        /// The audit trail was read.
        AuditRead = "AUDIT_READ",
        /// The rules of countries were read.
        CountryRuleRead = "COUNTRY_RULE_READ",
        /// The rule of a country was set.
        CountryRuleSet = "COUNTRY_RULE_SET",
        /// Organisations were searched.
        OrganizationSearch = "ORGANIZATION_SEARCH",
        /// An organisation was made.
        OrganizationCreate = "ORGANIZATION_CREATE",
        /// The name, the country or the state of an organisation was changed.
        OrganizationUpdate = "ORGANIZATION_UPDATE",
        /// The members of an organisation were read.
        MembershipRead = "MEMBERSHIP_READ",
        /// A doctor became a member of an organisation.
        MembershipAdd = "MEMBERSHIP_ADD",
        /// The membership of a doctor was ended.
        MembershipEnd = "MEMBERSHIP_END",
        /// The audit trail, or a part of it, was taken out.
        AuditExport = "AUDIT_EXPORT",
        /// An erasure or a restriction was asked for.
        DeletionRequest = "DELETION_REQUEST",
        /// The subject of a deletion request proved to be the subject.
        DeletionVerify = "DELETION_VERIFY",
        /// A deletion request was not verified in time, or too many proofs were wrong.
        DeletionExpire = "DELETION_EXPIRE",
        /// An administrator decided about a deletion request.
        DeletionReview = "DELETION_REVIEW",
        /// The subject took a deletion request back.
        DeletionCancel = "DELETION_CANCEL",
        /// A deletion request was put on hold, or goes on after a hold.
        DeletionHold = "DELETION_HOLD",
        /// A step of a deletion request was carried out.
        DeletionExecute = "DELETION_EXECUTE",
        /// A deletion request was carried out, and certified.
        DeletionComplete = "DELETION_COMPLETE",
        /// A legal hold was placed.
        HoldPlace = "HOLD_PLACE",
        /// A legal hold was released, or an administrator was the first to ask for it.
        HoldRelease = "HOLD_RELEASE",
        /// Deletion requests or legal holds were read.
        DeletionRead = "DELETION_READ",
        /// What had been kept long enough was removed: records erased, or rows of the trail.
        RetentionPurge = "RETENTION_PURGE",
        /// How long records of a type are kept was changed.
        RetentionRuleSet = "RETENTION_RULE_SET",
        /// A key was destroyed.
        KeyDestroy = "KEY_DESTROY",
        /// A key was made or changed.
        KeyRotate = "KEY_ROTATE",
        /// Rows that were changed by hand were sealed again by the operator.
        RowSeal = "ROW_SEAL",
        /// Everything was copied into a backup.
        BackupRun = "BACKUP_RUN",
        /// The database was made again of a backup.
        BackupRestore = "BACKUP_RESTORE",
        /// Something does not fit together.
        IntegrityFailure = "INTEGRITY_FAILURE",
    }
}

text_enum! {
    /// What it was done to.
    ResourceType {
        /// An account.
        User = "USER",
        /// A log-in.
        Session = "SESSION",
        /// A record.
        MedicalRecord = "MEDICAL_RECORD",
        /// A key that a patient's records are sealed under, or all of them.
        PatientKey = "PATIENT_KEY",
        /// A consent.
        Consent = "CONSENT",
        /// A consent that waits for whoever has its code.
        AccessCode = "ACCESS_CODE",
        /// The rules of countries.
        CountryRule = "COUNTRY_RULE",
        /// How long records are kept.
        RetentionRule = "RETENTION_RULE",
        /// A backup of everything.
        Backup = "BACKUP",
        /// An organisation.
        Organization = "ORGANIZATION",
        /// That a doctor belongs to an organisation.
        Membership = "MEMBERSHIP",
        /// The trail itself.
        AuditLog = "AUDIT_LOG",
        /// A deletion request.
        DeletionRequest = "DELETION_REQUEST",
        /// A legal hold.
        LegalHold = "LEGAL_HOLD",
        /// A finding.
        Finding = "FINDING",
        /// A link of a wallet.
        Wallet = "WALLET",
        /// A window of emergency access.
        BreakGlassWindow = "BREAK_GLASS_WINDOW",
        /// Who acts for a patient, or is to.
        Representative = "REPRESENTATIVE",
        /// A notification.
        Notification = "NOTIFICATION",
        /// An account that signs for us on the chain.
        Signer = "SIGNER",
    }
}

text_enum! {
    /// How sensitive what was touched is.
    Classification {
        /// Anybody may know.
        Public = "PUBLIC",
        /// The operator may know.
        Internal = "INTERNAL",
        /// About a person.
        Personal = "PERSONAL",
        /// About a person, and delicate.
        SensitivePersonal = "SENSITIVE_PERSONAL",
        /// About a person's health.
        Medical = "MEDICAL",
        /// About a person's health, and under special protection.
        MedicalRestricted = "MEDICAL_RESTRICTED",
        /// About keys, log-ins and rights.
        Security = "SECURITY",
    }
}

text_enum! {
    /// In what form data was touched.
    EncryptionStatus {
        /// It stayed sealed, or was sealed.
        EncryptedAtRest = "ENCRYPTED_AT_REST",
        /// It was opened for somebody.
        DecryptedForDisclosure = "DECRYPTED_FOR_DISCLOSURE",
        /// It left in clear.
        ExportedPlaintext = "EXPORTED_PLAINTEXT",
        /// It left sealed.
        ExportedEncrypted = "EXPORTED_ENCRYPTED",
        /// Its key is gone.
        KeyDestroyed = "KEY_DESTROYED",
        /// Only what is stored in clear was touched.
        MetadataOnly = "METADATA_ONLY",
        /// No such data was touched.
        NotApplicable = "NOT_APPLICABLE",
    }
}

/// The longest user agent kept. Unit: characters.
pub const MAX_USER_AGENT_CHARS: usize = 256;

/// Who asked, from where.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The one id of the request.
    pub request: RequestId,
    /// The peer's address.
    pub address: IpAddr,
    /// What the client says it is, shortened and without control characters.
    pub user_agent: Option<String>,
}

impl Origin {
    /// An origin with its user agent made fit to be stored.
    pub fn new(request: RequestId, address: IpAddr, user_agent: Option<&str>) -> Self {
        let tidy = |text: &str| {
            text.chars()
                .filter(|c| !c.is_control())
                .take(MAX_USER_AGENT_CHARS)
                .collect::<String>()
        };
        Self {
            request,
            address,
            user_agent: user_agent.map(tidy),
        }
    }

    /// The origin of a job of ours.
    pub fn job(request: RequestId) -> Self {
        Self {
            request,
            address: IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
            user_agent: None,
        }
    }
}

/// One row of `audit_logs` before the database gives it an id and a time.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// Who did it.
    pub user: UserId,
    /// What.
    pub action: AuditAction,
    /// To what kind of thing.
    pub resource_type: ResourceType,
    /// To which one; the request's id where there is none.
    pub resource_id: Uuid,
    /// What was before. Never health data or secrets.
    pub old_value: Option<Value>,
    /// What is now; the reason, for a refusal. Never health data or secrets.
    pub new_value: Option<Value>,
    /// From where.
    pub origin: Origin,
    /// Why.
    pub purpose: Purpose,
    /// The consent that decided, for or against.
    pub consent: Option<ConsentId>,
    /// How sensitive.
    pub classification: Classification,
    /// The country data went to, if it left the home country.
    pub destination: Option<String>,
    /// In what form.
    pub encryption: EncryptionStatus,
    /// Whose data, so that the patient can read this row.
    pub patient: Option<UserId>,
    /// The records of that patient that a list disclosed; empty where the row is about one thing.
    pub records: Vec<RecordId>,
    /// The patient for whom it was done, or tried, where somebody acts for another.
    pub on_behalf_of: Option<UserId>,
    /// The representation by which it was done then. The row holds it in `new_value`, as `representation`.
    pub representation: Option<RepresentationId>,
}

impl AuditEntry {
    /// An entry about no data in particular; the rest is set by field.
    pub fn new(user: UserId, action: AuditAction, purpose: Purpose, origin: &Origin) -> Self {
        Self {
            user,
            action,
            resource_type: ResourceType::User,
            resource_id: origin.request.0,
            old_value: None,
            new_value: None,
            origin: origin.clone(),
            purpose,
            consent: None,
            classification: Classification::Internal,
            destination: None,
            encryption: EncryptionStatus::NotApplicable,
            patient: None,
            records: Vec::new(),
            on_behalf_of: None,
            representation: None,
        }
    }
}

/// The actions whose rows are never removed: they prove an erasure, a hold, a review, a rule or a purge, and are few.
pub const NEVER_REMOVED: [AuditAction; 7] = [
    AuditAction::RetentionPurge,
    AuditAction::RetentionRuleSet,
    AuditAction::KeyDestroy,
    AuditAction::DeletionComplete,
    AuditAction::HoldPlace,
    AuditAction::HoldRelease,
    AuditAction::BreakGlassReview,
];

impl AuditAction {
    /// How long the row is kept. Unit: days. Access 3 years, changes 5, security, consent and
    /// deletion 7 (`docs/data-model.md`, retention).
    pub const fn retention(self) -> TimeDelta {
        let years = match self {
            Self::RecordRead
            | Self::RecordSearch
            | Self::RecordVerify
            | Self::RecordExport
            | Self::UserRead
            | Self::UserSearch
            | Self::SessionSearch
            | Self::ConsentRead
            | Self::DeletionRead
            | Self::CountryRuleRead
            | Self::OrganizationSearch
            | Self::MembershipRead
            | Self::BreakGlassRead
            | Self::RepresentativeRead
            | Self::NotificationRead
            | Self::AuditRead
            | Self::AuditExport => 3,
            Self::RecordCreate
            | Self::RecordAmend
            | Self::RecordDerive
            | Self::RecordImport
            | Self::RecordAnchor
            | Self::UserUpdate => 5,
            Self::AuthRegister
            | Self::AuthLogin
            | Self::AuthLoginFailed
            | Self::AuthLocked
            | Self::WalletLink
            | Self::WalletUnlink
            | Self::SecondFactorStart
            | Self::SecondFactorConfirm
            | Self::SecondFactorRemove
            | Self::AuthLogout
            | Self::AuthRefresh
            | Self::AuthRefreshReuse
            | Self::UserDeactivate
            | Self::UserReactivate
            | Self::UserRoleChange
            | Self::ConsentGrant
            | Self::ConsentWithdraw
            | Self::ConsentSign
            | Self::AccessCodeCreate
            | Self::AccessCodeRedeem
            | Self::AccessCodeCancel
            | Self::CountryRuleSet
            | Self::OrganizationCreate
            | Self::OrganizationUpdate
            | Self::MembershipAdd
            | Self::MembershipEnd
            | Self::AccessDenied
            | Self::BreakGlassStart
            | Self::BreakGlassEnd
            | Self::BreakGlassReview
            | Self::RepresentativeAppoint
            | Self::RepresentativePropose
            | Self::RepresentativeEnd
            | Self::DeletionRequest
            | Self::DeletionVerify
            | Self::DeletionExpire
            | Self::DeletionReview
            | Self::DeletionCancel
            | Self::DeletionHold
            | Self::DeletionExecute
            | Self::DeletionComplete
            | Self::HoldPlace
            | Self::HoldRelease
            | Self::RetentionPurge
            | Self::RetentionRuleSet
            | Self::KeyDestroy
            | Self::KeyRotate
            | Self::RowSeal
            | Self::BackupRun
            | Self::BackupRestore
            | Self::IntegrityFailure => 7,
        };
        TimeDelta::days(years * 365 + years / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_agent_is_shortened_and_cannot_break_a_line() {
        let origin = Origin::new(
            RequestId(Uuid::nil()),
            IpAddr::from([127, 0, 0, 1]),
            Some(&format!("a\r\nb{}", "c".repeat(300))),
        );
        let agent = origin.user_agent.unwrap_or_default();
        assert!(agent.starts_with("abc"));
        assert_eq!(agent.chars().count(), MAX_USER_AGENT_CHARS);
    }

    #[test]
    fn every_action_fits_its_column() {
        assert!(
            AuditAction::ALL
                .iter()
                .all(|action| action.as_str().len() <= 50)
        );
    }
}
