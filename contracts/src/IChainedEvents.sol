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
///     head = bytes25(keccak256(head padded with zeros on the right to 32 bytes, body))
/// @dev RoleGranted and the other events of OpenZeppelin's access control are not part of the chain.
interface IChainedEvents {
    /// @notice The pause was switched. Said again, it is recorded again.
    /// @param paused Whether new entries are refused from now on.
    /// @param by The account that switched.
    /// @param seq The number of this event.
    /// @param head The rolling hash after this event.
    event PausedSet(bool paused, address indexed by, uint48 seq, bytes25 head);

    /// @notice Thrown by everything that adds an entry while the contract is paused.
    error IsPaused();

    /// @notice Stops new entries, or lets them in again. Never stops reading, closing or withdrawing.
    /// @dev Needs `PAUSER_ROLE` to stop and `DEFAULT_ADMIN_ROLE` to go on.
    /// @param paused Whether new entries are refused from now on.
    function setPaused(bool paused) external;

    /// @notice Where the chain of events stands.
    /// @dev All three live in one storage slot, so one storage proof ties the whole history to a block.
    /// @return head The rolling hash after the last event.
    /// @return seq How many events there have been.
    /// @return paused Whether new entries are refused.
    function head() external view returns (bytes25 head, uint48 seq, bool paused);

    /// @notice The role that may pause and nothing else.
    function PAUSER_ROLE() external view returns (bytes32);

    /// @notice The version of this contract, bound into the first head.
    function VERSION() external view returns (uint256);

    /// @notice The contract that this one continues, or zero. A constant of the code: it cannot change.
    function PREDECESSOR() external view returns (address);
}
