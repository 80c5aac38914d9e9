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
    bytes32[] private _hashes;
    uint256 private _seed;

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
        for (uint256 kind; kind < 9; ++kind) {
            _act(kind);
            _act(kind);
            _act(0);
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
        _registry.grantRole(keccak256("CHECKPOINT_ROLE"), address(this));
        _registry.grantRole(keccak256("STEWARD_ROLE"), steward);
        _registry.grantRole(keccak256("PAUSER_ROLE"), pauser);
        vm.stopPrank();
        _collect();
        for (uint256 i; i < steps; ++i) {
            _act(_random(9));
        }
    }

    /// @dev One step, which always succeeds, in a block of its own.
    function _act(uint256 kind) private {
        (bool paused, uint64 size) = (_isPaused(), _registry.latestTreeSize());
        bytes32 some = _hashes.length == 0 ? bytes32(0) : _hashes[_random(_hashes.length)];
        (IMedicalRecordRegistry.Status status,,,) = _registry.anchorOf(some);
        bool active = status == IMedicalRecordRegistry.Status.Active;

        if (kind == 8) {
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
            _registry.anchorBatchRoot(bytes32(_random(0)), uint48(1 + _random(1 << 40)));
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

    function _changeAdmin() private {
        (address pending,) = _registry.pendingDefaultAdmin();
        if (pending == address(0)) {
            vm.prank(_admin);
            _registry.beginDefaultAdminTransfer(address(uint160(100 + _random(5))));
        } else if (_random(2) == 0) {
            vm.prank(_admin);
            _registry.cancelDefaultAdminTransfer();
        } else {
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
