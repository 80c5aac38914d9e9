// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IChainedEvents} from "./IChainedEvents.sol";

/// @title The registry of medical records
/// @author MediTrustAl
/// @notice Holds, for every record, one hash and what became of it; and the checkpoints of the audit log. Nothing
/// about a person is ever here: the document must hold at least 128 random bits before it is hashed.
///
/// A registrar's key is hot. It may end (supersede or close) its own records alone, not while the registry is paused,
/// and together with all other registrars at most so many in a window as its limit says. What a registrar ended, a
/// steward can annul; what a steward ended, the admin can annul; both within `ANNULMENT_PERIOD`, after which it is
/// final.
interface IMedicalRecordRegistry is IChainedEvents {
    /// @notice What became of a record. Whatever is neither `None` nor `Active` is an end.
    /// @custom:variant None The hash was never anchored.
    /// @custom:variant Active The record stands.
    /// @custom:variant Superseded A newer record took its place, see `successorOf`.
    /// @custom:variant Revoked It was declared wrong.
    /// @custom:variant Erased Its document, key and salt were destroyed.
    enum Status {
        None,
        Active,
        Superseded,
        Revoked,
        Erased
    }

    /// @notice What is known of a record, all of it in one storage slot.
    /// @param status What became of it.
    /// @param registrar Who anchored it.
    /// @param anchoredAt When it was anchored. Unit: seconds since 1970.
    /// @param blockNumber What `block.number` was then. On most chains the block that holds its event; on chains whose
    /// `block.number` is another chain's (Arbitrum), it is not.
    /// @param seq The number of the event that anchored it, alone or in a batch.
    /// @param endedBy Who superseded or closed it, or zero.
    /// @param endedByRegistrar Whether that account did so as a registrar, within its limit, and not as a steward.
    /// @param endedAt When that was, or zero. Unit: seconds since 1970.
    /// @param reason Why it was closed, or zero.
    struct Record {
        Status status;
        address registrar;
        uint40 anchoredAt;
        uint48 blockNumber;
        uint40 seq;
        address endedBy;
        bool endedByRegistrar;
        uint40 endedAt;
        uint8 reason;
    }

    /// @notice A record was anchored; with a predecessor, that record became `Superseded` in the same step.
    /// @param recordHash SHA-256 of the salted document.
    /// @param predecessor The record that it replaces, or zero.
    /// @param registrar The account that anchored it and owns it from now on.
    /// @param seq The number of this event.
    /// @param head The rolling hash after this event.
    event RecordAnchored(
        bytes32 indexed recordHash, bytes32 indexed predecessor, address indexed registrar, uint40 seq, bytes25 head
    );

    /// @notice A record was revoked or erased.
    /// @param recordHash The record.
    /// @param status `Revoked` or `Erased`.
    /// @param by The account that closed it: its registrar or a steward.
    /// @param reason A code of the operator's list, never zero.
    /// @param seq The number of this event.
    /// @param head The rolling hash after this event.
    event RecordClosed(
        bytes32 indexed recordHash, Status indexed status, address indexed by, uint8 reason, uint40 seq, bytes25 head
    );

    /// @notice The end of a record was annulled: it stands again.
    /// @param recordHash The record.
    /// @param successor The record that had taken its place, or zero. If it stood, it is `Revoked` now, for the reason
    /// `REASON_ANNULLED`.
    /// @param by The account that annulled: a steward, or the admin.
    /// @param seq The number of this event.
    /// @param head The rolling hash after this event.
    event EndingAnnulled(
        bytes32 indexed recordHash, bytes32 indexed successor, address indexed by, uint40 seq, bytes25 head
    );

    /// @notice How many records a registrar may end in a window was set.
    /// @param registrar The registrar.
    /// @param by The admin.
    /// @param limit How many.
    /// @param seq The number of this event.
    /// @param head The rolling hash after this event.
    event EndingLimitSet(address indexed registrar, address indexed by, uint16 limit, uint40 seq, bytes25 head);

    /// @notice Many records were anchored as one tree. Their hashes are the arguments of the transaction.
    /// @param root The RFC 9162 root over the leaves SHA-256(0x00, record hash).
    /// @param registrar The account that anchored them.
    /// @param size How many records the tree holds.
    /// @param seq The number of this event.
    /// @param head The rolling hash after this event.
    event BatchAnchored(bytes32 indexed root, address indexed registrar, uint48 size, uint40 seq, bytes25 head);

