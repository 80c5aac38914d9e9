// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title A contract whose events are numbered and hashed into one another
/// @author MediTrustAl
/// @notice Every event that changes state ends in `seq` and `head`. `seq` has no gaps; `head` commits to every
/// event so far, in order. A reader who recomputes both notices a log that a node dropped, swapped or forged.
///
/// The first head is `bytes25(keccak256(abi.encode(block.chainid, address(this), VERSION)))`, with `seq` 0. An
/// event then moves it with one rule for all events:
///
///     body = keccak256(every topic, topic 0 included, then the data without its last two words)
///     head = bytes25(keccak256(head (25 bytes), the last 7 bytes of the chain id, body (32 bytes)))
///
/// The chain id is read anew for each event, so that the two sides of a fork part at once.
/// @dev Each change of a role or of the admin emits an event of OpenZeppelin, which is not part of the chain, and an
/// event of this interface, which is.
interface IChainedEvents {
    /// @notice What happened to the admin's role, beyond being granted and revoked.
    /// @custom:variant TransferBegun Another account may accept the role once the delay has passed.
    /// @custom:variant TransferCancelled It may not any more.
    /// @custom:variant DelayChangeBegun Another delay holds once this one has passed.
    /// @custom:variant DelayChangeCancelled It will not.
    enum AdminStep {
        TransferBegun,
        TransferCancelled,
        DelayChangeBegun,
        DelayChangeCancelled
    }

    /// @notice The pause was switched. Said again, it is recorded again.
    /// @param paused Whether new entries are refused from now on.
    /// @param by The account that switched.
    /// @param seq The number of this event.
    /// @param head The rolling hash after this event.
    event PausedSet(bool paused, address indexed by, uint40 seq, bytes25 head);

    /// @notice An account was given a role or lost it. The first event of a contract names its first admin.
    /// @param role The role.
    /// @param account The account.
    /// @param by The account that changed it.
    /// @param granted Whether the account has the role from now on.
    /// @param seq The number of this event.
    /// @param head The rolling hash after this event.
    event RoleChanged(
        bytes32 indexed role, address indexed account, address indexed by, bool granted, uint40 seq, bytes25 head
    );

    /// @notice A step towards another admin or another delay was taken or taken back.
    /// @param step Which.
    /// @param account The admin to come, or zero for a step about the delay.
    /// @param by The account that took the step.
    /// @param delay The delay to come, or zero for a step about the admin. Unit: seconds.
    /// @param schedule From when on it can be accepted or holds, or zero where it was taken back. Unit: seconds since 1970.
    /// @param seq The number of this event.
    /// @param head The rolling hash after this event.
    event AdminStepTaken(
        AdminStep indexed step,
        address indexed account,
        address indexed by,
        uint48 delay,
        uint48 schedule,
        uint40 seq,
        bytes25 head
    );

    /// @notice Thrown by everything that adds an entry while the contract is paused.
    error IsPaused();

    /// @notice Stops new entries, or lets them in again. Never stops reading, or what the holder of a cold key repairs.
    /// @dev Needs `PAUSER_ROLE` to stop and `DEFAULT_ADMIN_ROLE` to go on.
    /// @param paused Whether new entries are refused from now on.
    function setPaused(bool paused) external;

    /// @notice Where the chain of events stands.
    /// @dev All three live in one storage slot, so one storage proof ties the whole history to a block.
    /// @return head The rolling hash after the last event.
    /// @return seq How many events there have been.
    /// @return paused Whether new entries are refused.
    function head() external view returns (bytes25 head, uint40 seq, bool paused);

    /// @notice The role that may pause and nothing else.
    /// @return role The role's id.
    function PAUSER_ROLE() external view returns (bytes32 role);

    /// @notice The version of this contract, bound into the first head.
    /// @return version The version.
    function VERSION() external view returns (uint256 version);

    /// @notice The contract that this one continues. A constant of the code: it cannot change.
    /// @return predecessor Its address, or zero.
    function PREDECESSOR() external view returns (address predecessor);
}
