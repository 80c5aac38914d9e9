// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {IChainedEvents} from "../../src/IChainedEvents.sol";
import {IMedicalRecordRegistry} from "../../src/IMedicalRecordRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";

contract ViewsTest is RegistryTest {
    function test_AnchorOf_WhenUnknown() external view {
        _assertRecord(LAB, IMedicalRecordRegistry.Status.None, address(0), 0, 0);
    }

    function test_CurrentOf_WhenUnknown() external view {
        _assertCurrent(LAB, 10, LAB, true, IMedicalRecordRegistry.Status.None);
    }

    function test_CurrentOf_WhenNothingReplacedIt() external {
        _anchor(LAB);

        _assertCurrent(LAB, 0, LAB, true, IMedicalRecordRegistry.Status.Active);
        _assertCurrent(LAB, 10, LAB, true, IMedicalRecordRegistry.Status.Active);
    }

    function test_CurrentOf_WhenHopsRunOut() external {
        _chainOfThree();

        _assertCurrent(LAB, 0, LAB, false, IMedicalRecordRegistry.Status.Superseded);
        _assertCurrent(LAB, 1, LAB_2, false, IMedicalRecordRegistry.Status.Superseded);
    }

    function test_CurrentOf_WhenTheEndIsReached() external {
        _chainOfThree();

        _assertCurrent(LAB, 2, LAB_3, true, IMedicalRecordRegistry.Status.Active);
        _assertCurrent(LAB, type(uint256).max, LAB_3, true, IMedicalRecordRegistry.Status.Active);
        _assertCurrent(LAB_2, 1, LAB_3, true, IMedicalRecordRegistry.Status.Active);
    }

    function test_CurrentOf_WhenTheLastIsRevoked() external {
        _chainOfThree();
        vm.prank(registrar);
        registry.close(LAB_3, IMedicalRecordRegistry.Status.Revoked, 1);

        _assertCurrent(LAB, 2, LAB_3, true, IMedicalRecordRegistry.Status.Revoked);
    }

    function test_Views_WhenPaused() external {
        _chainOfThree();
        _pause();

        _assertCurrent(LAB, 2, LAB_3, true, IMedicalRecordRegistry.Status.Active);
        _assertRecord(
            LAB_3, IMedicalRecordRegistry.Status.Active, registrar, vm.getBlockNumber(), vm.getBlockTimestamp()
        );
        assertEq(registry.successorOf(LAB), LAB_2);
        (uint64 epoch, uint64 size, bytes32 root) = registry.latestCheckpoint();
        assertEq(epoch, 0);
        assertEq(size, 0);
        assertEq(root, 0);
        assertEq(registry.checkpointRoot(0, 0), 0);
    }

    function _chainOfThree() private {
        _anchor(LAB);
        vm.startPrank(registrar);
        registry.supersede(LAB, LAB_2);
        registry.supersede(LAB_2, LAB_3);
        vm.stopPrank();
    }

    function test_SupportsInterface_KnowsTheOwnAndThoseOfOpenZeppelin() external view {
        assertTrue(registry.supportsInterface(type(IERC165).interfaceId));
        assertTrue(registry.supportsInterface(type(IAccessControl).interfaceId));
        assertTrue(registry.supportsInterface(type(IChainedEvents).interfaceId));
        assertTrue(registry.supportsInterface(type(IMedicalRecordRegistry).interfaceId));
        assertFalse(registry.supportsInterface(0xffffffff));
    }

    function _assertCurrent(
        bytes32 from,
        uint256 maxHops,
        bytes32 head,
        bool complete,
        IMedicalRecordRegistry.Status status
    ) private view {
        (bytes32 actualHead, bool actualComplete, IMedicalRecordRegistry.Status actualStatus) =
            registry.currentOf(from, maxHops);
        assertEq(uint8(actualStatus), uint8(status), "status");
        assertEq(actualHead, head, "head");
        assertEq(actualComplete, complete, "complete");
    }
}
