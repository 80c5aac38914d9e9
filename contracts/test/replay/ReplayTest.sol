// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {ChainedTest} from "../ChainedTest.sol";
import {Entry, Replay} from "./Replay.sol";

/// @notice Records everything that a registry does, and holds its storage against a replay of its events.
abstract contract ReplayTest is ChainedTest {
    uint48 internal constant DELAY = 0;

    Entry[] internal _entries;
    bytes32[] private _written;

    /// @dev Call before the registry is deployed; then `_collect` after every block.
    function _startRecording() internal {
        vm.recordLogs();
        vm.startStateDiffRecording();
    }

    function _collect() internal {
        _collectLogs();
        Vm.AccountAccess[] memory accesses = vm.stopAndReturnStateDiff();
        for (uint256 i; i < accesses.length; ++i) {
            for (uint256 k; k < accesses[i].storageAccesses.length; ++k) {
                Vm.StorageAccess memory access = accesses[i].storageAccesses[k];
                if (access.isWrite && access.account == address(_chain())) _written.push(access.slot);
            }
        }
        vm.startStateDiffRecording();
    }

    function _collectLogs() private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].emitter != address(_chain())) continue;
            _entries.push(Entry(logs[i].topics, logs[i].data, vm.getBlockNumber(), vm.getBlockTimestamp()));
        }
    }

    function _newReplay() internal returns (Replay) {
        return new Replay(block.chainid, address(_chain()), DELAY);
    }

    /// @dev Every slot that was ever written, and every slot that the model knows, holds what the model says.
    function _assertRebuilt() internal {
        Replay replay = _newReplay();
        for (uint256 i; i < _entries.length; ++i) {
            replay.take(_entries[i]);
        }
        bytes32[] memory slots = replay.slots();
        for (uint256 i; i < slots.length; ++i) {
            assertEq(vm.load(address(_chain()), slots[i]), replay.valueOf(slots[i]), "the model has it otherwise");
        }
        for (uint256 i; i < _written.length; ++i) {
            assertEq(
                vm.load(address(_chain()), _written[i]), replay.valueOf(_written[i]), "the model knows no such slot"
            );
        }
        // Were nothing recorded, the loops above would prove nothing.
        assertGt(_written.length, _entries.length, "no writes were recorded");
    }

    /// @dev However one log is dropped, doubled, swapped with the next or changed in one bit, it is noticed.
    function _assertEveryTamperingIsNoticed() internal {
        Replay replay = _newReplay();
        (bytes25 head, uint40 seq,) = _chain().head();
        Entry[] memory honest = _entries;
        assertTrue(replay.isComplete(honest, head, seq), "the honest logs");

        for (uint256 i; i < honest.length; ++i) {
            // OpenZeppelin's own events are not part of the chain.
            if (!replay.isChained(honest[i].topics[0])) continue;
            assertFalse(replay.isComplete(_spliced(i, 0), head, seq), "dropped");
            assertFalse(replay.isComplete(_spliced(i, 2), head, seq), "doubled");
            for (uint256 bit; bit < 32 * honest[i].topics.length; bit += 7) {
                Entry[] memory forged = _spliced(i, 1);
                forged[i].topics[bit / 32] ^= bytes32(2 ** (bit % 32 * 8));
                // A log whose first topic is none of ours is dropped, and noticed as that.
                assertFalse(replay.isComplete(forged, head, seq), "a topic changed");
            }
            for (uint256 at; at < honest[i].data.length; at += 3) {
                // The last 7 bytes are the padding of the head, which carries nothing.
                if (at >= honest[i].data.length - 7) continue;
                Entry[] memory forged = _spliced(i, 1);
                forged[i].data = bytes.concat(forged[i].data);
                forged[i].data[at] ^= 0x10;
                assertFalse(replay.isComplete(forged, head, seq), "data changed");
            }
        }
    }

    function _assertEverySwapIsNoticed() internal {
        Replay replay = _newReplay();
        (bytes25 head, uint40 seq,) = _chain().head();
        uint256 last = type(uint256).max;
        for (uint256 i; i < _entries.length; ++i) {
            if (!replay.isChained(_entries[i].topics[0])) continue;
            if (last != type(uint256).max) {
                Entry[] memory swapped = _entries;
                (swapped[last], swapped[i]) = (swapped[i], swapped[last]);
                assertFalse(replay.isComplete(swapped, head, seq), "swapped");
            }
            last = i;
        }
    }

    /// @dev The logs with the log at `i` said `times` times, all in memory of its own.
    function _spliced(uint256 i, uint256 times) private view returns (Entry[] memory logs) {
        logs = new Entry[](_entries.length + times - 1);
        for (uint256 k; k < logs.length; ++k) {
            logs[k] = _entries[k < i + times ? (k < i ? k : i) : k + 1 - times];
        }
    }
}
