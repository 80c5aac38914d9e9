// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IChainedEvents} from "../../src/IChainedEvents.sol";
import {IMedicalRecordRegistry} from "../../src/IMedicalRecordRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {TwoCalls} from "./TwoCalls.sol";

contract CloseTest is RegistryTest {
    uint256 private _number;
    uint256 private _time;

    function setUp() public override {
        super.setUp();
        _anchor(LAB);
        (_number, _time) = (vm.getBlockNumber(), vm.getBlockTimestamp());
        vm.roll(_number + 7);
        vm.warp(_time + 84);
    }

    function test_Close_RevertWhen_StatusIsNone() external {
        _expectNotClosing(IMedicalRecordRegistry.Status.None);
        _close(registrar, LAB, IMedicalRecordRegistry.Status.None, 1);
    }

    function test_Close_RevertWhen_StatusIsActive() external {
        _expectNotClosing(IMedicalRecordRegistry.Status.Active);
        _close(registrar, LAB, IMedicalRecordRegistry.Status.Active, 1);
    }

    function test_Close_RevertWhen_StatusIsSuperseded() external {
        _expectNotClosing(IMedicalRecordRegistry.Status.Superseded);
        _close(registrar, LAB, IMedicalRecordRegistry.Status.Superseded, 1);
    }

    function test_Close_RevertWhen_ReasonIsZero() external {
        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.InvalidReason.selector, 0));
        _close(registrar, LAB, IMedicalRecordRegistry.Status.Revoked, 0);
    }

    function test_Close_RevertWhen_RecordIsUnknown() external {
        _expectNotActive(LAB_2, IMedicalRecordRegistry.Status.None);
        _close(steward, LAB_2, IMedicalRecordRegistry.Status.Revoked, 1);
    }

    function test_Close_RevertWhen_RecordIsSuperseded() external {
        vm.prank(registrar);
        registry.supersede(LAB, LAB_2);

        _expectNotActive(LAB, IMedicalRecordRegistry.Status.Superseded);
        _close(registrar, LAB, IMedicalRecordRegistry.Status.Revoked, 1);
    }

    function test_Close_RevertWhen_RecordIsRevoked() external {
        _close(registrar, LAB, IMedicalRecordRegistry.Status.Revoked, 1);

        _expectNotActive(LAB, IMedicalRecordRegistry.Status.Revoked);
        _close(steward, LAB, IMedicalRecordRegistry.Status.Erased, 1);
    }

    function test_Close_RevertWhen_RecordIsErased() external {
        _close(registrar, LAB, IMedicalRecordRegistry.Status.Erased, 1);

        _expectNotActive(LAB, IMedicalRecordRegistry.Status.Erased);
        _close(steward, LAB, IMedicalRecordRegistry.Status.Revoked, 1);
    }

    function test_Close_RevertWhen_CallerIsStranger() external {
        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.NotAnchorOwner.selector, LAB, stranger));
        _close(stranger, LAB, IMedicalRecordRegistry.Status.Revoked, 1);
    }

    function test_Close_RevertWhen_CallerIsAnotherRegistrar() external {
        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.NotAnchorOwner.selector, LAB, colleague));
        _close(colleague, LAB, IMedicalRecordRegistry.Status.Revoked, 1);
    }

    /// @dev What nobody's registrar left behind is the stewards' alone.
    function test_Close_RevertWhen_OwnerIsGoneAndAnotherRegistrarCalls() external {
        vm.prank(admin);
        registry.revokeRole(REGISTRAR_ROLE, registrar);

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.NotAnchorOwner.selector, LAB, colleague));
        _close(colleague, LAB, IMedicalRecordRegistry.Status.Revoked, 1);

        _close(steward, LAB, IMedicalRecordRegistry.Status.Revoked, 1);
    }

    function test_Close_RevertWhen_StewardHasLostTheRole() external {
        vm.startPrank(admin);
        registry.grantRole(REGISTRAR_ROLE, steward);
        registry.revokeRole(STEWARD_ROLE, steward);
        vm.stopPrank();

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.NotAnchorOwner.selector, LAB, steward));
        _close(steward, LAB, IMedicalRecordRegistry.Status.Revoked, 1);
    }

    function test_Close_RevertWhen_OwnerIsNoRegistrarAnyMore() external {
        vm.prank(admin);
        registry.revokeRole(REGISTRAR_ROLE, registrar);

        _expectUnauthorized(registrar, REGISTRAR_ROLE);
        _close(registrar, LAB, IMedicalRecordRegistry.Status.Revoked, 1);
    }

    function test_Close_RevokesForTheRegistrar() external {
        (uint40 seq, bytes25 head) = _expectClosed(LAB, IMedicalRecordRegistry.Status.Revoked, registrar, 1);
        _close(registrar, LAB, IMedicalRecordRegistry.Status.Revoked, 1);

        _assertRecord(LAB, IMedicalRecordRegistry.Status.Revoked, registrar, _number, _time);
        _assertEnded(LAB, registrar, true, _time + 84, 1);
        _assertHead(seq, head);
    }

    function test_Close_ErasesForTheRegistrar() external {
        (uint40 seq, bytes25 head) = _expectClosed(LAB, IMedicalRecordRegistry.Status.Erased, registrar, 255);
        _close(registrar, LAB, IMedicalRecordRegistry.Status.Erased, 255);

        _assertRecord(LAB, IMedicalRecordRegistry.Status.Erased, registrar, _number, _time);
        _assertEnded(LAB, registrar, true, _time + 84, 255);
        _assertHead(seq, head);
    }

    function test_Close_WhenCallerIsSteward() external {
        (uint40 seq, bytes25 head) = _expectClosed(LAB, IMedicalRecordRegistry.Status.Revoked, steward, 2);
        _close(steward, LAB, IMedicalRecordRegistry.Status.Revoked, 2);

        _assertRecord(LAB, IMedicalRecordRegistry.Status.Revoked, registrar, _number, _time);
        _assertEnded(LAB, steward, false, _time + 84, 2);
        _assertHead(seq, head);
    }

    function test_Close_WhenOwnerIsStewardAndNoRegistrar() external {
        vm.startPrank(admin);
        registry.revokeRole(REGISTRAR_ROLE, registrar);
        registry.grantRole(STEWARD_ROLE, registrar);
        vm.stopPrank();

        _close(registrar, LAB, IMedicalRecordRegistry.Status.Revoked, 1);

        _assertRecord(LAB, IMedicalRecordRegistry.Status.Revoked, registrar, _number, _time);
    }

    function test_Close_RevertWhen_RegistrarCallsWhilePaused() external {
        _pause();

        vm.expectRevert(IChainedEvents.IsPaused.selector);
        _close(registrar, LAB, IMedicalRecordRegistry.Status.Erased, 1);
    }

    function test_Close_RevertWhen_TheLimitIsReached() external {
        _anchor(LAB_2);
        vm.prank(admin);
        registry.setEndingLimit(registrar, 1);
        _close(registrar, LAB, IMedicalRecordRegistry.Status.Revoked, 1);

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.EndingLimitReached.selector, 1));
        _close(registrar, LAB_2, IMedicalRecordRegistry.Status.Revoked, 1);
    }

    function test_Close_WhenStewardCallsWhilePaused() external {
        _pause();

        (uint40 seq, bytes25 head) = _expectClosed(LAB, IMedicalRecordRegistry.Status.Erased, steward, 1);
        _close(steward, LAB, IMedicalRecordRegistry.Status.Erased, 1);

        _assertRecord(LAB, IMedicalRecordRegistry.Status.Erased, registrar, _number, _time);
        _assertHead(seq, head);
        _assertPaused(true);
    }

    function test_Close_WhenTwoAreClosedInOneTransaction() external {
        _anchor(LAB_2);
        TwoCalls contractSteward = new TwoCalls();
        vm.prank(admin);
        registry.grantRole(STEWARD_ROLE, address(contractSteward));

        contractSteward.both(
            address(registry),
            abi.encodeCall(registry.close, (LAB, IMedicalRecordRegistry.Status.Revoked, 1)),
            abi.encodeCall(registry.close, (LAB_2, IMedicalRecordRegistry.Status.Revoked, 1))
        );

        _assertRecord(LAB, IMedicalRecordRegistry.Status.Revoked, registrar, _number, _time);
        _assertRecord(LAB_2, IMedicalRecordRegistry.Status.Revoked, registrar, _number + 7, _time + 84);
    }

    function testFuzz_Close_TakesAnyReasonButZero(bytes32 recordHash, uint8 reason, bool erase) external {
        vm.assume(recordHash != 0 && recordHash != LAB && reason != 0);
        _anchor(recordHash);
        IMedicalRecordRegistry.Status to =
            erase ? IMedicalRecordRegistry.Status.Erased : IMedicalRecordRegistry.Status.Revoked;

        (uint40 seq, bytes25 head) = _expectClosed(recordHash, to, registrar, reason);
        _close(registrar, recordHash, to, reason);

        _assertHead(seq, head);
    }

    function testFuzz_Close_RevertWhen_CallerIsAnybodyElse(address caller) external {
        vm.assume(caller != registrar && caller != steward);

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.NotAnchorOwner.selector, LAB, caller));
        _close(caller, LAB, IMedicalRecordRegistry.Status.Revoked, 1);
    }

    function _close(address by, bytes32 recordHash, IMedicalRecordRegistry.Status to, uint8 reason) private {
        vm.prank(by);
        registry.close(recordHash, to, reason);
    }

    function _expectNotClosing(IMedicalRecordRegistry.Status status) private {
        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.NotClosing.selector, status));
    }

    function _expectNotActive(bytes32 recordHash, IMedicalRecordRegistry.Status status) private {
        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.NotActive.selector, recordHash, status));
    }
}
