// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMedicalRecordRegistry} from "../../src/IMedicalRecordRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";

contract ViewsTest is RegistryTest {
    function test_AnchorOf_WhenUnknown() external view {
        _assertRecord(LAB, IMedicalRecordRegistry.Status.None, address(0), 0, 0);
    }

    function test_CurrentOf_WhenUnknown() external view {
        _assertCurrent(LAB, 10, LAB, true);
    }

    function test_CurrentOf_WhenNothingReplacedIt() external {
        _anchor(LAB);

        _assertCurrent(LAB, 0, LAB, true);
        _assertCurrent(LAB, 10, LAB, true);
    }

    function test_CurrentOf_WhenHopsRunOut() external {
        _chainOfThree();

        _assertCurrent(LAB, 0, LAB, false);
        _assertCurrent(LAB, 1, LAB_2, false);
    }

    function test_CurrentOf_WhenTheEndIsReached() external {
        _chainOfThree();

        _assertCurrent(LAB, 2, LAB_3, true);
        _assertCurrent(LAB, type(uint256).max, LAB_3, true);
        _assertCurrent(LAB_2, 1, LAB_3, true);
    }

    function test_CurrentOf_WhenTheLastIsRevoked() external {
        _chainOfThree();
        vm.prank(registrar);
        registry.close(LAB_3, IMedicalRecordRegistry.Status.Revoked, 1);

        _assertCurrent(LAB, 2, LAB_3, true);
    }

    function test_Views_WhenPaused() external {
        _chainOfThree();
        _pause();

        _assertCurrent(LAB, 2, LAB_3, true);
        _assertRecord(
            LAB_3, IMedicalRecordRegistry.Status.Active, registrar, vm.getBlockNumber(), vm.getBlockTimestamp()
        );
        assertEq(registry.successorOf(LAB), LAB_2);
        assertEq(registry.latestTreeSize(), 0);
        assertEq(registry.checkpointRoot(0), 0);
    }

    function _chainOfThree() private {
        _anchor(LAB);
        vm.startPrank(registrar);
        registry.supersede(LAB, LAB_2);
        registry.supersede(LAB_2, LAB_3);
        vm.stopPrank();
    }

    function _assertCurrent(bytes32 from, uint256 maxHops, bytes32 head, bool complete) private view {
        (bytes32 actualHead, bool actualComplete) = registry.currentOf(from, maxHops);
        assertEq(actualHead, head, "head");
        assertEq(actualComplete, complete, "complete");
    }
}