    /// @notice A record of a batch got a slot of its own, so that it can be ended.
    /// @param recordHash The record.
    /// @param root The root of its batch.
    /// @param by The account that asked.
    /// @param size The size of its batch.
    /// @param index Where the record stands in its batch, from zero.
    /// @param seq The number of this event.
    /// @param head The rolling hash after this event.
    event RecordExtracted(
        bytes32 indexed recordHash,
        bytes32 indexed root,
        address indexed by,
        uint48 size,
        uint48 index,
        uint40 seq,
        bytes25 head
    );

    /// @notice The audit log was pinned at a size, and proved to extend what was pinned before in its epoch.
    /// @param treeSize How many leaves the audit log held.
    /// @param root Its RFC 9162 root.
    /// @param by The account that sent it.
    /// @param epoch The epoch.
    /// @param prevSize The size pinned before, zero for the first.
    /// @param seq The number of this event.
    /// @param head The rolling hash after this event.
    event CheckpointAnchored(
        uint64 indexed treeSize,
        bytes32 indexed root,
        address indexed by,
        uint64 epoch,
        uint64 prevSize,
        uint40 seq,
        bytes25 head
    );

    /// @notice A new epoch of checkpoints was opened: what was pinned after `treeSize` in the last one is abandoned.
    /// @param epoch The new epoch.
    /// @param treeSize The last checkpoint that stands, or zero if none does.
    /// @param root Its root, or zero.
    /// @param by The admin.
    /// @param seq The number of this event.
    /// @param head The rolling hash after this event.
    event EpochOpened(
        uint64 indexed epoch, uint64 indexed treeSize, bytes32 indexed root, address by, uint40 seq, bytes25 head
    );

    /// @notice Thrown for a hash or root of zero.
    error ZeroHash();

    /// @notice Thrown when a hash or a batch is already here. A second entry never happens, not even for its owner.
    /// @param recordHash The hash or root.
    error AlreadyAnchored(bytes32 recordHash);

    /// @notice Thrown when a record cannot be closed or superseded because it does not stand.
    /// @param recordHash The record.
    /// @param status What it is instead.
    error NotActive(bytes32 recordHash, Status status);

    /// @notice Thrown when the caller neither anchored the record nor is a steward.
    /// @param recordHash The record.
    /// @param caller The account that tried.
    error NotAnchorOwner(bytes32 recordHash, address caller);

    /// @notice Thrown when registrars have ended as many records in this window as the caller's limit allows.
    /// @param limit The caller's limit.
    error EndingLimitReached(uint16 limit);

    /// @notice Thrown for a limit above `MAX_ENDING_LIMIT`, or for an account that never was a registrar.
    /// @param registrar The account.
    /// @param limit The refused limit.
    error InvalidEndingLimit(address registrar, uint16 limit);

    /// @notice Thrown when there is no end to annul.
    /// @param recordHash The record.
    /// @param status What it is instead.
    error NotEnded(bytes32 recordHash, Status status);

    /// @notice Thrown when an end is final.
    /// @param recordHash The record.
    /// @param endedAt When it was ended. Unit: seconds since 1970.
    error EndingIsFinal(bytes32 recordHash, uint40 endedAt);

    /// @notice Thrown when a record is to replace itself.
    /// @param recordHash The record.
    error SelfSupersede(bytes32 recordHash);

    /// @notice Thrown at the second record or batch in one transaction: a record is known by its transaction.
    error OnePerTransaction();

    /// @notice Thrown when a record is closed without a reason.
    /// @param reason The refused code.
    error InvalidReason(uint8 reason);

    /// @notice Thrown when `close` is asked for anything but `Revoked` or `Erased`.
    /// @param status The refused status.
    error NotClosing(Status status);

    /// @notice Thrown when a batch holds no record.
    error EmptyBatch();

    /// @notice Thrown when the proof does not show that the batch holds the record there.
    /// @param root The root of the batch.
    /// @param size The size of the batch.
    /// @param recordHash The record.
    error NotInBatch(bytes32 root, uint48 size, bytes32 recordHash);

    /// @notice Thrown when a checkpoint does not grow the audit log.
    /// @param from The size so far.
    /// @param to The refused size.
    error TreeSizeNotIncreasing(uint64 from, uint64 to);

