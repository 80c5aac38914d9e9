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
        bytes4[] memory acts = new bytes4[](10);
        acts[0] = _handler.anchor.selector;
        acts[1] = _handler.supersede.selector;
        acts[2] = _handler.close.selector;
        acts[3] = _handler.anchorBatch.selector;
        acts[7] = _handler.annul.selector;
        acts[8] = _handler.extract.selector;
        acts[9] = _handler.openEpoch.selector;
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
            (uint64 epoch, uint64 size, bytes32 root) = _handler.checkpointAt(i);
            assertEq(_registry.checkpointRoot(epoch, size), root, "a checkpoint changed");
        }
    }

    /// @notice The sequence has no gap, the head is that of all events, the pause is as it was left.
    function invariant_HeadIsThatOfAllEvents() external view {
        (bytes25 head, uint40 seq, bool paused) = _registry.head();
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

    /// @notice The newest checkpoint is the last that was pinned, or that an epoch went on from.
    function invariant_LatestCheckpointIsTheLast() external view {
        (uint64 epoch, uint64 size, bytes32 root) = _registry.latestCheckpoint();
        assertEq(epoch, _handler.epoch());
        assertEq(size, _handler.lastSize());
        assertEq(root, _registry.checkpointRoot(epoch, size));
        uint256 count = _handler.checkpoints();
        if (count == 0) return;
        (uint64 at, uint64 last, bytes32 pinned) = _handler.checkpointAt(count - 1);
        assertEq(_registry.checkpointRoot(at, last), pinned);
    }

    /// @notice Registrars end no more records in a window than the limit.
    function invariant_RegistrarsKeepTheirLimit() external view {
        assertLe(_handler.endsIn(vm.getBlockTimestamp() / 1 hours), 3);
    }

    /// @notice Successors make no circle: from any record the end is reached within as many hops as there are records.
    function invariant_SuccessorsEnd() external view {
        uint256 count = _handler.records();
        if (count == 0) return;
        (bytes32 first,) = _handler.recordAt(0);
        (bytes32 last, bool complete,) = _registry.currentOf(first, count);
        assertTrue(complete, "a circle");
        assertEq(_registry.successorOf(last), 0);
    }

    function _assertRecord(uint256 at) private view {
        (bytes32 recordHash, RegistryHandler.Record memory record) = _handler.recordAt(at);
        IMedicalRecordRegistry.Record memory found = _registry.anchorOf(recordHash);
        assertEq(uint8(found.status), uint8(record.status), "status");
        assertEq(found.registrar, record.registrar, "registrar");
        assertEq(found.blockNumber, record.number, "block");
        assertEq(found.anchoredAt, record.time, "time");
        assertEq(found.seq, record.seq, "seq");
        assertEq(found.endedBy, record.endedBy, "ended by");
        assertEq(found.endedByRegistrar, record.endedByRegistrar, "as a registrar");
        assertEq(found.endedAt, record.endedAt, "ended at");
        assertEq(found.reason, record.reason, "reason");
        assertEq(_registry.successorOf(recordHash), record.successor, "successor");
        assertEq(record.successor != 0, found.status == IMedicalRecordRegistry.Status.Superseded, "link and status");
    }
}
