// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IChainedEvents} from "../../src/IChainedEvents.sol";
import {IMedicalRecordRegistry} from "../../src/IMedicalRecordRegistry.sol";
import {MedicalRecordRegistry} from "../../src/MedicalRecordRegistry.sol";
import {Vectors} from "../merkle/Vectors.sol";
import {ReplayTest} from "./ReplayTest.sol";

/// @notice The complete state of the record registry comes back from its events.
contract RegistryReplayTest is ReplayTest, Vectors {
    MedicalRecordRegistry private _registry;
    address private immutable steward = makeAddr("steward");
    address private _admin;
    address private immutable registrar = makeAddr("registrar");
    bytes32[] private _hashes;
    uint64 private _batches;
    uint256 private _seed;
    uint256 private _ended;
    uint256 private _annulled;
    uint256 private constant KINDS = 14;

    function setUp() external {
        _load();
    }

    function _chain() internal view override returns (IChainedEvents) {
        return _registry;
    }

    /// forge-config: default.fuzz.runs = 64
    /// forge-config: deep.fuzz.runs = 1024
    function testFuzz_State_IsRebuiltFromEvents(uint256 seed) external {
        _play(seed, 40);
        _assertRebuilt();
    }

    /// forge-config: default.fuzz.runs = 8
    /// forge-config: deep.fuzz.runs = 64
    function testFuzz_Logs_CannotBeTamperedWithUnnoticed(uint256 seed) external {
        _play(seed, 14);
        _assertEveryTamperingIsNoticed();
        _assertEverySwapIsNoticed();
    }

    function test_State_IsRebuiltFromEventsOfEveryKind() external {
        _play(0, 0);
        for (uint256 kind; kind < KINDS; ++kind) {
            _act(kind);
            _act(kind);
            _act(0);
        }
        while (_ended == 0 || _annulled == 0) {
            _act(_ended == 0 ? 9 : 10);
        }
        _assertRebuilt();
        _assertEveryTamperingIsNoticed();
        _assertEverySwapIsNoticed();
    }

    function _play(uint256 seed, uint256 steps) private {
        _seed = seed;
        _admin = admin;
        vm.warp(1_790_000_000);
        vm.roll(22_000_000);
        _startRecording();
        _registry = new MedicalRecordRegistry(DELAY, _admin);
        vm.startPrank(_admin);
        _registry.grantRole(keccak256("REGISTRAR_ROLE"), address(this));
        _registry.grantRole(keccak256("REGISTRAR_ROLE"), registrar);
        _registry.grantRole(keccak256("CHECKPOINT_ROLE"), address(this));
        _registry.grantRole(keccak256("STEWARD_ROLE"), steward);
        _registry.grantRole(keccak256("PAUSER_ROLE"), pauser);
        vm.stopPrank();
        _collect();
        for (uint256 i; i < steps; ++i) {
            _act(_random(KINDS));
        }
    }

    /// @dev One step, which always succeeds, in a block of its own.
    function _act(uint256 kind) private {
        bool paused = _isPaused();
        (, uint64 size,) = _registry.latestCheckpoint();
        bytes32 some = _hashes.length == 0 ? bytes32(0) : _hashes[_random(_hashes.length)];
        bool active = _registry.anchorOf(some).status == IMedicalRecordRegistry.Status.Active;

        if (kind == 13) {
            _changeDelay();
        } else if (kind == 12) {
            vm.prank(_admin);
            _registry.openEpoch(_random(2) == 0 ? size : 0);
        } else if (kind == 11) {
            vm.prank(_admin);
            _registry.setEndingLimit(address(this), uint16(_random(2048)));
        } else if (kind == 10 && !active && some != 0) {
            _annul(some);
        } else if (kind == 9 && active && !paused) {
            _endAsRegistrar(some);
        } else if (kind == 8) {
            _changeAdmin();
        } else if (kind == 7) {
            _changeRoles();
        } else if (kind == 6) {
            vm.prank(paused ? _admin : pauser);
            _registry.setPaused(!paused);
        } else if (kind == 5 && active) {
            vm.prank(steward);
            _registry.close(some, IMedicalRecordRegistry.Status(3 + _random(2)), uint8(1 + _random(255)));
        } else if (paused) {
            vm.prank(_admin);
            _registry.setPaused(false);
        } else if (kind == 4 && size < SIZES) {
            uint64 grown = uint64(size + 1 + _random(SIZES - size));
            bytes32[] memory proof = size == 0 ? new bytes32[](0) : _consistencyProof(size, grown);
            _registry.anchorCheckpoint(grown, _roots[grown], proof);
        } else if (kind == 3) {
            _anchorAndExtract();
        } else if (kind == 2 && active) {
            _hashes.push(bytes32(_random(0)));
            vm.prank(steward);
            _registry.supersede(some, _hashes[_hashes.length - 1]);
        } else {
            _hashes.push(bytes32(_random(0)));
            _registry.anchor(_hashes[_hashes.length - 1]);
        }
        _collect();
        vm.roll(vm.getBlockNumber() + 1 + _random(9));
        vm.warp(vm.getBlockTimestamp() + 12 * (1 + _random(9)));
    }

    function _changeRoles() private {
        address somebody = address(uint160(1 + _random(3)));
        bytes32 role = _random(2) == 0 ? keccak256("REGISTRAR_ROLE") : keccak256("STEWARD_ROLE");
        vm.startPrank(_admin);
        if (_registry.hasRole(role, somebody)) _registry.revokeRole(role, somebody);
        else _registry.grantRole(role, somebody);
        vm.stopPrank();
    }

    /// @dev Within the limit or not: what is refused leaves no log and no write.
    function _endAsRegistrar(bytes32 recordHash) private {
        vm.prank(_registry.anchorOf(recordHash).registrar);
        (bool ok,) = address(_registry)
            .call(abi.encodeCall(_registry.close, (recordHash, IMedicalRecordRegistry.Status.Revoked, 7)));
        _ended += ok ? 1 : 0;
    }

    /// @dev A successor that was superseded itself, or an end that is final, is refused.
    function _annul(bytes32 recordHash) private {
        vm.prank(_registry.anchorOf(recordHash).endedByRegistrar ? steward : _admin);
        (bool ok,) = address(_registry).call(abi.encodeCall(_registry.annul, (recordHash)));
        _annulled += ok ? 1 : 0;
    }

    function _anchorAndExtract() private {
        if (_batches == SIZES) return;
        bytes32[] memory records = _firstRecords(++_batches);
        for (uint64 i; i < records.length; ++i) {
            if (_registry.anchorOf(records[i]).status != IMedicalRecordRegistry.Status.None) return;
        }
        _registry.anchorBatch(records);
        if (_random(3) != 0) return;
        uint64 index = uint64(_random(_batches));
        bytes32[] memory proof = _inclusionProof(_batches, index);
        _registry.extract(_roots[_batches], uint48(_batches), records[index], uint48(index), proof);
        _hashes.push(records[index]);
    }

    function _changeDelay() private {
        vm.startPrank(_admin);
        if (_random(3) == 0) _registry.rollbackDefaultAdminDelay();
        else _registry.changeDefaultAdminDelay(uint48(_random(500)));
        vm.stopPrank();
    }

    function _changeAdmin() private {
        (address pending,) = _registry.pendingDefaultAdmin();
        if (pending == address(0)) {
            vm.prank(_admin);
            _registry.beginDefaultAdminTransfer(address(uint160(100 + _random(5))));
        } else if (_random(2) == 0) {
            vm.prank(_admin);
            _registry.cancelDefaultAdminTransfer();
        } else {
            vm.warp(vm.getBlockTimestamp() + 1 days);
            vm.prank(pending);
            _registry.acceptDefaultAdminTransfer();
            _admin = pending;
        }
    }

    function _isPaused() private view returns (bool paused) {
        (,, paused) = _registry.head();
    }

    function _random(uint256 limit) private returns (uint256 number) {
        number = _seed = uint256(keccak256(abi.encode(_seed)));
        if (limit != 0) number %= limit;
    }
}
