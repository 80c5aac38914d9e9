// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {IChainedEvents} from "./IChainedEvents.sol";

/// @title Numbered events with a rolling hash, a pause, and roles
/// @author MediTrustAl
/// @notice What both registries share. See IChainedEvents for the rule of the chain.
/// @dev The head word is one slot: hash (200 bits) | seq (48) | flags (8), of which flag 1 is the pause. A heir reads
/// it once with `_openWord` or `_word`, changes its state, calls `_advance`, and emits at once.
abstract contract ChainedEvents is IChainedEvents, AccessControlDefaultAdminRules {
    /// @inheritdoc IChainedEvents
    bytes32 public constant PAUSER_ROLE = keccak256("PAUSER_ROLE");

    /// @inheritdoc IChainedEvents
    uint256 public constant VERSION = 1;

    /// @inheritdoc IChainedEvents
    address public constant PREDECESSOR = address(0);

    uint256 private constant _PAUSED = 1;
    uint256 private constant _SEQ_SHIFT = 8;

    uint256 private _headWord;

    constructor(uint48 adminDelay, address admin) AccessControlDefaultAdminRules(adminDelay, admin) {
        bytes32 first = keccak256(abi.encode(block.chainid, address(this), VERSION));
        _headWord = uint256(bytes32(bytes25(first)));
    }

    /// @inheritdoc IChainedEvents
    function setPaused(bool paused) external {
        _checkRole(paused ? PAUSER_ROLE : DEFAULT_ADMIN_ROLE);

        uint256 word = paused ? _headWord | _PAUSED : _headWord & ~_PAUSED;
        (uint48 seq, bytes25 next) = _advance(word, keccak256(abi.encode(PausedSet.selector, msg.sender, paused)));
        emit PausedSet(paused, msg.sender, seq, next);
    }

    /// @inheritdoc IChainedEvents
    function head() external view returns (bytes25, uint48, bool) {
        uint256 word = _headWord;
        return (bytes25(bytes32(word)), uint48(word >> _SEQ_SHIFT), word & _PAUSED != 0);
    }

    /// @dev Writes the next head word and returns what the event must carry.
    /// @param word The head word as it stands, with the flags it shall have.
    /// @param body The hash of the event: all topics, then all data but `seq` and `head`.
    function _advance(uint256 word, bytes32 body) internal returns (uint48 seq, bytes25 next) {
        seq = uint48(word >> _SEQ_SHIFT) + 1;
        next = bytes25(Hashes.efficientKeccak256(bytes25(bytes32(word)), body));
        _headWord = uint256(bytes32(next)) | uint256(seq) << _SEQ_SHIFT | word & 0xff;
    }

    /// @dev The head word, for what must work while paused.
    function _word() internal view returns (uint256) {
        return _headWord;
    }

    /// @dev The head word, for what must not work while paused.
    function _openWord() internal view returns (uint256 word) {
        word = _headWord;
        if (word & _PAUSED != 0) revert IsPaused();
    }
}
