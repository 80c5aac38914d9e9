// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice One log, with what the block around it tells.
struct Entry {
    bytes32[] topics;
    bytes data;
    uint256 number;
    uint256 time;
}

/// @notice Rebuilds the storage of a registry from its logs alone, slot by slot.
/// @dev A second implementation, as an indexer would write it: it shares no code with the contracts, only the layout
/// that docs/contracts.md describes.
contract Replay {
    bytes32 private constant RECORD_ANCHORED = keccak256("RecordAnchored(bytes32,bytes32,address,uint48,bytes25)");
    bytes32 private constant RECORD_CLOSED = keccak256("RecordClosed(bytes32,uint8,address,uint8,uint48,bytes25)");
    bytes32 private constant BATCH_ANCHORED = keccak256("BatchAnchored(bytes32,address,uint48,uint48,bytes25)");
    bytes32 private constant CHECKPOINT_ANCHORED =
        keccak256("CheckpointAnchored(uint64,bytes32,address,uint64,uint48,bytes25)");
    bytes32 private constant CONSENT_CHANGED = keccak256("ConsentChanged(address,bytes32,uint8,uint40,uint48,bytes25)");
    bytes32 private constant PAUSED_SET = keccak256("PausedSet(bool,address,uint48,bytes25)");
    bytes32 private constant ROLE_GRANTED = keccak256("RoleGranted(bytes32,address,address)");
    bytes32 private constant ROLE_REVOKED = keccak256("RoleRevoked(bytes32,address,address)");
    bytes32 private constant TRANSFER_SCHEDULED = keccak256("DefaultAdminTransferScheduled(address,uint48)");
    bytes32 private constant TRANSFER_CANCELED = keccak256("DefaultAdminTransferCanceled()");

    uint256 private constant PENDING_ADMIN_SLOT = 1;
    uint256 private constant ADMIN_SLOT = 2;
    uint256 private constant HEAD_SLOT = 3;

    mapping(bytes32 slot => bytes32 value) public valueOf;
    bytes32[] private _slots;
    mapping(bytes32 slot => bool) private _known;

    bytes25 private _head;
    uint256 private _seq;
    uint256 private _paused;

    /// @param chainId The chain of the registry.
    /// @param registry Its address. No event tells it, nor the delay: both are in the transaction of the deployment.
    /// @param delay The delay of the admin's two steps.
    constructor(uint256 chainId, address registry, uint48 delay) {
        _head = bytes25(keccak256(abi.encode(chainId, registry, uint256(1))));
        _set(bytes32(HEAD_SLOT), bytes32(_head));
        _set(bytes32(PENDING_ADMIN_SLOT), bytes32(uint256(delay) << 208));
    }

    function slots() external view returns (bytes32[] memory) {
        return _slots;
    }

    /// @notice Whether these logs, and no others, lead from the first head to the given one.
    /// @dev What an indexer checks before it believes a node.
    function isComplete(Entry[] memory entries, bytes25 head, uint48 seq) external view returns (bool) {
        bytes25 at = _head;
        uint256 number = _seq;
        for (uint256 i; i < entries.length; ++i) {
            if (!_isChained(entries[i].topics[0])) continue;
            (uint256 saidNumber, bytes25 said) = _said(entries[i].data);
            at = _after(at, entries[i]);
            if (saidNumber != ++number || said != at) return false;
        }
        return number == seq && at == head;
    }

    /// @notice Applies one log.
    function take(Entry calldata entry) external {
        bytes32 kind = entry.topics[0];
        if (_isChained(kind)) {
            _head = _after(_head, entry);
            ++_seq;
        }
        if (kind == RECORD_ANCHORED) {
            _takeRecord(entry);
        } else if (kind == RECORD_CLOSED) {
            _setStatus(entry.topics[1], uint256(entry.topics[2]));
        } else if (kind == BATCH_ANCHORED) {
            uint256 size = abi.decode(entry.data, (uint256));
            _set(_of(entry.topics[1], 6), bytes32(uint256(entry.topics[2]) << 96 | entry.number << 48 | size));
        } else if (kind == CHECKPOINT_ANCHORED) {
            _set(_of(entry.topics[1], 7), entry.topics[2]);
            _set(bytes32(uint256(8)), entry.topics[1]);
        } else if (kind == CONSENT_CHANGED) {
            uint256 expiry = abi.decode(entry.data, (uint256));
            bytes32 slot = keccak256(bytes.concat(entry.topics[2], _of(entry.topics[1], 6)));
            _set(slot, bytes32(expiry << 48 | entry.time << 8 | uint256(entry.topics[3])));
        } else if (kind == PAUSED_SET) {
            _paused = abi.decode(entry.data, (uint256));
        } else {
            _takeAccess(entry, kind);
        }
        _set(bytes32(HEAD_SLOT), bytes32(_head) | bytes32(_seq << 8 | _paused));
    }

    function _takeRecord(Entry calldata entry) private {
        bytes32 slot = _of(entry.topics[1], 4);
        _set(slot, bytes32(uint256(entry.topics[3]) << 96 | entry.number << 48 | entry.time << 8 | 1));
        if (entry.topics[2] == 0) return;
        _setStatus(entry.topics[2], 2);
        _set(_of(entry.topics[2], 5), entry.topics[1]);
    }

    function _setStatus(bytes32 recordHash, uint256 status) private {
        bytes32 slot = _of(recordHash, 4);
        _set(slot, bytes32(uint256(valueOf[slot]) >> 8 << 8 | status));
    }

    function _takeAccess(Entry calldata entry, bytes32 kind) private {
        if (kind == ROLE_GRANTED || kind == ROLE_REVOKED) {
            bytes32 granted = bytes32(uint256(kind == ROLE_GRANTED ? 1 : 0));
            _set(keccak256(bytes.concat(entry.topics[2], _of(entry.topics[1], 0))), granted);
            if (entry.topics[1] != 0) return;
            _set(bytes32(ADMIN_SLOT), granted == 0 ? bytes32(0) : entry.topics[2]);
            _setPendingAdmin(0);
        } else if (kind == TRANSFER_SCHEDULED) {
            _setPendingAdmin(abi.decode(entry.data, (uint256)) << 160 | uint256(entry.topics[1]));
        } else if (kind == TRANSFER_CANCELED) {
            _setPendingAdmin(0);
        } else {
            revert("an event that this model does not know");
        }
    }

    /// @dev The delay above it stays.
    function _setPendingAdmin(uint256 pending) private {
        uint256 delay = uint256(valueOf[bytes32(PENDING_ADMIN_SLOT)]) >> 208 << 208;
        _set(bytes32(PENDING_ADMIN_SLOT), bytes32(delay | pending));
    }

    function _set(bytes32 slot, bytes32 value) private {
        valueOf[slot] = value;
        if (!_known[slot]) _slots.push(slot);
        _known[slot] = true;
    }

    /// @dev The slot of a key in the mapping at `position`.
    function _of(bytes32 key, uint256 position) private pure returns (bytes32) {
        return keccak256(abi.encode(key, position));
    }

    function _isChained(bytes32 kind) private pure returns (bool) {
        return kind == RECORD_ANCHORED || kind == RECORD_CLOSED || kind == BATCH_ANCHORED || kind == CHECKPOINT_ANCHORED
            || kind == CONSENT_CHANGED || kind == PAUSED_SET;
    }

    /// @dev The head after a log: all topics, then all data but the last two words.
    function _after(bytes25 head, Entry memory entry) private pure returns (bytes25) {
        bytes memory data = entry.data;
        bytes memory body = abi.encodePacked(entry.topics);
        for (uint256 at = 32; at + 64 <= data.length; at += 32) {
            bytes32 word;
            assembly ("memory-safe") {
                word := mload(add(data, at))
            }
            body = bytes.concat(body, word);
        }
        return bytes25(keccak256(bytes.concat(head, bytes7(0), keccak256(body))));
    }

    /// @dev The number and the head that a log claims, in the last two words of its data.
    function _said(bytes memory data) private pure returns (uint256 seq, bytes25 head) {
        uint256 end = data.length;
        bytes32 word;
        assembly ("memory-safe") {
            seq := mload(add(data, sub(end, 32)))
            word := mload(add(data, end))
        }
        head = bytes25(word);
    }
}