    /// @notice Thrown when the proof does not show that the log of size `to` extends the log of size `from`.
    /// @param from The size so far.
    /// @param to The refused size.
    error InvalidConsistencyProof(uint64 from, uint64 to);

    /// @notice Thrown when an epoch is to go on from a size that the last one never pinned.
    /// @param epoch The last epoch.
    /// @param treeSize The refused size.
    error UnknownCheckpoint(uint64 epoch, uint64 treeSize);

    /// @notice Anchors one record, the only one of its transaction.
    /// @dev Needs `REGISTRAR_ROLE`.
    /// @param recordHash SHA-256 of the salted document.
    function anchor(bytes32 recordHash) external;

    /// @notice Anchors a record that takes the place of an older one, which stays readable.
    /// @dev Needs to be the registrar of `oldHash`, still with `REGISTRAR_ROLE`, within its limit and not while paused; or
    /// `STEWARD_ROLE`.
    /// @param oldHash The record that is replaced; it must stand.
    /// @param newHash SHA-256 of the new salted document.
    function supersede(bytes32 oldHash, bytes32 newHash) external;

    /// @notice Revokes or erases a record.
    /// @dev Needs to be the registrar of the record, still with `REGISTRAR_ROLE`, within its limit and not while paused; or
    /// `STEWARD_ROLE`.
    /// @param recordHash The record; it must stand.
    /// @param to `Revoked` or `Erased`.
    /// @param reason A code of the operator's list, not zero.
    function close(bytes32 recordHash, Status to, uint8 reason) external;

    /// @notice Lets a record stand again that was ended within `ANNULMENT_PERIOD`. A successor that stands is revoked; one
    /// that was superseded itself has to be annulled first.
    /// @dev Needs `STEWARD_ROLE` for what a registrar ended, `DEFAULT_ADMIN_ROLE` for what a steward ended. Works while
    /// paused.
    /// @param recordHash The record.
    function annul(bytes32 recordHash) external;

    /// @notice Sets how many records may be ended in a window before this registrar may end no more. Zero: none.
    /// @dev Needs `DEFAULT_ADMIN_ROLE`.
    /// @param registrar A registrar, also one that lost the role.
    /// @param limit How many, at most `MAX_ENDING_LIMIT`.
    function setEndingLimit(address registrar, uint16 limit) external;

    /// @notice Anchors many older records as one tree, in a transaction of their own. For backfill only.
    /// @dev Needs `REGISTRAR_ROLE`. The contract computes the root itself: what is pinned is what the transaction says.
    /// @param recordHashes SHA-256 of each salted document, none of which has a slot.
    function anchorBatch(bytes32[] calldata recordHashes) external;

    /// @notice Gives a record of a batch a slot of its own, with the batch's registrar, time and number, so that it can be
    /// superseded or closed. It stands until then.
    /// @dev Needs `REGISTRAR_ROLE`, and then not while paused; or `STEWARD_ROLE`.
    /// @param root The root of the batch.
    /// @param size The size of the batch.
    /// @param recordHash The record.
    /// @param index Where it stands, from zero.
    /// @param proof The RFC 9162 inclusion proof.
    function extract(bytes32 root, uint48 size, bytes32 recordHash, uint48 index, bytes32[] calldata proof) external;

    /// @notice Pins the audit log. The contract itself checks that the log only grew since the last checkpoint.
    /// @dev Needs `CHECKPOINT_ROLE`.
    /// @param treeSize How many leaves the audit log holds; more than at the last checkpoint.
    /// @param root Its RFC 9162 root.
    /// @param consistencyProof The RFC 9162 proof from the last size to this one; empty for the first checkpoint.
    function anchorCheckpoint(uint64 treeSize, bytes32 root, bytes32[] calldata consistencyProof) external;

    /// @notice Opens a new epoch of checkpoints, which goes on from a checkpoint of the last one. For when the key of
    /// `CHECKPOINT_ROLE` pinned what the audit log never was.
    /// @dev Needs `DEFAULT_ADMIN_ROLE`. Works while paused.
    /// @param treeSize The last size that was pinned rightly, or zero if none was.
    function openEpoch(uint64 treeSize) external;

    /// @notice What is known of a record.
    /// @param recordHash The record.
    /// @return record What is known; all zero for a hash without a slot.
    function anchorOf(bytes32 recordHash) external view returns (Record memory record);

