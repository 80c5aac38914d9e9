// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {ConsentHandler} from "./ConsentHandler.sol";

/// @notice What holds of the consent registry after any acts of anybody.
contract ConsentInvariantTest is Test {
    ConsentHandler private _handler;

    function setUp() external {
        _handler = new ConsentHandler();
        targetContract(address(_handler));
        bytes4[] memory acts = new bytes4[](5);
        acts[0] = _handler.grant.selector;
        acts[1] = _handler.withdraw.selector;
        acts[2] = _handler.replay.selector;
        acts[3] = _handler.setPaused.selector;
        acts[4] = _handler.passTime.selector;
        targetSelector(FuzzSelector(address(_handler), acts));
    }

    function afterInvariant() external view {
        _handler.assertKnown();
    }

    /// @notice The sequence has no gap and the head is that of all events. The handler itself insists that a consent
    /// only moves forward, by its patient alone, and that no signature works twice.
    function invariant_HeadIsThatOfAllEvents() external view {
        _handler.assertHead();
    }
}
