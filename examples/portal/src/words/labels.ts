// The words for the schema's enumerations. Each is complete by its type: a new value does not compile without a word.
import type {
  AnchorState,
  BreakGlassDecision,
  BreakGlassReviewStatus,
  ClosedAs,
  ClosingReason,
  ClosingState,
  ConsentReceiptState,
  DataCategory,
  DeletionRequestType,
  DeletionStatus,
  FindingKind,
  IntegrityEventKind,
  NotificationKind,
  ProcessingActivity,
  PurposeOfUse,
  RecordType,
  RegistryEventKind,
  Relationship,
  RepresentedActivity,
  Role,
  Verdict,
} from '../gql/graphql';
import type { ImportLine } from '../api/import-lines';
import { type English, t } from '.';

const recordTypes: Record<RecordType, English> = {
  DIAGNOSIS: 'Diagnosis',
  IMAGING: 'Imaging',
  LAB_RESULT: 'Laboratory result',
  MEDICAL_HISTORY: 'Medical history',
  PRESCRIPTION: 'Prescription',
  TREATMENT_PLAN: 'Treatment plan',
  VACCINATION: 'Vaccination',
  VITAL_SIGNS: 'Vital signs',
};
export const RECORD_TYPES = Object.keys(recordTypes) as RecordType[];
export const recordType = (of: RecordType): string => t(recordTypes[of]);

export const dataCategory = (of: DataCategory): string => (of === 'ALL_RECORDS' ? t('All records') : recordType(of));

const activities: Record<ProcessingActivity, English> = {
  AMEND: 'Amend',
  CREATE: 'Write',
  DENY: 'Refuse everything',
  EXPORT: 'Take out as a file',
  READ: 'Read',
  SEARCH: 'Find',
  TRANSFER: 'Send to other countries',
};
export const activity = (of: ProcessingActivity): string => t(activities[of]);

const purposes: Record<PurposeOfUse, English> = {
  BTG: 'Emergency, without consent',
  CLINTRL: 'Clinical trial',
  COC: 'Coordination of care',
  ERTREAT: 'Emergency room treatment',
  ETREAT: 'Emergency treatment',
  HCOMPL: 'Compliance',
  HMARKT: 'Marketing',
  HOPERAT: 'Operations of health care',
  HPAYMT: 'Payment',
  HRESCH: 'Research',
  HSYSADMIN: 'System administration',
  PATRQT: 'The request of the patient',
  POPHLTH: 'Population health',
  PUBHLTH: 'Public health',
  RECORDMGT: 'Management of records',
  TREAT: 'Treatment',
};
export const purpose = (of: string): string => {
  const word = purposes[of as PurposeOfUse] as English | undefined;
  return word ? t(word) : of;
};

const roles: Record<Role, English> = { ADMIN: 'Administrator', DOCTOR: 'Doctor', PATIENT: 'Patient' };
export const role = (of: Role | null | undefined): string => (of ? t(roles[of]) : t('The service'));

const anchors: Record<AnchorState, English> = {
  CONFIRMED: 'in a block that can still be undone',
  FAILED: 'failed: it is not on the chain',
  FINALIZED: 'final on the chain',
  PENDING: 'waits to be sent to the chain',
  REORGED: 'its block was undone; it is sent again',
  REPLACED: 'replaced by another transaction',
  SUBMITTED: 'sent to the chain',
};
export const anchor = (of: AnchorState): string => t(anchors[of]);

const verdicts: Record<Verdict, English> = {
  ANCHOR_FAILED: 'Its anchor came to nothing: another transaction is signed.',
  ERASED: 'The record was erased: nothing is left to compare.',
  FOREIGN_REGISTRAR: 'The registry knows it from an account that is not one of this service.',
  MISSING_ON_CHAIN: 'It counts as anchored, and the registry does not know its hash.',
  PENDING: 'The content has the stored hash; the registry does not know it yet.',
  REVOKED: 'The registry knows it as one that was revoked or erased.',
  SUPERSEDED: 'It is what was anchored; a newer version took its place.',
  TAMPERED: 'It was changed, or cannot be opened.',
  VERIFIED: 'It is what was anchored, and it stands.',
};
export const verdict = (of: Verdict): string => t(verdicts[of]);

