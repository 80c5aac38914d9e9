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
/// @dev The head word is one slot: hash (200 bits) | seq (40) | flags (16), of which flag 1 is the pause and the others
/// are the heir's. A heir reads it once with `_openWord` or `_word`, changes its state, calls `_advance`, and emits at
/// once.
abstract contract ChainedEvents is IChainedEvents, AccessControlDefaultAdminRules {
    /// @inheritdoc IChainedEvents
    bytes32 public constant PAUSER_ROLE = keccak256("PAUSER_ROLE");

    /// @inheritdoc IChainedEvents
    uint256 public constant VERSION = 2;

    /// @inheritdoc IChainedEvents
    address public constant PREDECESSOR = address(0);

    /// @dev The flag of the pause.
    uint256 internal constant _PAUSED = 1;

    /// @dev All flags.
    uint256 private constant _FLAGS = 0xffff;

    /// @dev Where the number of the last event stands in the head word.
    uint256 private constant _SEQ_SHIFT = 16;

    /// @dev The head word.
    uint256 private _headWord;

    /// @param adminDelay How long the two steps that change the admin take. Unit: seconds.
    /// @param admin The first admin, whom the first event names.
    constructor(uint48 adminDelay, address admin) AccessControlDefaultAdminRules(adminDelay, admin) {
        bytes32 first = keccak256(abi.encode(block.chainid, address(this), VERSION));
        _headWord = uint256(bytes32(bytes25(first)));
        _tellRole(DEFAULT_ADMIN_ROLE, admin, true);
    }

    /// @inheritdoc IChainedEvents
    function setPaused(bool paused) external {
        _checkRole(paused ? PAUSER_ROLE : DEFAULT_ADMIN_ROLE);

        uint256 word = paused ? _headWord | _PAUSED : _headWord & ~_PAUSED;
        (uint40 seq, bytes25 next) = _advance(word, keccak256(abi.encode(PausedSet.selector, msg.sender, paused)));
        emit PausedSet(paused, msg.sender, seq, next);
    }

    /// @inheritdoc IChainedEvents
    function head() external view returns (bytes25, uint40, bool) {
        uint256 word = _headWord;
        return (bytes25(bytes32(word)), uint40(word >> _SEQ_SHIFT), word & _PAUSED != 0);
    }

    /// @notice Whether the contract has an interface, by ERC-165.
    /// @param interfaceId The interface's id.
    /// @return supported Whether it has it.
    function supportsInterface(bytes4 interfaceId) public view virtual override returns (bool supported) {
        return interfaceId == type(IChainedEvents).interfaceId || super.supportsInterface(interfaceId);
    }

    /// @dev Writes the next head word and returns what the event must carry.
    /// @param word The head word as it stands, with the flags it shall have.
    /// @param body The hash of the event: all topics, then all data but `seq` and `head`.
    /// @return seq The number of the event. The last one that fits its 40 bits is the last event there can be.
    /// @return next The head after the event.
    function _advance(uint256 word, bytes32 body) internal returns (uint40 seq, bytes25 next) {
        seq = uint40(word >> _SEQ_SHIFT) + 1;
        bytes32 last = bytes32(bytes25(bytes32(word))) | bytes32(uint256(uint56(block.chainid)));
        next = bytes25(Hashes.efficientKeccak256(last, body));
        _headWord = uint256(bytes32(next)) | uint256(seq) << _SEQ_SHIFT | word & _FLAGS;
    }

    /// @dev The head word, for what must work while paused.
    /// @return word The head word.
    function _word() internal view returns (uint256 word) {
        return _headWord;
    }

    /// @dev The head word, for what must not work while paused.
    /// @return word The head word.
    function _openWord() internal view returns (uint256 word) {
        word = _headWord;
        if (word & _PAUSED != 0) revert IsPaused();
    }

    /// @dev Also called before there is a head: the constructor tells of the first admin itself.
    /// @param role The role.
    /// @param account Who gets it.
    /// @return granted Whether the account did not have it.
    function _grantRole(bytes32 role, address account) internal virtual override returns (bool granted) {
        granted = super._grantRole(role, account);
        if (granted && _headWord != 0) _tellRole(role, account, true);
    }

    /// @dev Tells of it in the chain of events.
    /// @param role The role.
    /// @param account Who loses it.
    /// @return revoked Whether the account had it.
    function _revokeRole(bytes32 role, address account) internal virtual override returns (bool revoked) {
        revoked = super._revokeRole(role, account);
        if (revoked) _tellRole(role, account, false);
    }

    /// @dev Tells of it in the chain of events.
    /// @param newAdmin Who may accept the role.
    function _beginDefaultAdminTransfer(address newAdmin) internal override {
        super._beginDefaultAdminTransfer(newAdmin);
        (, uint48 schedule) = pendingDefaultAdmin();
        _tellStep(AdminStep.TransferBegun, newAdmin, 0, schedule);
    }

    /// @dev Tells of it in the chain of events.
    function _cancelDefaultAdminTransfer() internal override {
        super._cancelDefaultAdminTransfer();
        _tellStep(AdminStep.TransferCancelled, address(0), 0, 0);
    }

    /// @dev Tells of it in the chain of events.
    /// @param newDelay The delay to come. Unit: seconds.
    function _changeDefaultAdminDelay(uint48 newDelay) internal override {
        super._changeDefaultAdminDelay(newDelay);
        (, uint48 schedule) = pendingDefaultAdminDelay();
        _tellStep(AdminStep.DelayChangeBegun, address(0), newDelay, schedule);
    }

    /// @dev Tells of it in the chain of events.
    function _rollbackDefaultAdminDelay() internal override {
        super._rollbackDefaultAdminDelay();
        _tellStep(AdminStep.DelayChangeCancelled, address(0), 0, 0);
    }

    /// @dev Tells in the chain of events that an account was given a role or lost it.
    /// @param role The role.
    /// @param account The account.
    /// @param granted Whether it has the role from now on.
    function _tellRole(bytes32 role, address account, bool granted) private {
        (uint40 seq, bytes25 next) =
            _advance(_headWord, keccak256(abi.encode(RoleChanged.selector, role, account, msg.sender, granted)));
        emit RoleChanged(role, account, msg.sender, granted, seq, next);
    }

    /// @dev Tells in the chain of events of a step towards another admin or another delay.
    /// @param step The step.
    /// @param account The admin to come, or zero.
    /// @param delay The delay to come, or zero. Unit: seconds.
    /// @param schedule From when on it holds, or zero. Unit: seconds since 1970.
    function _tellStep(AdminStep step, address account, uint48 delay, uint48 schedule) private {
        bytes memory said = abi.encode(AdminStepTaken.selector, step, account, msg.sender, delay, schedule);
        (uint40 seq, bytes25 next) = _advance(_headWord, keccak256(said));
        emit AdminStepTaken(step, account, msg.sender, delay, schedule, seq, next);
    }
}
