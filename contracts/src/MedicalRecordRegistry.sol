// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ChainedEvents} from "./ChainedEvents.sol";
import {IMedicalRecordRegistry} from "./IMedicalRecordRegistry.sol";
import {TreeProof} from "./TreeProof.sol";

/// @title The registry of medical records
/// @author MediTrustAl
/// @notice See IMedicalRecordRegistry. No proxy: nobody, not even the admin, can rewrite what was anchored.
/// @dev No immutables either: the runtime code is the same at every address, and so is its hash.
contract MedicalRecordRegistry is IMedicalRecordRegistry, ChainedEvents {
    /// @inheritdoc IMedicalRecordRegistry
    bytes32 public constant REGISTRAR_ROLE = keccak256("REGISTRAR_ROLE");

    /// @inheritdoc IMedicalRecordRegistry
    bytes32 public constant STEWARD_ROLE = keccak256("STEWARD_ROLE");

    /// @inheritdoc IMedicalRecordRegistry
    bytes32 public constant CHECKPOINT_ROLE = keccak256("CHECKPOINT_ROLE");

    /// @dev registrar (160 bits) | block number (48) | timestamp (40) | status (8)
    mapping(bytes32 recordHash => uint256 word) private _anchors;

    mapping(bytes32 recordHash => bytes32 successor) private _successors;

    /// @dev registrar (160 bits) | block number (48) | size (48)
    mapping(bytes32 root => uint256 word) private _batches;

    mapping(uint64 treeSize => bytes32 root) private _checkpoints;

    uint64 private _latestTreeSize;

    /// @dev Whether this transaction has anchored already. Gone when the transaction ends, rolled back if it reverts.
    bool private transient _anchored;

    constructor(uint48 adminDelay, address admin) ChainedEvents(adminDelay, admin) {}

    /// @inheritdoc IMedicalRecordRegistry
    function anchor(bytes32 recordHash) external onlyRole(REGISTRAR_ROLE) {
        uint256 word = _openWord();
        _checkNew(recordHash);
        _write(word, recordHash, bytes32(0));
    }

    /// @inheritdoc IMedicalRecordRegistry
    function supersede(bytes32 oldHash, bytes32 newHash) external {
        uint256 old = _checkMayEnd(oldHash);
        uint256 word = _openWord();
        if (newHash == oldHash) revert SelfSupersede(oldHash);
        _checkNew(newHash);

        _anchors[oldHash] = _withStatus(old, Status.Superseded);
        _successors[oldHash] = newHash;
        _write(word, newHash, oldHash);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function close(bytes32 recordHash, Status to, uint8 reason) external {
        if (to != Status.Revoked && to != Status.Erased) revert NotClosing(to);
        if (reason == 0) revert InvalidReason(reason);
        uint256 old = _checkMayEnd(recordHash);

        _anchors[recordHash] = _withStatus(old, to);
        (uint48 seq, bytes25 next) =
            _advance(_word(), keccak256(abi.encode(RecordClosed.selector, recordHash, to, msg.sender, reason)));
        emit RecordClosed(recordHash, to, msg.sender, reason, seq, next);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function anchorBatchRoot(bytes32 root, uint48 size) external onlyRole(REGISTRAR_ROLE) {
        uint256 word = _openWord();
        _takeTransaction();
        if (root == 0) revert ZeroHash();
        if (size == 0) revert TreeSizeNotIncreasing(0, 0);
        if (_batches[root] != 0) revert AlreadyAnchored(root);

        _batches[root] = uint256(uint160(msg.sender)) << 96 | uint256(uint48(block.number)) << 48 | size;
        (uint48 seq, bytes25 next) =
            _advance(word, keccak256(abi.encode(BatchAnchored.selector, root, msg.sender, size)));
        emit BatchAnchored(root, msg.sender, size, seq, next);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function anchorCheckpoint(uint64 treeSize, bytes32 root, bytes32[] calldata consistencyProof)
        external
        onlyRole(CHECKPOINT_ROLE)
    {
        uint256 word = _openWord();
        uint64 prevSize = _latestTreeSize;
        if (root == 0) revert ZeroHash();
        if (treeSize <= prevSize) revert TreeSizeNotIncreasing(prevSize, treeSize);
        if (!TreeProof.isConsistent(prevSize, _checkpoints[prevSize], treeSize, root, consistencyProof)) {
            revert InvalidConsistencyProof(prevSize, treeSize);
        }

        _checkpoints[treeSize] = root;
        _latestTreeSize = treeSize;
        (uint48 seq, bytes25 next) =
            _advance(word, keccak256(abi.encode(CheckpointAnchored.selector, treeSize, root, msg.sender, prevSize)));
        emit CheckpointAnchored(treeSize, root, msg.sender, prevSize, seq, next);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function anchorOf(bytes32 recordHash) external view returns (Status, address, uint48, uint40) {
        uint256 word = _anchors[recordHash];
        return (_status(word), _registrar(word), uint48(word >> 48), uint40(word >> 8));
    }

    /// @inheritdoc IMedicalRecordRegistry
    function successorOf(bytes32 recordHash) external view returns (bytes32) {
        return _successors[recordHash];
    }

    /// @inheritdoc IMedicalRecordRegistry
    function currentOf(bytes32 recordHash, uint256 maxHops) external view returns (bytes32 head, bool complete) {
        head = recordHash;
        bytes32 next = _successors[head];
        for (uint256 hops; next != 0 && hops < maxHops; ++hops) {
            head = next;
            next = _successors[head];
        }
        complete = next == 0;
    }

    /// @inheritdoc IMedicalRecordRegistry
    function batchOf(bytes32 root) external view returns (address, uint48, uint48) {
        uint256 word = _batches[root];
        return (_registrar(word), uint48(word >> 48), uint48(word));
    }

    /// @inheritdoc IMedicalRecordRegistry
    function checkpointRoot(uint64 treeSize) external view returns (bytes32) {
        return _checkpoints[treeSize];
    }

    /// @inheritdoc IMedicalRecordRegistry
    function latestTreeSize() external view returns (uint64) {
        return _latestTreeSize;
    }

    /// @inheritdoc IMedicalRecordRegistry
    function verifyAuditInclusion(uint64 treeSize, bytes32 leaf, uint64 index, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        bytes32 root = _checkpoints[treeSize];
        return root != 0 && TreeProof.isIncluded(root, treeSize, leaf, index, proof);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function verifyBatchInclusion(bytes32 root, bytes32 leaf, uint64 index, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        // No such batch has size zero, which holds no index.
        return TreeProof.isIncluded(root, uint48(_batches[root]), leaf, index, proof);
    }

    /// @dev Writes a record that passed `_checkNew`, and says so.
    function _write(uint256 word, bytes32 recordHash, bytes32 predecessor) private {
        _anchors[recordHash] = uint256(uint160(msg.sender)) << 96 | uint256(uint48(block.number)) << 48
            | uint256(uint40(block.timestamp)) << 8 | uint256(Status.Active);
        (uint48 seq, bytes25 next) =
            _advance(word, keccak256(abi.encode(RecordAnchored.selector, recordHash, predecessor, msg.sender)));
        emit RecordAnchored(recordHash, predecessor, msg.sender, seq, next);
    }

    /// @dev `tx.origin == msg.sender` would not do: an account with EIP-7702 code can call twice and pass.
    function _takeTransaction() private {
        if (_anchored) revert OnePerTransaction();
        _anchored = true;
    }

    function _checkNew(bytes32 recordHash) private {
        _takeTransaction();
        if (recordHash == 0) revert ZeroHash();
        if (_anchors[recordHash] != 0) revert AlreadyAnchored(recordHash);
    }

    /// @dev Returns the word of a record that stands and that the caller may supersede or close.
    function _checkMayEnd(bytes32 recordHash) private view returns (uint256 word) {
        word = _anchors[recordHash];
        if (_status(word) != Status.Active) revert NotActive(recordHash, _status(word));
        // Ownership first: it costs nothing, a role costs a cold slot.
        if (_registrar(word) != msg.sender) {
            if (!hasRole(STEWARD_ROLE, msg.sender)) revert NotAnchorOwner(recordHash, msg.sender);
        } else if (!hasRole(REGISTRAR_ROLE, msg.sender)) {
            _checkRole(STEWARD_ROLE);
        }
    }

    function _status(uint256 word) private pure returns (Status) {
        return Status(uint8(word));
    }

    function _registrar(uint256 word) private pure returns (address) {
        return address(uint160(word >> 96));
    }

    function _withStatus(uint256 word, Status status) private pure returns (uint256) {
        return word & ~uint256(0xff) | uint256(status);
    }
}