const findings: Record<FindingKind, English> = {
  ANCHOR_STUCK: 'An anchor does not come to the chain',
  AUDIT_TAMPERED: 'The audit trail was changed',
  CONSENT_MISMATCH: 'A consent is another one on the chain',
  CONTENT_MISMATCH: 'The content is not what was hashed',
  ENDED_ON_CHAIN: 'Ended on the chain by somebody',
  FOREIGN_REGISTRAR: 'Anchored by an account that is not ours',
  HASH_MISMATCH: 'The hash was changed',
  MISSING_ON_CHAIN: 'Missing on the chain',
  REGISTRY_PAUSED: 'The registry is paused',
  ROW_TAMPERED: 'A row was changed outside the service',
  UNDECRYPTABLE: 'It cannot be opened',
  UNKNOWN_CONSENT: 'An unknown consent is on the chain',
  UNKNOWN_ON_CHAIN: 'The chain has what we do not know',
};
export const finding = (of: FindingKind): string => t(findings[of]);

const events: Record<IntegrityEventKind, English> = {
  ANCHOR_CONFIRMED: 'Anchor found in a block',
  ANCHOR_FAILED: 'Anchor failed',
  ANCHOR_FINALIZED: 'Anchor is final',
  ANCHOR_PENDING: 'Anchor waits',
  ANCHOR_REORGED: 'Block of the anchor was undone',
  ANCHOR_REPLACED: 'Anchor was replaced',
  ANCHOR_SUBMITTED: 'Anchor was sent',
  CLOSING_CONFIRMED: 'Record is closed on the chain',
  CLOSING_REORGED: 'Block of the closing was undone',
  FINDING_OPENED: 'Finding opened',
  FINDING_RESOLVED: 'Finding resolved',
};
export const event = (of: IntegrityEventKind): string => t(events[of]);

const registryEvents: Record<RegistryEventKind, English> = {
  ADMIN_STEP_TAKEN: 'Step towards another administrator of the contract',
  BATCH_ANCHORED: 'Many records anchored together',
  CHECKPOINT_ANCHORED: 'Audit trail pinned',
  ENDING_ANNULLED: 'End of a record annulled',
  ENDING_LIMIT_SET: 'Limit of ends set',
  EPOCH_OPENED: 'Epoch of checkpoints opened',
  PAUSED_SET: 'Contract paused or released',
  RECORD_ANCHORED: 'Record anchored',
  RECORD_CLOSED: 'Record closed',
  RECORD_EXTRACTED: 'Record taken out of those anchored together',
  ROLE_CHANGED: 'Role of an account of the contract changed',
};
/** An event of a newer contract stands for itself. */
export const registryEvent = (of: RegistryEventKind): string => (of in registryEvents ? t(registryEvents[of]) : of);

const notifications: Record<NotificationKind, English> = {
  BREAK_GLASS_ESCALATED: 'Emergency access, the review is late',
  BREAK_GLASS_JUSTIFIED: 'Emergency access, found justified',
  BREAK_GLASS_OPENED: 'Emergency access',
  BREAK_GLASS_UNJUSTIFIED: 'Emergency access, found unjustified',
  REPRESENTATION_ENDED: 'Representation ended',
  REPRESENTATIVE_APPOINTED: 'Representative appointed',
};
export const notification = (of: NotificationKind): string => t(notifications[of]);

const deletions: Record<DeletionRequestType, English> = {
  ACCOUNT_ERASURE: 'Erase the account and everything in it',
  CATEGORY_ERASURE: 'Erase all records of some types',
  RECORD_ERASURE: 'Erase single records',
  RESTRICTION: 'Restrict: only I may read',
};
export const deletionType = (of: DeletionRequestType): string => t(deletions[of]);

