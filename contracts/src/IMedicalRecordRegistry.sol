// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IChainedEvents} from "./IChainedEvents.sol";

/// @title The registry of medical records
/// @author MediTrustAl
/// @notice Holds, for every record, one hash and what became of it; and the checkpoints of the audit log. Nothing
/// about a person is ever here: the document must hold at least 128 random bits before it is hashed.
interface IMedicalRecordRegistry is IChainedEvents {
    /// @notice What became of a record. Everything after `Active` is final.
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

    /// @notice A record was anchored; with a predecessor, that record became `Superseded` in the same step.
    /// @param recordHash SHA-256 of the salted document.
    /// @param predecessor The record that it replaces, or zero.
    /// @param registrar The account that anchored it and owns it from now on.
    /// @param seq The number of this event.
    /// @param head The rolling hash after this event.
    event RecordAnchored(
        bytes32 indexed recordHash, bytes32 indexed predecessor, address indexed registrar, uint48 seq, bytes25 head
    );

    /// @notice A record was revoked or erased, for ever.
    /// @param recordHash The record.
    /// @param status `Revoked` or `Erased`.
    /// @param by The account that closed it: its registrar or a steward.
    /// @param reason A code of the operator's list, never zero.
    /// @param seq The number of this event.
    /// @param head The rolling hash after this event.
    event RecordClosed(
        bytes32 indexed recordHash, Status indexed status, address indexed by, uint8 reason, uint48 seq, bytes25 head
    );

    /// @notice The root of a tree of older records was anchored.
    /// @param root The RFC 9162 root over the leaves SHA-256(0x00, record hash).
    /// @param registrar The account that anchored it.
    /// @param size How many records the tree holds.
    /// @param seq The number of this event.
    /// @param head The rolling hash after this event.
    event BatchAnchored(bytes32 indexed root, address indexed registrar, uint48 size, uint48 seq, bytes25 head);

    /// @notice The audit log was pinned at a size, and proved to extend what was pinned before.
    /// @param treeSize How many leaves the audit log held.
    /// @param root Its RFC 9162 root.
    /// @param by The account that sent it.
    /// @param prevSize The size pinned before, zero for the first.
    /// @param seq The number of this event.
    /// @param head The rolling hash after this event.
    event CheckpointAnchored(
        uint64 indexed treeSize, bytes32 indexed root, address indexed by, uint64 prevSize, uint48 seq, bytes25 head
    );

    /// @notice Thrown for a hash or root of zero.
    error ZeroHash();

    /// @notice Thrown when a hash or root is already here. A second entry never happens, not even for its owner.
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

    /// @notice Thrown when a checkpoint does not grow the audit log, or a batch is empty.
    /// @param from The size so far.
    /// @param to The refused size.
    error TreeSizeNotIncreasing(uint64 from, uint64 to);

    /// @notice Thrown when the proof does not show that the log of size `to` extends the log of size `from`.
    /// @param from The size so far.
    /// @param to The refused size.
    error InvalidConsistencyProof(uint64 from, uint64 to);

    /// @notice Anchors one record, the only one of its transaction.
    /// @dev Needs `REGISTRAR_ROLE`.
    /// @param recordHash SHA-256 of the salted document.
    function anchor(bytes32 recordHash) external;

    /// @notice Anchors a record that takes the place of an older one, which stays readable.
    /// @dev Needs to be the registrar of `oldHash`, still with `REGISTRAR_ROLE`; or `STEWARD_ROLE`.
    /// @param oldHash The record that is replaced; it must stand.
    /// @param newHash SHA-256 of the new salted document.
    function supersede(bytes32 oldHash, bytes32 newHash) external;

    /// @notice Revokes or erases a record, for ever. Works while paused.
    /// @dev Needs to be the registrar of the record, still with `REGISTRAR_ROLE`; or `STEWARD_ROLE`.
    /// @param recordHash The record; it must stand.
    /// @param to `Revoked` or `Erased`.
    /// @param reason A code of the operator's list, not zero.
    function close(bytes32 recordHash, Status to, uint8 reason) external;

