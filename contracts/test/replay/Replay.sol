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
/// that docs/contracts.md describes. OpenZeppelin's own events are passed over: the chain of events tells the same.
contract Replay {
    bytes32 private constant RECORD_ANCHORED = keccak256("RecordAnchored(bytes32,bytes32,address,uint40,bytes25)");
    bytes32 private constant RECORD_CLOSED = keccak256("RecordClosed(bytes32,uint8,address,uint8,uint40,bytes25)");
    bytes32 private constant ENDING_ANNULLED = keccak256("EndingAnnulled(bytes32,bytes32,address,uint40,bytes25)");
    bytes32 private constant ENDING_LIMIT_SET = keccak256("EndingLimitSet(address,address,uint16,uint40,bytes25)");
    bytes32 private constant BATCH_ANCHORED = keccak256("BatchAnchored(bytes32,address,uint48,uint40,bytes25)");
    bytes32 private constant RECORD_EXTRACTED =
        keccak256("RecordExtracted(bytes32,bytes32,address,uint48,uint48,uint40,bytes25)");
    bytes32 private constant CHECKPOINT_ANCHORED =
        keccak256("CheckpointAnchored(uint64,bytes32,address,uint64,uint64,uint40,bytes25)");
    bytes32 private constant EPOCH_OPENED = keccak256("EpochOpened(uint64,uint64,bytes32,address,uint40,bytes25)");
    bytes32 private constant CONSENT_CHANGED = keccak256("ConsentChanged(address,bytes32,uint8,uint40,uint40,bytes25)");
    bytes32 private constant PAUSED_SET = keccak256("PausedSet(bool,address,uint40,bytes25)");
    bytes32 private constant ROLE_CHANGED = keccak256("RoleChanged(bytes32,address,address,bool,uint40,bytes25)");
    bytes32 private constant ADMIN_STEP_TAKEN =
        keccak256("AdminStepTaken(uint8,address,address,uint48,uint48,uint40,bytes25)");

    uint256 private constant PENDING_ADMIN_SLOT = 1;
    uint256 private constant ADMIN_SLOT = 2;
    uint256 private constant HEAD_SLOT = 3;
    uint256 private constant COUNTERS_SLOT = 10;
    uint256 private constant REGISTRAR = 1 << 24;
    uint256 private constant STEWARD = 1 << 25;

    mapping(bytes32 slot => bytes32 value) public valueOf;
    bytes32[] private _slots;
    mapping(bytes32 slot => bool) private _known;

    uint256 private immutable _chainId;
    bytes25 private _head;
    uint256 private _seq;
    uint256 private _flags;

    /// @param chainId The chain of the registry.
    /// @param registry Its address. No event tells it, nor the delay: both are in the transaction of the deployment.
    /// @param delay The delay of the admin's two steps.
    constructor(uint256 chainId, address registry, uint48 delay) {
        _chainId = chainId;
        _head = bytes25(keccak256(abi.encode(chainId, registry, uint256(2))));
        _set(bytes32(HEAD_SLOT), bytes32(_head));
        _set(bytes32(PENDING_ADMIN_SLOT), bytes32(uint256(delay) << 208));
    }

    function slots() external view returns (bytes32[] memory) {
        return _slots;
    }

    /// @notice Whether these logs, and no others, lead from the first head to the given one.
    /// @dev What an indexer checks before it believes a node.
    function isComplete(Entry[] memory entries, bytes25 head, uint40 seq) external view returns (bool) {
        bytes25 at = _head;
        uint256 number = _seq;
        for (uint256 i; i < entries.length; ++i) {
            if (!isChained(entries[i].topics[0])) continue;
            (uint256 saidNumber, bytes25 said) = _said(entries[i].data);
            at = _after(at, entries[i]);
            if (saidNumber != ++number || said != at) return false;
        }
        return number == seq && at == head;
    }

    /// @notice Applies one log.
    function take(Entry calldata entry) external {
        bytes32 kind = entry.topics[0];
        if (!isChained(kind)) return;
        _head = _after(_head, entry);
        ++_seq;
        if (kind == RECORD_ANCHORED) {
            _takeRecord(entry);
        } else if (kind == RECORD_CLOSED) {
            _end(entry.topics[1], entry, entry.topics[3], uint256(entry.topics[2]), abi.decode(entry.data, (uint256)));
        } else if (kind == ENDING_ANNULLED) {
            _takeAnnulment(entry);
        } else if (kind == ENDING_LIMIT_SET) {
            bytes32 slot = _of(entry.topics[1], 8);
            uint256 limit = abi.decode(entry.data, (uint256));
            _set(slot, bytes32(uint256(valueOf[slot]) & (REGISTRAR | STEWARD | 0xffffff) | limit * 2 ** 26));
        } else if (kind == BATCH_ANCHORED) {
            _set(_batch(entry.topics[1], abi.decode(entry.data, (uint256))), bytes32(_origin(entry, entry.topics[2])));
        } else if (kind == RECORD_EXTRACTED) {
            uint256 origin = uint256(valueOf[_batch(entry.topics[2], abi.decode(entry.data, (uint256)))]);
            _set(_of(entry.topics[1], 4), bytes32(origin << 88 | 1));
        } else if (kind == CHECKPOINT_ANCHORED) {
            _pin(abi.decode(entry.data, (uint256)), uint256(entry.topics[1]), entry.topics[2]);
        } else if (kind == EPOCH_OPENED) {
            _pin(uint256(entry.topics[1]), uint256(entry.topics[2]), entry.topics[3]);
        } else if (kind == CONSENT_CHANGED) {
            uint256 expiry = abi.decode(entry.data, (uint256));
            bytes32 slot = keccak256(bytes.concat(entry.topics[2], _of(entry.topics[1], 6)));
            _set(slot, bytes32(expiry << 48 | entry.time << 8 | uint256(entry.topics[3])));
        } else if (kind == PAUSED_SET) {
            _flags = _flags & ~uint256(1) | abi.decode(entry.data, (uint256));
        } else if (kind == ROLE_CHANGED) {
            _takeRole(entry.topics[1], entry.topics[2], abi.decode(entry.data, (bool)));
        } else {
            _takeAdminStep(entry);
        }
        _set(bytes32(HEAD_SLOT), bytes32(_head) | bytes32(_seq << 16 | _flags));
    }

    function isChained(bytes32 kind) public pure returns (bool) {
        return kind == RECORD_ANCHORED || kind == RECORD_CLOSED || kind == ENDING_ANNULLED || kind == ENDING_LIMIT_SET
            || kind == BATCH_ANCHORED || kind == RECORD_EXTRACTED || kind == CHECKPOINT_ANCHORED || kind == EPOCH_OPENED
            || kind == CONSENT_CHANGED || kind == PAUSED_SET || kind == ROLE_CHANGED || kind == ADMIN_STEP_TAKEN;
    }

    function _takeRecord(Entry calldata entry) private {
        _set(_of(entry.topics[1], 4), bytes32(_origin(entry, entry.topics[3]) << 88 | 1));
        if (entry.topics[2] == 0) return;
        _end(entry.topics[2], entry, entry.topics[3], 2, 0);
        _set(_of(entry.topics[2], 5), entry.topics[1]);
    }

    /// @dev An end, counted if it is a registrar's.
    function _end(bytes32 recordHash, Entry calldata entry, bytes32 by, uint256 status, uint256 reason) private {
        bool asRegistrar = _actor(by) & STEWARD == 0;
        _writeEnd(recordHash, entry.time, by, asRegistrar, status, reason);
        if (!asRegistrar) return;
        uint256 window = entry.time / 3600 % 16;
        uint256 ends = _flags / 2 % 16 == window ? _flags / 32 : 0;
        _flags = _flags % 2 + window * 2 + (ends + 1) * 32;
    }

    function _writeEnd(bytes32 recordHash, uint256 time, bytes32 by, bool asRegistrar, uint256 status, uint256 reason)
        private
    {
        bytes32 slot = _of(recordHash, 4);
        uint256 origin = uint256(valueOf[slot]) >> 88 << 88;
        uint256 end = (asRegistrar ? 1 << 80 : 0) | _actor(by) % 2 ** 24 << 56 | time << 16 | reason << 8 | status;
        _set(slot, bytes32(origin | end));
    }

    function _takeAnnulment(Entry calldata entry) private {
        bytes32 slot = _of(entry.topics[1], 4);
        _set(slot, bytes32(uint256(valueOf[slot]) >> 88 << 88 | 1));
        bytes32 successor = entry.topics[2];
        if (successor == 0) return;
        _set(_of(entry.topics[1], 5), 0);
        if (uint256(valueOf[_of(successor, 4)]) % 256 == 1) {
            _writeEnd(successor, entry.time, entry.topics[3], false, 3, 254);
        }
    }

    function _pin(uint256 epoch, uint256 size, bytes32 root) private {
        if (size != 0) _set(keccak256(abi.encode(size, _of(bytes32(epoch), 7))), root);
        uint256 counters = uint256(valueOf[bytes32(COUNTERS_SLOT)]);
        _set(bytes32(COUNTERS_SLOT), bytes32(counters >> 128 << 128 | size << 64 | epoch));
    }

    function _takeRole(bytes32 role, bytes32 account, bool granted) private {
        _set(keccak256(bytes.concat(account, _of(role, 0))), bytes32(uint256(granted ? 1 : 0)));
        if (role == 0) {
            uint256 delay = uint256(valueOf[bytes32(ADMIN_SLOT)]) >> 160 << 160;
            _set(bytes32(ADMIN_SLOT), bytes32(delay | (granted ? uint256(account) : 0)));
            _setPendingAdmin(0);
        }
        uint256 flag = role == keccak256("REGISTRAR_ROLE") ? REGISTRAR : role == keccak256("STEWARD_ROLE") ? STEWARD : 0;
        if (flag == 0) return;
        uint256 actor = _actor(account);
        if (actor == 0) {
            uint256 counters = uint256(valueOf[bytes32(COUNTERS_SLOT)]) + 2 ** 128;
            _set(bytes32(COUNTERS_SLOT), bytes32(counters));
            _set(_of(bytes32(counters >> 128), 9), account);
            actor = counters >> 128 | 100 * 2 ** 26;
        }
        _set(_of(account, 8), bytes32(granted ? actor | flag : actor & ~flag));
    }

    function _takeAdminStep(Entry calldata entry) private {
        (uint256 delay, uint256 schedule,,) = abi.decode(entry.data, (uint256, uint256, uint256, bytes32));
        uint256 step = uint256(entry.topics[1]);
        if (step < 2) {
            _setPendingAdmin(schedule << 160 | uint256(entry.topics[2]));
            return;
        }
        // A delay that holds by now is written down before the next one takes its place.
        uint256 word = uint256(valueOf[bytes32(ADMIN_SLOT)]);
        uint256 due = word >> 208;
        if (due != 0 && due < entry.time) {
            uint256 pending = uint256(valueOf[bytes32(PENDING_ADMIN_SLOT)]) << 48 >> 48;
            _set(bytes32(PENDING_ADMIN_SLOT), bytes32((word >> 160 & 0xffffffffffff) * 2 ** 208 | pending));
        }
        _set(bytes32(ADMIN_SLOT), bytes32(schedule << 208 | delay << 160 | word << 96 >> 96));
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

    function _origin(Entry calldata entry, bytes32 by) private view returns (uint256) {
        return _seq << 112 | _actor(by) % 2 ** 24 << 88 | entry.number << 40 | entry.time;
    }

    function _actor(bytes32 account) private view returns (uint256) {
        return uint256(valueOf[_of(account, 8)]);
    }

    /// @dev The slot of a key in the mapping at `position`.
    function _of(bytes32 key, uint256 position) private pure returns (bytes32) {
        return keccak256(abi.encode(key, position));
    }

    function _batch(bytes32 root, uint256 size) private pure returns (bytes32) {
        return keccak256(abi.encode(size, _of(root, 6)));
    }

    /// @dev The head after a log: all topics, then all data but the last two words.
    function _after(bytes25 head, Entry memory entry) private view returns (bytes25) {
        bytes memory data = entry.data;
        bytes memory body = abi.encodePacked(entry.topics);
        for (uint256 at = 32; at + 64 <= data.length; at += 32) {
            bytes32 word;
            assembly ("memory-safe") {
                word := mload(add(data, at))
            }
            body = bytes.concat(body, word);
        }
        return bytes25(keccak256(bytes.concat(head, bytes7(uint56(_chainId)), keccak256(body))));
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