const deletionStatuses: Record<DeletionStatus, English> = {
  APPROVED: 'approved',
  CANCELLED: 'taken back',
  COMPLETED: 'carried out',
  EXECUTING: 'being carried out',
  EXPIRED: 'not verified in time',
  FAILED: 'failed, tried again later',
  ON_HOLD: 'held by law',
  PARTIALLY_APPROVED: 'approved in part',
  PENDING: 'waits for you to verify it',
  REJECTED: 'rejected',
  SCHEDULED: 'scheduled',
  UNDER_REVIEW: 'administrators decide',
  VERIFIED: 'verified',
};
export const DELETION_STATUSES = Object.keys(deletionStatuses) as DeletionStatus[];
export const deletionStatus = (of: DeletionStatus): string => t(deletionStatuses[of]);

const reviews: Record<BreakGlassReviewStatus, English> = { ESCALATED: 'late', PENDING: 'waits', REVIEWED: 'reviewed' };
export const REVIEW_STATUSES = Object.keys(reviews) as BreakGlassReviewStatus[];
export const reviewStatus = (of: BreakGlassReviewStatus): string => t(reviews[of]);

const relationships: Record<Relationship, English> = { CARER: 'Carer', GUARDIAN: 'Guardian', PARENT: 'Parent' };
export const RELATIONSHIPS = Object.keys(relationships) as Relationship[];
export const relationship = (of: Relationship): string => t(relationships[of]);

const represented: Record<RepresentedActivity, English> = {
  CHANGE_CONSENTS: 'Change consents',
  CREATE_RECORDS: 'Write records',
  EXPORT_RECORDS: 'Take records out',
  READ_ACCESS_LOG: 'Read who saw what',
  READ_CONSENTS: 'Read consents',
  READ_RECORDS: 'Read records',
};
export const REPRESENTED = Object.keys(represented) as RepresentedActivity[];
export const representedActivity = (of: RepresentedActivity): string => t(represented[of]);

const closedStates: Record<ClosedAs, English> = { ERASED: 'erased', REVOKED: 'revoked' };
export const closedAs = (of: ClosedAs): string => t(closedStates[of]);

const closingReasons: Record<ClosingReason, English> = {
  DUPLICATE: 'stored twice',
  ENTERED_IN_ERROR: 'entered in error',
  LEGAL_ORDER: 'ordered by law',
  OTHER: 'another reason',
  PATIENT_ASKED: 'the patient asked for it',
  RETENTION_ENDED: 'it need not be kept any more',
};
export const closingReason = (of: ClosingReason): string => t(closingReasons[of]);

const closingStates: Record<ClosingState, English> = { CONFIRMED: 'found in a block', PENDING: 'waits', SUBMITTED: 'sent to the chain' };
export const closing = (of: ClosingState): string => t(closingStates[of]);

const decisions: Record<BreakGlassDecision, English> = { JUSTIFIED: 'justified', UNJUSTIFIED: 'unjustified' };
export const decision = (of: BreakGlassDecision | null | undefined): string => (of ? t(decisions[of]) : '');

const receipts: Record<ConsentReceiptState, English> = {
  CONFIRMED: 'found in a block',
  FAILED: 'failed: it is not on the chain',
  FINALIZED: 'final on the chain',
  PENDING: 'waits to be sent to the chain',
  SUBMITTED: 'sent to the chain',
};
export const receipt = (of: ConsentReceiptState): string => t(receipts[of]);

const importOutcomes: Record<NonNullable<ImportLine['outcome']>, English> = {
  ALREADY_THERE: 'Was there before',
  AMENDED: 'Stored as the next version',
  ATTACHED: 'File stored beside its record',
  CREATED: 'Stored',
  KEPT: 'File kept for a document behind it',
  OUTDATED: 'A newer version is there',
  REFUSED: 'Refused',
  SKIPPED: 'No record is made of it',
  WITH_DOCUMENT: 'File that comes with its document',
  WOULD_BE_AMENDED: 'Would be stored as the next version',
  WOULD_BE_ATTACHED: 'File that would be stored',
  WOULD_BE_CREATED: 'Would be stored',
};
/** An outcome of a newer api stands for itself. */
export const importOutcome = (of: string): string => (of in importOutcomes ? t(importOutcomes[of as keyof typeof importOutcomes]) : of);
