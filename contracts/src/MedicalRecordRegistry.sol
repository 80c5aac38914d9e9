// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {ChainedEvents} from "./ChainedEvents.sol";
import {IMedicalRecordRegistry} from "./IMedicalRecordRegistry.sol";
import {TreeProof} from "./TreeProof.sol";

/// @title The registry of medical records
/// @author MediTrustAl
/// @notice See IMedicalRecordRegistry. No proxy: nobody, not even the admin, can rewrite what was anchored.
/// @dev No immutables either: the runtime code is the same at every address, and so is its hash.
///
/// Who acts stands in records by a number of 24 bits, given with the first role of a registrar or a steward. One word
/// for each account holds this number, which of the two roles it has, and its limit, so that one cold slot answers all
/// that `anchor` and `close` ask. How many records registrars have ended in the present window stands in the flags of
/// the head word, which each of them writes anyway: a slot for each registrar would cost each end 2,900 gas.
contract MedicalRecordRegistry is IMedicalRecordRegistry, ChainedEvents {
    /// @inheritdoc IMedicalRecordRegistry
    bytes32 public constant REGISTRAR_ROLE = keccak256("REGISTRAR_ROLE");

    /// @inheritdoc IMedicalRecordRegistry
    bytes32 public constant STEWARD_ROLE = keccak256("STEWARD_ROLE");

    /// @inheritdoc IMedicalRecordRegistry
    bytes32 public constant CHECKPOINT_ROLE = keccak256("CHECKPOINT_ROLE");

    /// @inheritdoc IMedicalRecordRegistry
    uint256 public constant ENDING_WINDOW = 1 hours;

    /// @inheritdoc IMedicalRecordRegistry
    uint16 public constant DEFAULT_ENDING_LIMIT = 100;

    /// @inheritdoc IMedicalRecordRegistry
    uint16 public constant MAX_ENDING_LIMIT = 2047;

    /// @inheritdoc IMedicalRecordRegistry
    uint256 public constant ANNULMENT_PERIOD = 30 days;

    /// @inheritdoc IMedicalRecordRegistry
    uint8 public constant REASON_ANNULLED = 254;

    // Flags of the head word: pause (1 bit) | window modulo 16 (4) | ends in it (11).

    /// @dev Where the window stands in the head word.
    uint256 private constant _WINDOW_SHIFT = 1;

    /// @dev The window's bits.
    uint256 private constant _WINDOW_MASK = 0xf;

    /// @dev Where the count of ends stands in the head word.
    uint256 private constant _ENDS_SHIFT = 5;

    /// @dev The count's bits.
    uint256 private constant _ENDS_MASK = 0x7ff;

    /// @dev Both, where they stand.
    uint256 private constant _WINDOW_FLAGS = _ENDS_MASK << _ENDS_SHIFT | _WINDOW_MASK << _WINDOW_SHIFT;

    // An actor's word: number (24 bits) | registrar (1) | steward (1) | limit (16).

    /// @dev Set while the account has the registrar's role.
    uint256 private constant _IS_REGISTRAR = 1 << 24;

    /// @dev Set while the account has the steward's role.
    uint256 private constant _IS_STEWARD = 1 << 25;

    /// @dev Where the limit stands in an actor's word.
    uint256 private constant _LIMIT_SHIFT = 26;

    /// @dev An actor's word but for the limit.
    uint256 private constant _UNLIMITED_MASK = 0x3ffffff;

    // A record's word: status (8 bits) | reason (8) | ended at (40) | ended by (24) | ended by a registrar (8)
    // | anchored at (40) | block (48) | registrar (24) | seq (40).

    /// @dev Where the reason of a record's end stands in its word.
    uint256 private constant _REASON_SHIFT = 8;

    /// @dev Where the time of its end stands.
    uint256 private constant _ENDED_AT_SHIFT = 16;

    /// @dev Where the number of the account that ended it stands.
    uint256 private constant _ENDED_BY_SHIFT = 56;

    /// @dev Where it stands whether that was a registrar.
    uint256 private constant _BY_REGISTRAR_SHIFT = 80;

    /// @dev Where the record's origin begins, which no end changes.
    uint256 private constant _ORIGIN_SHIFT = 88;

    // An origin: anchored at (40 bits) | block (48) | registrar (24) | seq (40). All that a batch's word holds.

    /// @dev Where the block stands in an origin.
    uint256 private constant _BLOCK_SHIFT = 40;

    /// @dev Where the number of the registrar stands in an origin.
    uint256 private constant _REGISTRAR_SHIFT = 88;

    /// @dev Where the number of the event stands in an origin.
    uint256 private constant _ORIGIN_SEQ_SHIFT = 112;

    /// @dev The records that have a slot.
    mapping(bytes32 recordHash => uint256 word) private _records;

    /// @dev What took the place of a record.
    mapping(bytes32 recordHash => bytes32 successor) private _successors;

    /// @dev The batches, by root and size, so that nobody takes a root with a wrong size.
    mapping(bytes32 root => mapping(uint48 size => uint256 origin)) private _batches;

    /// @dev The roots of the audit log that were pinned.
    mapping(uint64 epoch => mapping(uint64 treeSize => bytes32 root)) private _checkpoints;

    /// @dev Who is or was a registrar or a steward.
    mapping(address account => uint256 word) private _actors;

    /// @dev The account of each number that stands in records.
    mapping(uint24 number => address account) private _accounts;

    /// @dev The present epoch of checkpoints.
    uint64 private _epoch;

    /// @dev The size of the audit log at its last checkpoint.
    uint64 private _latestTreeSize;

    /// @dev How many numbers were given; zero is nobody's.
    uint24 private _actorCount;

    /// @dev Whether this transaction has anchored already. Gone when the transaction ends, rolled back if it reverts.
    bool private transient _anchored;

    /// @param adminDelay How long the two steps that change the admin take. Unit: seconds.
    /// @param admin The first admin.
    constructor(uint48 adminDelay, address admin) ChainedEvents(adminDelay, admin) {}

    /// @inheritdoc IMedicalRecordRegistry
    function anchor(bytes32 recordHash) external {
        uint256 actor = _checkRegistrar();
        uint256 word = _openWord();
        _checkNew(recordHash);
        _write(word, actor, recordHash, bytes32(0));
    }

    /// @inheritdoc IMedicalRecordRegistry
    function supersede(bytes32 oldHash, bytes32 newHash) external {
        (uint256 word, uint256 actor) = _end(oldHash, Status.Superseded, 0);
        if (newHash == oldHash) revert SelfSupersede(oldHash);
        _checkNew(newHash);

        _successors[oldHash] = newHash;
        _write(word, actor, newHash, oldHash);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function close(bytes32 recordHash, Status to, uint8 reason) external {
        if (to != Status.Revoked && to != Status.Erased) revert NotClosing(to);
        if (reason == 0) revert InvalidReason(reason);
        (uint256 word,) = _end(recordHash, to, reason);

        (uint40 seq, bytes25 next) =
            _advance(word, keccak256(abi.encode(RecordClosed.selector, recordHash, to, msg.sender, reason)));
        emit RecordClosed(recordHash, to, msg.sender, reason, seq, next);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function annul(bytes32 recordHash) external {
        uint256 record = _records[recordHash];
        if (uint8(record) <= uint8(Status.Active)) revert NotEnded(recordHash, _status(record));
        _checkRole(_isByRegistrar(record) ? STEWARD_ROLE : DEFAULT_ADMIN_ROLE);
        uint40 endedAt = uint40(record >> _ENDED_AT_SHIFT);
        if (block.timestamp > endedAt + ANNULMENT_PERIOD) revert EndingIsFinal(recordHash, endedAt);

        bytes32 successor = _successors[recordHash];
        if (successor != 0) {
            _revokeSuccessor(successor);
            delete _successors[recordHash];
        }
        _records[recordHash] = record >> _ORIGIN_SHIFT << _ORIGIN_SHIFT | uint256(Status.Active);
        (uint40 seq, bytes25 next) =
            _advance(_word(), keccak256(abi.encode(EndingAnnulled.selector, recordHash, successor, msg.sender)));
        emit EndingAnnulled(recordHash, successor, msg.sender, seq, next);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function setEndingLimit(address registrar, uint16 limit) external onlyRole(DEFAULT_ADMIN_ROLE) {
        uint256 actor = _actors[registrar];
        if (actor == 0 || limit > MAX_ENDING_LIMIT) revert InvalidEndingLimit(registrar, limit);

        _actors[registrar] = actor & _UNLIMITED_MASK | uint256(limit) << _LIMIT_SHIFT;
        (uint40 seq, bytes25 next) =
            _advance(_word(), keccak256(abi.encode(EndingLimitSet.selector, registrar, msg.sender, limit)));
        emit EndingLimitSet(registrar, msg.sender, limit, seq, next);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function anchorBatch(bytes32[] calldata recordHashes) external {
        uint256 actor = _checkRegistrar();
        uint256 word = _openWord();
        _takeTransaction();
        if (recordHashes.length == 0) revert EmptyBatch();
        for (uint256 i; i < recordHashes.length; ++i) {
            _checkUnknown(recordHashes[i]);
        }
        uint48 size = uint48(recordHashes.length);
        bytes32 root = TreeProof.rootOf(recordHashes);
        if (_batches[root][size] != 0) revert AlreadyAnchored(root);

        (uint40 seq, bytes25 next) =
            _advance(word, keccak256(abi.encode(BatchAnchored.selector, root, msg.sender, size)));
        _batches[root][size] = _origin(actor, seq);
        emit BatchAnchored(root, msg.sender, size, seq, next);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function extract(bytes32 root, uint48 size, bytes32 recordHash, uint48 index, bytes32[] calldata proof) external {
        uint256 word = _word();
        if (_actors[msg.sender] & _IS_STEWARD == 0) {
            _checkRegistrar();
            word = _openWord();
        }
        uint256 origin = _batches[root][size];
        if (origin == 0 || !_isInBatch(root, size, recordHash, index, proof)) {
            revert NotInBatch(root, size, recordHash);
        }
        _checkUnknown(recordHash);

        _records[recordHash] = origin << _ORIGIN_SHIFT | uint256(Status.Active);
        bytes memory said = abi.encode(RecordExtracted.selector, recordHash, root, msg.sender, size, index);
        (uint40 seq, bytes25 next) = _advance(word, keccak256(said));
        emit RecordExtracted(recordHash, root, msg.sender, size, index, seq, next);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function anchorCheckpoint(uint64 treeSize, bytes32 root, bytes32[] calldata consistencyProof)
        external
        onlyRole(CHECKPOINT_ROLE)
    {
        uint256 word = _openWord();
        (uint64 epoch, uint64 prevSize) = (_epoch, _latestTreeSize);
        if (root == 0) revert ZeroHash();
        if (treeSize <= prevSize) revert TreeSizeNotIncreasing(prevSize, treeSize);
        if (!TreeProof.isConsistent(prevSize, _checkpoints[epoch][prevSize], treeSize, root, consistencyProof)) {
            revert InvalidConsistencyProof(prevSize, treeSize);
        }

        _checkpoints[epoch][treeSize] = root;
        _latestTreeSize = treeSize;
        bytes memory said = abi.encode(CheckpointAnchored.selector, treeSize, root, msg.sender, epoch, prevSize);
        (uint40 seq, bytes25 next) = _advance(word, keccak256(said));
        emit CheckpointAnchored(treeSize, root, msg.sender, epoch, prevSize, seq, next);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function openEpoch(uint64 treeSize) external onlyRole(DEFAULT_ADMIN_ROLE) {
        uint64 last = _epoch;
        bytes32 root = _checkpoints[last][treeSize];
        if (treeSize != 0 && root == 0) revert UnknownCheckpoint(last, treeSize);

        uint64 epoch = last + 1;
        (_epoch, _latestTreeSize) = (epoch, treeSize);
        if (treeSize != 0) _checkpoints[epoch][treeSize] = root;
        (uint40 seq, bytes25 next) =
            _advance(_word(), keccak256(abi.encode(EpochOpened.selector, epoch, treeSize, root, msg.sender)));
        emit EpochOpened(epoch, treeSize, root, msg.sender, seq, next);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function anchorOf(bytes32 recordHash) external view returns (Record memory record) {
        uint256 word = _records[recordHash];
        uint256 origin = word >> _ORIGIN_SHIFT;
        record.status = _status(word);
        record.registrar = _registrarOf(origin);
        record.anchoredAt = uint40(origin);
        record.blockNumber = uint48(origin >> _BLOCK_SHIFT);
        record.seq = uint40(origin >> _ORIGIN_SEQ_SHIFT);
        record.endedBy = _accounts[uint24(word >> _ENDED_BY_SHIFT)];
        record.endedByRegistrar = _isByRegistrar(word);
        record.endedAt = uint40(word >> _ENDED_AT_SHIFT);
        record.reason = uint8(word >> _REASON_SHIFT);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function successorOf(bytes32 recordHash) external view returns (bytes32) {
        return _successors[recordHash];
    }

    /// @inheritdoc IMedicalRecordRegistry
    function currentOf(bytes32 recordHash, uint256 maxHops)
        external
        view
        returns (bytes32 head, bool complete, Status status)
    {
        head = recordHash;
        bytes32 next = _successors[head];
        for (uint256 hops; next != 0 && hops < maxHops; ++hops) {
            head = next;
            next = _successors[head];
        }
        complete = next == 0;
        status = _status(_records[head]);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function endingLimitOf(address registrar) external view returns (uint16 limit, uint16 left) {
        uint256 actor = _actors[registrar];
        limit = uint16(actor >> _LIMIT_SHIFT);
        uint256 ends = _endsInWindow(_word());
        if (actor & _IS_REGISTRAR != 0 && ends < limit) left = uint16(limit - ends);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function batchOf(bytes32 root, uint48 size) external view returns (address, uint40, uint48, uint40) {
        uint256 origin = _batches[root][size];
        return
            (_registrarOf(origin), uint40(origin), uint48(origin >> _BLOCK_SHIFT), uint40(origin >> _ORIGIN_SEQ_SHIFT));
    }

    /// @inheritdoc IMedicalRecordRegistry
    function checkpointRoot(uint64 epoch, uint64 treeSize) external view returns (bytes32) {
        return _checkpoints[epoch][treeSize];
    }

    /// @inheritdoc IMedicalRecordRegistry
    function latestCheckpoint() external view returns (uint64, uint64, bytes32) {
        return (_epoch, _latestTreeSize, _checkpoints[_epoch][_latestTreeSize]);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function verifyAuditInclusion(uint64 epoch, uint64 treeSize, bytes32 leaf, uint64 index, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        bytes32 root = _checkpoints[epoch][treeSize];
        return root != 0 && TreeProof.isIncluded(root, treeSize, leaf, index, proof);
    }

    /// @inheritdoc IMedicalRecordRegistry
    function verifyBatchInclusion(bytes32 root, uint48 size, bytes32 recordHash, uint48 index, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        return _batches[root][size] != 0 && _isInBatch(root, size, recordHash, index, proof);
    }

    /// @notice Whether the contract has an interface, by ERC-165.
    /// @param interfaceId The interface's id.
    /// @return supported Whether it has it.
    function supportsInterface(bytes4 interfaceId) public view override returns (bool supported) {
        return interfaceId == type(IMedicalRecordRegistry).interfaceId || super.supportsInterface(interfaceId);
    }

    /// @dev Keeps the actor's word in step, and gives it a number and a limit the first time.
    /// @param role The role.
    /// @param account Who gets it.
    /// @return granted Whether the account did not have it.
    function _grantRole(bytes32 role, address account) internal override returns (bool granted) {
        granted = super._grantRole(role, account);
        uint256 flag = _flagOf(role);
        if (flag == 0) return granted;

        uint256 actor = _actors[account];
        if (actor == 0) {
            uint24 number = ++_actorCount;
            _accounts[number] = account;
            actor = number | uint256(DEFAULT_ENDING_LIMIT) << _LIMIT_SHIFT;
        }
        _actors[account] = actor | flag;
    }

    /// @dev Keeps the actor's word in step.
    /// @param role The role.
    /// @param account Who loses it.
    /// @return revoked Whether the account had it.
    function _revokeRole(bytes32 role, address account) internal override returns (bool revoked) {
        revoked = super._revokeRole(role, account);
        if (revoked) _actors[account] &= ~_flagOf(role);
    }

    /// @dev Writes a record that passed `_checkNew`, and says so.
    /// @param word The head word, with the flags it shall have.
    /// @param actor The word of the caller.
    /// @param recordHash The record.
    /// @param predecessor The record that it replaces, or zero.
    function _write(uint256 word, uint256 actor, bytes32 recordHash, bytes32 predecessor) private {
        (uint40 seq, bytes25 next) =
            _advance(word, keccak256(abi.encode(RecordAnchored.selector, recordHash, predecessor, msg.sender)));
        _records[recordHash] = _origin(actor, seq) << _ORIGIN_SHIFT | uint256(Status.Active);
        emit RecordAnchored(recordHash, predecessor, msg.sender, seq, next);
    }

    /// @dev Ends a record that stands and that the caller may end.
    /// @param recordHash The record.
    /// @param to What becomes of it.
    /// @param reason Why, or zero.
    /// @return word The head word, with the flags it shall have.
    /// @return actor The word of the caller.
    function _end(bytes32 recordHash, Status to, uint8 reason) private returns (uint256 word, uint256 actor) {
        uint256 record = _records[recordHash];
        if (_status(record) != Status.Active) revert NotActive(recordHash, _status(record));
        actor = _actors[msg.sender];
        uint256 byRegistrar;
        if (actor & _IS_STEWARD != 0) {
            word = _word();
        } else {
            uint256 registrar = uint24(record >> _ORIGIN_SHIFT + _REGISTRAR_SHIFT);
            if (registrar != uint24(actor)) revert NotAnchorOwner(recordHash, msg.sender);
            if (actor & _IS_REGISTRAR == 0) _refuse(REGISTRAR_ROLE);
            word = _countEnd(_openWord(), uint16(actor >> _LIMIT_SHIFT));
            byRegistrar = 1;
        }
        _records[recordHash] = record >> _ORIGIN_SHIFT << _ORIGIN_SHIFT | byRegistrar << _BY_REGISTRAR_SHIFT
            | uint256(uint24(actor)) << _ENDED_BY_SHIFT | uint256(uint40(block.timestamp)) << _ENDED_AT_SHIFT
            | uint256(reason) << _REASON_SHIFT | uint256(to);
    }

    /// @dev Counts one more end of a registrar in the present window.
    /// @param word The head word.
    /// @param limit The registrar's limit.
    /// @return counted The head word with one more.
    function _countEnd(uint256 word, uint16 limit) private view returns (uint256 counted) {
        uint256 ends = _endsInWindow(word);
        if (ends >= limit) revert EndingLimitReached(limit);
        return word & ~_WINDOW_FLAGS | _window() << _WINDOW_SHIFT | ends + 1 << _ENDS_SHIFT;
    }

    /// @dev Where a successor stands, it is revoked with the end of its predecessor. One that was closed stays closed.
    /// @param successor The successor.
    function _revokeSuccessor(bytes32 successor) private {
        uint256 record = _records[successor];
        if (_status(record) == Status.Superseded) revert NotActive(successor, Status.Superseded);
        if (_status(record) != Status.Active) return;
        _records[successor] = record | uint256(uint24(_actors[msg.sender])) << _ENDED_BY_SHIFT
            | uint256(uint40(block.timestamp)) << _ENDED_AT_SHIFT | uint256(REASON_ANNULLED) << _REASON_SHIFT
            | uint256(Status.Revoked) ^ uint256(Status.Active);
    }

    /// @dev `tx.origin == msg.sender` would not do: an account with EIP-7702 code can call twice and pass.
    function _takeTransaction() private {
        if (_anchored) revert OnePerTransaction();
        _anchored = true;
    }

    /// @dev For the one record of a transaction.
    /// @param recordHash The record.
    function _checkNew(bytes32 recordHash) private {
        _takeTransaction();
        _checkUnknown(recordHash);
    }

    /// @dev Only a hash that has no slot may get one.
    /// @param recordHash The record.
    function _checkUnknown(bytes32 recordHash) private view {
        if (recordHash == 0) revert ZeroHash();
        if (_records[recordHash] != 0) revert AlreadyAnchored(recordHash);
    }

    /// @dev Only registrars pass.
    /// @return actor The word of the caller.
    function _checkRegistrar() private view returns (uint256 actor) {
        actor = _actors[msg.sender];
        if (actor & _IS_REGISTRAR == 0) _refuse(REGISTRAR_ROLE);
    }

    /// @dev As OpenZeppelin refuses.
    /// @param role The role that the caller has not.
    function _refuse(bytes32 role) private view {
        revert IAccessControl.AccessControlUnauthorizedAccount(msg.sender, role);
    }

    /// @dev Whether a tree of this root and size holds the record there.
    /// @param root The root.
    /// @param size How many records the tree holds.
    /// @param recordHash The record.
    /// @param index Where it stands.
    /// @param proof The inclusion proof.
    /// @return included Whether it does.
    function _isInBatch(bytes32 root, uint48 size, bytes32 recordHash, uint48 index, bytes32[] calldata proof)
        private
        view
        returns (bool included)
    {
        return TreeProof.isIncluded(root, size, TreeProof.leafOf(recordHash), index, proof);
    }

    /// @dev When, in which block, by whom and with which number something was anchored.
    /// @param actor The word of the caller.
    /// @param seq The number of the event.
    /// @return origin The packed origin.
    function _origin(uint256 actor, uint40 seq) private view returns (uint256 origin) {
        return uint256(seq) << _ORIGIN_SEQ_SHIFT | uint256(uint24(actor)) << _REGISTRAR_SHIFT
            | uint256(uint48(block.number)) << _BLOCK_SHIFT | uint256(uint40(block.timestamp));
    }

    /// @dev The account that an origin names.
    /// @param origin The origin.
    /// @return registrar The account, or zero.
    function _registrarOf(uint256 origin) private view returns (address registrar) {
        return _accounts[uint24(origin >> _REGISTRAR_SHIFT)];
    }

    /// @dev How many records registrars ended in the present window. A count that is 16 windows old is taken for the
    /// present one's, if nothing was ended since: it makes the limit smaller for that window, never larger.
    /// @param word The head word.
    /// @return ends How many.
    function _endsInWindow(uint256 word) private view returns (uint256 ends) {
        if (word >> _WINDOW_SHIFT & _WINDOW_MASK == _window()) ends = word >> _ENDS_SHIFT & _ENDS_MASK;
    }

    /// @dev The present window, modulo 16.
    /// @return window Its number.
    function _window() private view returns (uint256 window) {
        return block.timestamp / ENDING_WINDOW & _WINDOW_MASK;
    }

    /// @dev The bit of an actor's word that stands for a role.
    /// @param role The role.
    /// @return flag The bit, or zero.
    function _flagOf(bytes32 role) private pure returns (uint256 flag) {
        if (role == REGISTRAR_ROLE) return _IS_REGISTRAR;
        if (role == STEWARD_ROLE) return _IS_STEWARD;
    }

    /// @dev What became of a record.
    /// @param word The record's word.
    /// @return status The status.
    function _status(uint256 word) private pure returns (Status status) {
        return Status(uint8(word));
    }

    /// @dev Whether a record was ended by a registrar.
    /// @param word The record's word.
    /// @return byRegistrar Whether it was.
    function _isByRegistrar(uint256 word) private pure returns (bool byRegistrar) {
        return uint8(word >> _BY_REGISTRAR_SHIFT) != 0;
    }
}
