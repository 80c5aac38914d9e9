// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IChainedEvents} from "../../src/IChainedEvents.sol";
import {IMedicalRecordRegistry} from "../../src/IMedicalRecordRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {TwoCalls} from "./TwoCalls.sol";

contract SupersedeTest is RegistryTest {
    uint256 private _number;
    uint256 private _time;

    function setUp() public override {
        super.setUp();
        _anchor(LAB);
        (_number, _time) = (vm.getBlockNumber(), vm.getBlockTimestamp());
        vm.roll(_number + 7);
        vm.warp(_time + 84);
    }

    function test_Supersede_RevertWhen_OldHashIsUnknown() external {
        _expectNotActive(LAB_2, IMedicalRecordRegistry.Status.None);
        _supersede(registrar, LAB_2, LAB_3);
    }

    function test_Supersede_RevertWhen_OldHashIsSuperseded() external {
        _supersede(registrar, LAB, LAB_2);

        _expectNotActive(LAB, IMedicalRecordRegistry.Status.Superseded);
        _supersede(registrar, LAB, LAB_3);
    }

    function test_Supersede_RevertWhen_OldHashIsRevoked() external {
        vm.prank(registrar);
        registry.close(LAB, IMedicalRecordRegistry.Status.Revoked, 1);

        _expectNotActive(LAB, IMedicalRecordRegistry.Status.Revoked);
        _supersede(steward, LAB, LAB_2);
    }

    function test_Supersede_RevertWhen_OldHashIsErased() external {
        vm.prank(registrar);
        registry.close(LAB, IMedicalRecordRegistry.Status.Erased, 1);

        _expectNotActive(LAB, IMedicalRecordRegistry.Status.Erased);
        _supersede(steward, LAB, LAB_2);
    }

    function test_Supersede_RevertWhen_CallerIsStranger() external {
        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.NotAnchorOwner.selector, LAB, stranger));
        _supersede(stranger, LAB, LAB_2);
    }

    function test_Supersede_RevertWhen_CallerIsAnotherRegistrar() external {
        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.NotAnchorOwner.selector, LAB, colleague));
        _supersede(colleague, LAB, LAB_2);
    }

    /// @dev What nobody's registrar left behind is the stewards' alone.
    function test_Supersede_RevertWhen_OwnerIsGoneAndAnotherRegistrarCalls() external {
        vm.prank(admin);
        registry.revokeRole(REGISTRAR_ROLE, registrar);

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.NotAnchorOwner.selector, LAB, colleague));
        _supersede(colleague, LAB, LAB_2);

        _supersede(steward, LAB, LAB_2);
    }

    function test_Supersede_RevertWhen_StewardHasLostTheRole() external {
        vm.startPrank(admin);
        registry.grantRole(REGISTRAR_ROLE, steward);
        registry.revokeRole(STEWARD_ROLE, steward);
        vm.stopPrank();

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.NotAnchorOwner.selector, LAB, steward));
        _supersede(steward, LAB, LAB_2);
    }

    function test_Supersede_RevertWhen_OwnerIsNoRegistrarAnyMore() external {
        vm.prank(admin);
        registry.revokeRole(REGISTRAR_ROLE, registrar);

        _expectUnauthorized(registrar, REGISTRAR_ROLE);
        _supersede(registrar, LAB, LAB_2);
    }

    function test_Supersede_RevertWhen_RegistrarCallsWhilePaused() external {
        _pause();

        vm.expectRevert(IChainedEvents.IsPaused.selector);
        _supersede(registrar, LAB, LAB_2);
    }

    function test_Supersede_WhenStewardCallsWhilePaused() external {
        _pause();

        _supersede(steward, LAB, LAB_2);

        _assertEnded(LAB, steward, false, _time + 84, 0);
        _assertPaused(true);
    }

    function test_Supersede_RevertWhen_TheLimitIsReached() external {
        vm.prank(admin);
        registry.setEndingLimit(registrar, 1);
        _supersede(registrar, LAB, LAB_2);

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.EndingLimitReached.selector, 1));
        _supersede(registrar, LAB_2, LAB_3);
    }

    function test_Supersede_RevertWhen_NewHashIsOldHash() external {
        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.SelfSupersede.selector, LAB));
        _supersede(registrar, LAB, LAB);
    }

    function test_Supersede_RevertWhen_NewHashIsZero() external {
        vm.expectRevert(IMedicalRecordRegistry.ZeroHash.selector);
        _supersede(registrar, LAB, 0);
    }

    function test_Supersede_RevertWhen_NewHashIsAnchored() external {
        _anchor(LAB_2);

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.AlreadyAnchored.selector, LAB_2));
        _supersede(registrar, LAB, LAB_2);
    }

    function test_Supersede_RevertWhen_ARecordWasAnchoredInThisTransaction() external {
        TwoCalls contractRegistrar = new TwoCalls();
        vm.prank(admin);
        registry.grantRole(REGISTRAR_ROLE, address(contractRegistrar));

        vm.expectRevert(IMedicalRecordRegistry.OnePerTransaction.selector);
        contractRegistrar.both(
            address(registry),
            abi.encodeCall(registry.anchor, (LAB_2)),
            abi.encodeCall(registry.supersede, (LAB_2, LAB_3))
        );
    }

    function test_Supersede_WhenCallerIsTheRegistrar() external {
        (uint40 seq, bytes25 head) = _expectAnchored(LAB_2, LAB, registrar);
        _supersede(registrar, LAB, LAB_2);

        // The old record keeps its registrar, its block and its time.
        _assertRecord(LAB, IMedicalRecordRegistry.Status.Superseded, registrar, _number, _time);
        _assertEnded(LAB, registrar, true, _time + 84, 0);
        _assertRecord(LAB_2, IMedicalRecordRegistry.Status.Active, registrar, _number + 7, _time + 84);
        assertEq(registry.successorOf(LAB), LAB_2);
        assertEq(registry.successorOf(LAB_2), 0);
        _assertHead(seq, head);
    }

    function test_Supersede_WhenCallerIsSteward() external {
        (uint40 seq, bytes25 head) = _expectAnchored(LAB_2, LAB, steward);
        _supersede(steward, LAB, LAB_2);

        _assertRecord(LAB, IMedicalRecordRegistry.Status.Superseded, registrar, _number, _time);
        _assertEnded(LAB, steward, false, _time + 84, 0);
        _assertRecord(LAB_2, IMedicalRecordRegistry.Status.Active, steward, _number + 7, _time + 84);
        _assertHead(seq, head);
    }

    function test_Supersede_WhenStewardOwnsTheRecord() external {
        _supersede(steward, LAB, LAB_2);
        _supersede(steward, LAB_2, LAB_3);

        _assertRecord(LAB_3, IMedicalRecordRegistry.Status.Active, steward, _number + 7, _time + 84);
    }

    function testFuzz_Supersede_LinksAChainOfAnyLength(uint256 seed, uint256 length) external {
        bytes32 last = LAB;
        for (uint256 i; i < bound(length, 0, 12); ++i) {
            bytes32 next = keccak256(abi.encode(seed, i));
            _supersede(steward, last, next);
            last = next;
        }

        (bytes32 current, bool complete, IMedicalRecordRegistry.Status status) = registry.currentOf(LAB, 12);
        assertEq(current, last);
        assertTrue(complete);
        assertEq(uint8(status), uint8(IMedicalRecordRegistry.Status.Active));
    }

    function _supersede(address by, bytes32 oldHash, bytes32 newHash) private {
        vm.prank(by);
        registry.supersede(oldHash, newHash);
    }

    function _expectNotActive(bytes32 recordHash, IMedicalRecordRegistry.Status status) private {
        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.NotActive.selector, recordHash, status));
    }
}
