// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IMedicalRecordRegistry} from "../../src/IMedicalRecordRegistry.sol";
import {MedicalRecordRegistry} from "../../src/MedicalRecordRegistry.sol";
import {RegistryHandler} from "./RegistryHandler.sol";

/// @notice What holds of the record registry after any acts of anybody.
/// @dev After each act a few records are looked at, the newest among them; after each run, all.
contract RegistryInvariantTest is Test {
    RegistryHandler private _handler;
    MedicalRecordRegistry private _registry;

    function setUp() external {
        vm.warp(1_790_000_000);
        vm.roll(22_000_000);
        _handler = new RegistryHandler();
        _registry = _handler.registry();
        targetContract(address(_handler));
        bytes4[] memory acts = new bytes4[](7);
        acts[0] = _handler.anchor.selector;
        acts[1] = _handler.supersede.selector;
        acts[2] = _handler.close.selector;
        acts[3] = _handler.anchorBatchRoot.selector;
        acts[4] = _handler.anchorCheckpoint.selector;
        acts[5] = _handler.setPaused.selector;
        acts[6] = _handler.passTime.selector;
        targetSelector(FuzzSelector(address(_handler), acts));
    }

    function afterInvariant() external view {
        for (uint256 i; i < _handler.records(); ++i) {
            _assertRecord(i);
        }
        for (uint256 i; i < _handler.checkpoints(); ++i) {
            (uint64 size, bytes32 root) = _handler.checkpointAt(i);
            assertEq(_registry.checkpointRoot(size), root, "a checkpoint changed");
        }
    }

    /// @notice The sequence has no gap, the head is that of all events, the pause is as it was left.
    function invariant_HeadIsThatOfAllEvents() external view {
        (bytes25 head, uint48 seq, bool paused) = _registry.head();
        assertEq(seq, _handler.seq());
        assertEq(head, _handler.head());
        assertEq(paused, _handler.paused());
    }

    /// @notice A record is what was last made of it; its registrar, block and time never change.
    function invariant_RecordsAreAsTheyWereLeft() external view {
        uint256 count = _handler.records();
        for (uint256 i; i < 4 && i < count; ++i) {
            _assertRecord(count - 1 - i);
            _assertRecord(uint256(keccak256(abi.encode(_handler.head(), i))) % count);
        }
    }

    /// @notice The audit log only grows, and its newest checkpoint is there.
    function invariant_CheckpointsOnlyGrow() external view {
        uint256 count = _handler.checkpoints();
        uint64 latest = _registry.latestTreeSize();
        if (count == 0) {
            assertEq(latest, 0);
            return;
        }
        (uint64 size, bytes32 root) = _handler.checkpointAt(count - 1);
        assertEq(latest, size);
        assertEq(_registry.checkpointRoot(latest), root);
        if (count == 1) return;
        (uint64 before,) = _handler.checkpointAt(count - 2);
        assertLt(before, latest);
    }

    /// @notice Successors make no circle: from any record the end is reached within as many hops as there are records.
    function invariant_SuccessorsEnd() external view {
        uint256 count = _handler.records();
        if (count == 0) return;
        (bytes32 first,) = _handler.recordAt(0);
        (bytes32 last, bool complete) = _registry.currentOf(first, count);
        assertTrue(complete, "a circle");
        assertEq(_registry.successorOf(last), 0);
    }

    function _assertRecord(uint256 at) private view {
        (bytes32 recordHash, RegistryHandler.Record memory record) = _handler.recordAt(at);
        (IMedicalRecordRegistry.Status status, address registrar, uint48 number, uint40 time) =
            _registry.anchorOf(recordHash);
        assertEq(uint8(status), uint8(record.status), "status");
        assertEq(registrar, record.registrar, "registrar");
        assertEq(number, record.number, "block");
        assertEq(time, record.time, "time");
        assertEq(_registry.successorOf(recordHash), record.successor, "successor");
        assertEq(record.successor != 0, status == IMedicalRecordRegistry.Status.Superseded, "link and status");
    }
}
