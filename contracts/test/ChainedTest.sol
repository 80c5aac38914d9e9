// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Test} from "forge-std/Test.sol";
import {IChainedEvents} from "../src/IChainedEvents.sol";

/// @notice What the tests of both registries share: the people, and the rule of the chain written a second time.
abstract contract ChainedTest is Test {
    address internal immutable admin = makeAddr("admin");
    address internal immutable pauser = makeAddr("pauser");
    address internal immutable stranger = makeAddr("stranger");

    /// @dev The contract under test.
    function _chain() internal view virtual returns (IChainedEvents);

    /// @dev The head and number that the next event must carry, if these are its topics and its own data.
    function _next(bytes memory topicsAndData) internal view returns (uint40, bytes25) {
        (bytes25 head, uint40 seq,) = _chain().head();
        return
            (seq + 1, bytes25(keccak256(bytes.concat(head, bytes7(uint56(block.chainid)), keccak256(topicsAndData)))));
    }

    function _assertHead(uint40 seq, bytes25 head) internal view {
        (bytes25 actualHead, uint40 actualSeq,) = _chain().head();
        assertEq(actualSeq, seq, "seq");
        assertEq(actualHead, head, "head");
    }

    function _assertPaused(bool paused) internal view {
        (,, bool actual) = _chain().head();
        assertEq(actual, paused, "paused");
    }

    function _pause() internal {
        vm.prank(pauser);
        _chain().setPaused(true);
    }

    function _expectUnauthorized(address account, bytes32 role) internal {
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, account, role));
    }

    function _word(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }
}