    /// @notice Anchors many older records at once, by the root of their tree. For backfill only.
    /// @dev Needs `REGISTRAR_ROLE`.
    /// @param root The RFC 9162 root over the leaves SHA-256(0x00, record hash).
    /// @param size How many records the tree holds.
    function anchorBatchRoot(bytes32 root, uint48 size) external;

    /// @notice Pins the audit log. The contract itself checks that the log only grew since the last checkpoint.
    /// @dev Needs `CHECKPOINT_ROLE`.
    /// @param treeSize How many leaves the audit log holds; more than at the last checkpoint.
    /// @param root Its RFC 9162 root.
    /// @param consistencyProof The RFC 9162 proof from the last size to this one; empty for the first checkpoint.
    function anchorCheckpoint(uint64 treeSize, bytes32 root, bytes32[] calldata consistencyProof) external;

    /// @notice What is known of a record.
    /// @param recordHash The record.
    /// @return status What became of it.
    /// @return registrar Who anchored it.
    /// @return blockNumber The block that holds its RecordAnchored event.
    /// @return timestamp The time of that block. Unit: seconds since 1970.
    function anchorOf(bytes32 recordHash)
        external
        view
        returns (Status status, address registrar, uint48 blockNumber, uint40 timestamp);

    /// @notice The record that took this one's place.
    /// @param recordHash The record.
    /// @return successor Its successor, or zero.
    function successorOf(bytes32 recordHash) external view returns (bytes32 successor);

    /// @notice Follows the successors of a record. Says nothing about the record found: ask `anchorOf`.
    /// @param recordHash The record to start from; the answer itself if nothing replaced it.
    /// @param maxHops How many successors to follow at most.
    /// @return head The last record reached.
    /// @return complete Whether it has no successor of its own.
    function currentOf(bytes32 recordHash, uint256 maxHops) external view returns (bytes32 head, bool complete);

    /// @notice What is known of a batch of older records.
    /// @param root The root of the batch.
    /// @return registrar Who anchored it.
    /// @return blockNumber The block that holds its BatchAnchored event.
    /// @return size How many records it holds; zero if there is no such batch.
    function batchOf(bytes32 root) external view returns (address registrar, uint48 blockNumber, uint48 size);

    /// @notice The root of the audit log at a size that was pinned.
    /// @param treeSize The size.
    /// @return root The root, or zero if there is no checkpoint of this size.
    function checkpointRoot(uint64 treeSize) external view returns (bytes32 root);

    /// @notice The size of the audit log at the last checkpoint, zero before the first.
    function latestTreeSize() external view returns (uint64);

    /// @notice Whether a leaf stands at an index of the audit log of a pinned size.
    /// @param treeSize The size of the checkpoint.
    /// @param leaf The leaf's hash: SHA-256(0x00, canonical row).
    /// @param index Where it stands, from zero.
    /// @param proof The RFC 9162 inclusion proof.
    function verifyAuditInclusion(uint64 treeSize, bytes32 leaf, uint64 index, bytes32[] calldata proof)
        external
        view
        returns (bool);

    /// @notice Whether a leaf stands at an index of an anchored batch.
    /// @param root The root of the batch.
    /// @param leaf The leaf's hash: SHA-256(0x00, record hash).
    /// @param index Where it stands, from zero.
    /// @param proof The RFC 9162 inclusion proof.
    function verifyBatchInclusion(bytes32 root, bytes32 leaf, uint64 index, bytes32[] calldata proof)
        external
        view
        returns (bool);

    /// @notice The role that anchors records: hot keys, one for each stream of nonces.
    function REGISTRAR_ROLE() external view returns (bytes32);

    /// @notice The role that may supersede and close anybody's records: a cold key.
    function STEWARD_ROLE() external view returns (bytes32);

    /// @notice The role that pins the audit log.
    function CHECKPOINT_ROLE() external view returns (bytes32);
}
