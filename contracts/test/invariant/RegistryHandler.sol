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
    }

    MedicalRecordRegistry public immutable registry;

    bytes32[] private _hashes;
    mapping(bytes32 recordHash => Record) private _records;
    uint64[] private _sizes;
    bytes25 public head;
    uint48 public seq;
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
        vm.stopPrank();
        head = bytes25(keccak256(abi.encode(block.chainid, address(registry), uint256(1))));
    }

    function anchor(uint256 who, bytes32 recordHash) external {
        address by = _people[who % 5];
        bool may = who % 5 < 3 && !paused && recordHash != 0 && _records[recordHash].registrar == address(0);

        if (!_try(by, abi.encodeCall(registry.anchor, (recordHash)), may)) return;

        _remember(recordHash, by);
        _saw(
            abi.encode(keccak256("RecordAnchored(bytes32,bytes32,address,uint48,bytes25)"), recordHash, bytes32(0), by)
        );
    }

    function supersede(uint256 who, uint256 which, bytes32 newHash, uint256 twist) external {
        bytes32 oldHash = _some(which);
        // Now and then a hash that is there already, or the same one.
        if (twist % 8 == 0) newHash = _some(twist >> 3);
        address by = _people[who % 5];
        bool may = _mayEnd(who % 5, oldHash) && !paused && newHash != 0 && _records[newHash].registrar == address(0);

        if (!_try(by, abi.encodeCall(registry.supersede, (oldHash, newHash)), may)) return;

        _records[oldHash].status = IMedicalRecordRegistry.Status.Superseded;
        _records[oldHash].successor = newHash;
        _remember(newHash, by);
        _saw(abi.encode(keccak256("RecordAnchored(bytes32,bytes32,address,uint48,bytes25)"), newHash, oldHash, by));
    }

    function close(uint256 who, uint256 which, uint8 to, uint8 reason) external {
        bytes32 recordHash = _some(which);
        to = uint8(bound(to, 0, 4));
        address by = _people[who % 5];
        bool may = _mayEnd(who % 5, recordHash) && to >= 3 && reason != 0;
        IMedicalRecordRegistry.Status status = IMedicalRecordRegistry.Status(to);

        if (!_try(by, abi.encodeCall(registry.close, (recordHash, status, reason)), may)) return;

        _records[recordHash].status = status;
        _saw(
            abi.encode(
                keccak256("RecordClosed(bytes32,uint8,address,uint8,uint48,bytes25)"), recordHash, to, by, reason
            )
        );
    }

    function anchorBatchRoot(uint256 who, bytes32 root, uint48 size) external {
        address by = _people[who % 5];
        (, uint48 number,) = registry.batchOf(root);
        bool may = who % 5 < 3 && !paused && root != 0 && size != 0 && number == 0;

        if (!_try(by, abi.encodeCall(registry.anchorBatchRoot, (root, size)), may)) return;

        _saw(abi.encode(keccak256("BatchAnchored(bytes32,address,uint48,uint48,bytes25)"), root, by, size));
    }

    function anchorCheckpoint(uint256 who, uint64 size, uint256 twist) external {
        uint64 last = _lastSize();
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
        _saw(
            abi.encode(
                keccak256("CheckpointAnchored(uint64,bytes32,address,uint64,uint48,bytes25)"), size, root, by, last
            )
        );
    }

    function setPaused(uint256 who, bool to, uint256 twist) external {
        // Paused seldom, or nothing else would happen.
        if (to && twist % 4 != 0) return;
        address by = _people[who % 5];

        if (!_try(by, abi.encodeCall(registry.setPaused, (to)), who % 5 == 0)) return;

        paused = to;
        _saw(abi.encode(keccak256("PausedSet(bool,address,uint48,bytes25)"), by, to));
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

    function checkpointAt(uint256 at) external view returns (uint64 size, bytes32 root) {
        return (_sizes[at], _roots[_sizes[at]]);
    }

    /// @dev Makes a call and insists that it succeeds exactly if it may.
    function _try(address by, bytes memory call, bool may) private returns (bool ok) {
        vm.prank(by);
        (ok,) = address(registry).call(call);
        assertEq(ok, may, may ? "what may be done was refused" : "what may not be done was done");
    }

    function _remember(bytes32 recordHash, address by) private {
        _hashes.push(recordHash);
        _records[recordHash] =
            Record(IMedicalRecordRegistry.Status.Active, by, vm.getBlockNumber(), vm.getBlockTimestamp(), bytes32(0));
    }

    function _saw(bytes memory topicsAndData) private {
        head = bytes25(keccak256(bytes.concat(head, bytes7(0), keccak256(topicsAndData))));
        ++seq;
    }

    /// @dev Persons 0 and 3 are stewards; 1 and 2 may end what they anchored.
    function _mayEnd(uint256 who, bytes32 recordHash) private view returns (bool) {
        Record storage record = _records[recordHash];
        if (record.status != IMedicalRecordRegistry.Status.Active) return false;
        return who == 0 || who == 3 || record.registrar == _people[who];
    }

    function _some(uint256 which) private view returns (bytes32) {
        return _hashes.length == 0 ? bytes32(which) : _hashes[which % _hashes.length];
    }

    function _lastSize() private view returns (uint64) {
        return _sizes.length == 0 ? 0 : _sizes[_sizes.length - 1];
    }
}