    /// @notice The record that took this one's place.
    /// @param recordHash The record.
    /// @return successor Its successor, or zero.
    function successorOf(bytes32 recordHash) external view returns (bytes32 successor);

    /// @notice Follows the successors of a record.
    /// @param recordHash The record to start from; the answer itself if nothing replaced it.
    /// @param maxHops How many successors to follow at most.
    /// @return head The last record reached.
    /// @return complete Whether it has no successor of its own.
    /// @return status What became of it.
    function currentOf(bytes32 recordHash, uint256 maxHops)
        external
        view
        returns (bytes32 head, bool complete, Status status);

    /// @notice How many records a registrar may end.
    /// @param registrar The registrar.
    /// @return limit How many in one window.
    /// @return left How many are left to it in the present window.
    function endingLimitOf(address registrar) external view returns (uint16 limit, uint16 left);

    /// @notice What is known of a batch of older records.
    /// @param root The root of the batch.
    /// @param size How many records it holds.
    /// @return registrar Who anchored it, or zero if there is no such batch.
    /// @return anchoredAt When. Unit: seconds since 1970.
    /// @return blockNumber What `block.number` was then.
    /// @return seq The number of its event.
    function batchOf(bytes32 root, uint48 size)
        external
        view
        returns (address registrar, uint40 anchoredAt, uint48 blockNumber, uint40 seq);

    /// @notice The root of the audit log at a size that was pinned.
    /// @param epoch The epoch of checkpoints.
    /// @param treeSize The size.
    /// @return root The root, or zero if there is no checkpoint of this size.
    function checkpointRoot(uint64 epoch, uint64 treeSize) external view returns (bytes32 root);

    /// @notice The last checkpoint of the audit log.
    /// @return epoch The epoch, from zero.
    /// @return treeSize The size of the log, zero before the first checkpoint.
    /// @return root Its root, or zero.
    function latestCheckpoint() external view returns (uint64 epoch, uint64 treeSize, bytes32 root);

    /// @notice Whether a leaf stands at an index of the audit log of a pinned size.
    /// @param epoch The epoch of the checkpoint.
    /// @param treeSize The size of the checkpoint.
    /// @param leaf The leaf's hash: SHA-256(0x00, canonical row).
    /// @param index Where it stands, from zero.
    /// @param proof The RFC 9162 inclusion proof.
    /// @return included Whether it does.
    function verifyAuditInclusion(uint64 epoch, uint64 treeSize, bytes32 leaf, uint64 index, bytes32[] calldata proof)
        external
        view
        returns (bool included);

    /// @notice Whether a record stands at an index of an anchored batch.
    /// @param root The root of the batch.
    /// @param size The size of the batch.
    /// @param recordHash The record.
    /// @param index Where it stands, from zero.
    /// @param proof The RFC 9162 inclusion proof.
    /// @return included Whether it does.
    function verifyBatchInclusion(bytes32 root, uint48 size, bytes32 recordHash, uint48 index, bytes32[] calldata proof)
        external
        view
        returns (bool included);

    /// @notice The role that anchors records: hot keys, one for each stream of nonces.
    /// @return role The role's id.
    function REGISTRAR_ROLE() external view returns (bytes32 role);

    /// @notice The role that may supersede and close anybody's records, and annul what registrars ended: a cold key.
    /// @return role The role's id.
    function STEWARD_ROLE() external view returns (bytes32 role);

    /// @notice The role that pins the audit log.
    /// @return role The role's id.
    function CHECKPOINT_ROLE() external view returns (bytes32 role);

    /// @notice How long a window is in which registrars' ends are counted. Unit: seconds.
    /// @return length The length.
    function ENDING_WINDOW() external view returns (uint256 length);

    /// @notice The limit of a new registrar.
    /// @return limit How many ends in one window.
    function DEFAULT_ENDING_LIMIT() external view returns (uint16 limit);

    /// @notice The largest limit.
    /// @return limit How many ends in one window.
    function MAX_ENDING_LIMIT() external view returns (uint16 limit);

    /// @notice How long an end can be annulled. Unit: seconds.
    /// @return length The length.
    function ANNULMENT_PERIOD() external view returns (uint256 length);

    /// @notice The reason for which a successor is revoked when the end of its predecessor is annulled.
    /// @return reason The code.
    function REASON_ANNULLED() external view returns (uint8 reason);
}
