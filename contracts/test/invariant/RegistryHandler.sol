// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMedicalRecordRegistry} from "../../src/IMedicalRecordRegistry.sol";
import {MedicalRecordRegistry} from "../../src/MedicalRecordRegistry.sol";
import {Vectors} from "../merkle/Vectors.sol";

/// @notice Plays people of every role, and strangers, against a registry; remembers what must be true of it since.
contract RegistryHandler is Vectors {
    struct Record {
        IMedicalRecordRegistry.Status status;
        address registrar;
        uint256 number;
        uint256 time;
        bytes32 successor;
        address endedBy;
        bool endedByRegistrar;
        uint256 endedAt;
        uint8 reason;
        uint256 seq;
    }

    uint16 private constant LIMIT = 3;

    MedicalRecordRegistry public immutable registry;

    bytes32[] private _hashes;
    mapping(bytes32 recordHash => Record) private _records;
    uint64[] private _sizes;
    uint64[] private _epochs;
    uint64 public epoch;
    uint64 public lastSize;
    uint64 private _batches;

    /// @dev How many records registrars ended in each window.
    mapping(uint256 window => uint256) public endsIn;
    bytes25 public head;
    uint40 public seq;
    bool public paused;

    /// @dev Holds every role, like the registrars 1 and 2 one; 3 is a steward; 4 holds none.
    address[5] private _people;

    constructor() {
        _load();
        for (uint256 i; i < 5; ++i) {
            _people[i] = makeAddr(string.concat("person ", vm.toString(i)));
        }
        registry = new MedicalRecordRegistry(0, _people[0]);
        vm.startPrank(_people[0]);
        for (uint256 i; i < 3; ++i) {
            registry.grantRole(registry.REGISTRAR_ROLE(), _people[i]);
        }
        registry.grantRole(registry.STEWARD_ROLE(), _people[0]);
        registry.grantRole(registry.STEWARD_ROLE(), _people[3]);
        registry.grantRole(registry.CHECKPOINT_ROLE(), _people[0]);
        registry.grantRole(registry.PAUSER_ROLE(), _people[0]);
        for (uint256 i; i < 3; ++i) {
            registry.setEndingLimit(_people[i], LIMIT);
        }
        vm.stopPrank();
        (head, seq,) = registry.head();
    }

    function anchor(uint256 who, bytes32 recordHash) external {
        address by = _people[who % 5];
        bool may = who % 5 < 3 && !paused && recordHash != 0 && !_isKnown(recordHash);

        if (!_try(by, abi.encodeCall(registry.anchor, (recordHash)), may)) return;

        _remember(recordHash, by);
        _saw(
            abi.encode(keccak256("RecordAnchored(bytes32,bytes32,address,uint40,bytes25)"), recordHash, bytes32(0), by)
        );
    }

    function supersede(uint256 who, uint256 which, bytes32 newHash, uint256 twist) external {
        bytes32 oldHash = _some(which);
        // Now and then a hash that is there already, or the same one.
        if (twist % 8 == 0) newHash = _some(twist >> 3);
        address by = _people[who % 5];
        bool may = _mayEnd(who % 5, oldHash) && newHash != 0 && !_isKnown(newHash);

        if (!_try(by, abi.encodeCall(registry.supersede, (oldHash, newHash)), may)) return;

        _end(who % 5, oldHash, IMedicalRecordRegistry.Status.Superseded, 0);
        _records[oldHash].successor = newHash;
        _remember(newHash, by);
        _saw(abi.encode(keccak256("RecordAnchored(bytes32,bytes32,address,uint40,bytes25)"), newHash, oldHash, by));
    }

    function close(uint256 who, uint256 which, uint8 to, uint8 reason) external {
        bytes32 recordHash = _some(which);
        to = uint8(bound(to, 0, 4));
        address by = _people[who % 5];
        bool may = _mayEnd(who % 5, recordHash) && to >= 3 && reason != 0;
        IMedicalRecordRegistry.Status status = IMedicalRecordRegistry.Status(to);

        if (!_try(by, abi.encodeCall(registry.close, (recordHash, status, reason)), may)) return;

        _end(who % 5, recordHash, status, reason);
        _saw(
            abi.encode(
                keccak256("RecordClosed(bytes32,uint8,address,uint8,uint40,bytes25)"), recordHash, to, by, reason
            )
        );
    }

    function annul(uint256 who, uint256 which) external {
        bytes32 recordHash = _some(which);
        Record storage record = _records[recordHash];
        address by = _people[who % 5];
        bytes32 next = record.successor;
        bool may = record.endedAt != 0 && block.timestamp <= record.endedAt + 30 days
            && (record.endedByRegistrar ? who % 5 == 0 || who % 5 == 3 : who % 5 == 0)
            && _records[next].status != IMedicalRecordRegistry.Status.Superseded;

        if (!_try(by, abi.encodeCall(registry.annul, (recordHash)), may)) return;

        if (_records[next].status == IMedicalRecordRegistry.Status.Active) {
            _write(by, false, next, IMedicalRecordRegistry.Status.Revoked, 254);
        }
        record.successor = 0;
        record.status = IMedicalRecordRegistry.Status.Active;
        (record.endedBy, record.endedByRegistrar, record.endedAt, record.reason) = (address(0), false, 0, 0);
        _saw(abi.encode(keccak256("EndingAnnulled(bytes32,bytes32,address,uint40,bytes25)"), recordHash, next, by));
    }

    function anchorBatch(uint256 who) external {
        address by = _people[who % 5];
        if (_batches == SIZES) return;
        bytes32[] memory hashes = _firstRecords(_batches + 1);
        bool may = who % 5 < 3 && !paused;
        for (uint256 i; i < hashes.length; ++i) {
            may = may && !_isKnown(hashes[i]);
        }

        if (!_try(by, abi.encodeCall(registry.anchorBatch, (hashes)), may)) return;

        ++_batches;
        _saw(
            abi.encode(
                keccak256("BatchAnchored(bytes32,address,uint48,uint40,bytes25)"), _roots[_batches], by, _batches
            )
        );
    }

    function extract(uint256 who, uint256 which, uint256 twist) external {
        if (_batches == 0) return;
        uint48 size = uint48(1 + which % _batches);
        uint48 index = uint48(twist % size);
        bytes32 recordHash = _firstRecords(size)[index];
        bool may = !_isKnown(recordHash) && (who % 5 == 0 || who % 5 == 3 || (who % 5 < 3 && !paused));
        bytes32[] memory proof = _inclusionProof(size, index);

        bytes memory call = abi.encodeCall(registry.extract, (_roots[size], size, recordHash, index, proof));
        if (!_try(_people[who % 5], call, may)) return;

        _rememberOfBatch(recordHash, size);
        bytes32 topic = keccak256("RecordExtracted(bytes32,bytes32,address,uint48,uint48,uint40,bytes25)");
        _saw(abi.encode(topic, recordHash, _roots[size], _people[who % 5], size, index));
    }

    function openEpoch(uint256 who, uint256 which, uint256 twist) external {
        // Seldom, or no log would grow.
        if (twist % 4 != 0) return;
        address by = _people[who % 5];
        uint64 size = _sizes.length == 0 ? 0 : _sizes[which % _sizes.length];
        bytes32 root = registry.checkpointRoot(epoch, size);
        bool may = who % 5 == 0 && (size == 0 || root != 0);

        if (!_try(by, abi.encodeCall(registry.openEpoch, (size)), may)) return;

        ++epoch;
        lastSize = size;
        _saw(abi.encode(keccak256("EpochOpened(uint64,uint64,bytes32,address,uint40,bytes25)"), epoch, size, root, by));
    }

    function anchorCheckpoint(uint256 who, uint64 size, uint256 twist) external {
        uint64 last = lastSize;
        // Mostly a small step ahead, now and then back or standing still.
        size = uint64(bound(size, last < 2 ? 1 : last - 2, last + 6 < SIZES ? last + 6 : SIZES));
        bool honest = twist % 4 != 0;
        bytes32[] memory proof = last == 0 || size <= last ? new bytes32[](0) : _consistencyProof(last, size);
        bytes32 root = honest ? _roots[size] : keccak256(abi.encode(twist));
        address by = _people[who % 2 * 4];
        // The first checkpoint is trusted; a lie would make every later one impossible.
        bool may = by == _people[0] && !paused && size > last && honest;
        if (!honest && last == 0) return;

        if (!_try(by, abi.encodeCall(registry.anchorCheckpoint, (size, root, proof)), may)) return;

        _sizes.push(size);
        _epochs.push(epoch);
        lastSize = size;
        _saw(
            abi.encode(
                keccak256("CheckpointAnchored(uint64,bytes32,address,uint64,uint64,uint40,bytes25)"),
                size,
                root,
                by,
                epoch,
                last
            )
        );
    }

    function setPaused(uint256 who, bool to, uint256 twist) external {
        // Paused seldom, or nothing else would happen.
        if (to && twist % 4 != 0) return;
        address by = _people[who % 5];

        if (!_try(by, abi.encodeCall(registry.setPaused, (to)), who % 5 == 0)) return;

        paused = to;
        _saw(abi.encode(keccak256("PausedSet(bool,address,uint40,bytes25)"), by, to));
    }

    function passTime(uint256 blocks, uint256 time) external {
        vm.roll(vm.getBlockNumber() + bound(blocks, 1, 1000));
        vm.warp(vm.getBlockTimestamp() + bound(time, 1, 1 days));
    }

    function records() external view returns (uint256) {
        return _hashes.length;
    }

    function recordAt(uint256 at) external view returns (bytes32, Record memory) {
        return (_hashes[at], _records[_hashes[at]]);
    }

    function checkpoints() external view returns (uint256) {
        return _sizes.length;
    }

    function checkpointAt(uint256 at) external view returns (uint64 epoch_, uint64 size, bytes32 root) {
        return (_epochs[at], _sizes[at], _roots[_sizes[at]]);
    }

    /// @dev Makes a call and insists that it succeeds exactly if it may.
    function _try(address by, bytes memory call, bool may) private returns (bool ok) {
        vm.prank(by);
        (ok,) = address(registry).call(call);
        assertEq(ok, may, may ? "what may be done was refused" : "what may not be done was done");
    }

    function _remember(bytes32 recordHash, address by) private {
        _hashes.push(recordHash);
        Record storage record = _records[recordHash];
        record.status = IMedicalRecordRegistry.Status.Active;
        (record.registrar, record.number, record.time) = (by, vm.getBlockNumber(), vm.getBlockTimestamp());
        record.seq = seq + 1;
    }

    function _rememberOfBatch(bytes32 recordHash, uint48 size) private {
        _hashes.push(recordHash);
        Record storage record = _records[recordHash];
        record.status = IMedicalRecordRegistry.Status.Active;
        (record.registrar, record.time, record.number, record.seq) = registry.batchOf(_roots[size], size);
    }

    function _isKnown(bytes32 recordHash) private view returns (bool) {
        return _records[recordHash].registrar != address(0);
    }

    function _end(uint256 who, bytes32 recordHash, IMedicalRecordRegistry.Status status, uint8 reason) private {
        bool asRegistrar = who == 1 || who == 2;
        if (asRegistrar) ++endsIn[vm.getBlockTimestamp() / 1 hours];
        _write(_people[who], asRegistrar, recordHash, status, reason);
    }

    function _write(
        address by,
        bool asRegistrar,
        bytes32 recordHash,
        IMedicalRecordRegistry.Status status,
        uint8 reason
    ) private {
        Record storage record = _records[recordHash];
        record.status = status;
        // Somebody without one of the two roles has no number, and is not named: the admin alone, here never.
        (record.endedBy, record.endedByRegistrar) = (by, asRegistrar);
        (record.endedAt, record.reason) = (vm.getBlockTimestamp(), reason);
    }

    function _saw(bytes memory topicsAndData) private {
        head = bytes25(keccak256(bytes.concat(head, bytes7(uint56(block.chainid)), keccak256(topicsAndData))));
        ++seq;
    }

    /// @dev Persons 0 and 3 are stewards; 1 and 2 may end what they anchored, not while paused, and so many in a window.
    function _mayEnd(uint256 who, bytes32 recordHash) private view returns (bool) {
        Record storage record = _records[recordHash];
        if (record.status != IMedicalRecordRegistry.Status.Active) return false;
        if (who == 0 || who == 3) return true;
        (uint16 limit, uint16 left) = registry.endingLimitOf(_people[who]);
        assertLe(limit, LIMIT);
        return record.registrar == _people[who] && !paused && left > 0;
    }

    function _some(uint256 which) private view returns (bytes32) {
        return _hashes.length == 0 ? bytes32(which) : _hashes[which % _hashes.length];
    }
}
