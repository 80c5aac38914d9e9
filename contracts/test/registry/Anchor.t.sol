// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IChainedEvents} from "../../src/IChainedEvents.sol";
import {IMedicalRecordRegistry} from "../../src/IMedicalRecordRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {TwoCalls} from "./TwoCalls.sol";

contract AnchorTest is RegistryTest {
    function test_Anchor_RevertWhen_CallerIsNoRegistrar() external {
        _expectUnauthorized(stranger, REGISTRAR_ROLE);
        vm.prank(stranger);
        registry.anchor(LAB);
    }

    function test_Anchor_RevertWhen_CallerIsOnlySteward() external {
        _expectUnauthorized(steward, REGISTRAR_ROLE);
        vm.prank(steward);
        registry.anchor(LAB);
    }

    function test_Anchor_RevertWhen_CallerIsAdmin() external {
        _expectUnauthorized(admin, REGISTRAR_ROLE);
        vm.prank(admin);
        registry.anchor(LAB);
    }

    function test_Anchor_RevertWhen_Paused() external {
        _pause();

        vm.expectRevert(IChainedEvents.IsPaused.selector);
        _anchor(LAB);
    }

    function test_Anchor_RevertWhen_HashIsZero() external {
        vm.expectRevert(IMedicalRecordRegistry.ZeroHash.selector);
        _anchor(0);
    }

    function test_Anchor_RevertWhen_HashIsActive() external {
        _anchor(LAB);

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.AlreadyAnchored.selector, LAB));
        _anchor(LAB);
    }

    function test_Anchor_RevertWhen_HashIsClosed() external {
        _anchor(LAB);
        vm.prank(registrar);
        registry.close(LAB, IMedicalRecordRegistry.Status.Erased, 1);

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.AlreadyAnchored.selector, LAB));
        _anchor(LAB);
    }

    function test_Anchor_RevertWhen_ContractAnchorsTwiceInOneTransaction() external {
        TwoCalls contractRegistrar = _contractRegistrar();

        vm.expectRevert(IMedicalRecordRegistry.OnePerTransaction.selector);
        contractRegistrar.both(
            address(registry), abi.encodeCall(registry.anchor, (LAB)), abi.encodeCall(registry.anchor, (LAB_2))
        );
        _assertRecord(LAB, IMedicalRecordRegistry.Status.None, address(0), 0, 0);
    }

    /// @dev `tx.origin == msg.sender` holds in both calls: only the lock can tell.
    function test_Anchor_RevertWhen_DelegatedAccountAnchorsTwiceInOneTransaction() external {
        (address account, uint256 key) = makeAddrAndKey("a registrar with EIP-7702 code");
        vm.prank(admin);
        registry.grantRole(REGISTRAR_ROLE, account);
        vm.signAndAttachDelegation(address(new TwoCalls()), key);

        vm.expectRevert(IMedicalRecordRegistry.OnePerTransaction.selector);
        vm.prank(account, account);
        TwoCalls(account)
            .both(address(registry), abi.encodeCall(registry.anchor, (LAB)), abi.encodeCall(registry.anchor, (LAB_2)));
        assertGt(account.code.length, 0, "the account had no code");
    }

    function test_Anchor_RevertWhen_BatchCameFirstInThisTransaction() external {
        TwoCalls contractRegistrar = _contractRegistrar();

        vm.expectRevert(IMedicalRecordRegistry.OnePerTransaction.selector);
        contractRegistrar.both(
            address(registry),
            abi.encodeCall(registry.anchorBatch, (_one(LAB))),
            abi.encodeCall(registry.anchor, (LAB_2))
        );
    }

    function test_Anchor_WhenAFirstTryInThisTransactionReverted() external {
        TwoCalls contractRegistrar = _contractRegistrar();
        _anchor(LAB);

        contractRegistrar.firstMayFail(
            address(registry), abi.encodeCall(registry.anchor, (LAB)), abi.encodeCall(registry.anchor, (LAB_2))
        );

        _assertRecord(
            LAB_2,
            IMedicalRecordRegistry.Status.Active,
            address(contractRegistrar),
            vm.getBlockNumber(),
            vm.getBlockTimestamp()
        );
    }

    function test_Anchor_WhenTheNextTransactionAnchorsAgain() external {
        _anchor(LAB);
        _anchor(LAB_2);

        assertEq(registry.anchorOf(LAB_2).seq, registry.anchorOf(LAB).seq + 1);
    }

    function test_Anchor_StoresTheRecordAndSaysSo() external {
        (uint40 seq, bytes25 head) = _expectAnchored(LAB, 0, registrar);
        _anchor(LAB);

        _assertRecord(LAB, IMedicalRecordRegistry.Status.Active, registrar, vm.getBlockNumber(), vm.getBlockTimestamp());
        _assertHead(seq, head);
        _assertPaused(false);
        assertEq(registry.successorOf(LAB), 0);
        assertEq(registry.anchorOf(LAB).seq, seq);
    }

    function testFuzz_Anchor_StoresAnyRecordAtAnyTime(bytes32 recordHash, address by, uint48 number, uint40 time)
        external
    {
        vm.assume(recordHash != 0 && by != address(0));
        vm.prank(admin);
        registry.grantRole(REGISTRAR_ROLE, by);
        vm.roll(number);
        vm.warp(time);

        (uint40 seq, bytes25 head) = _expectAnchored(recordHash, 0, by);
        vm.prank(by);
        registry.anchor(recordHash);

        _assertRecord(recordHash, IMedicalRecordRegistry.Status.Active, by, number, time);
        _assertHead(seq, head);
    }

    function testFuzz_Anchor_RevertWhen_CallerHasNoRole(bytes32 recordHash, address caller) external {
        vm.assume(caller != registrar && caller != colleague);

        _expectUnauthorized(caller, REGISTRAR_ROLE);
        vm.prank(caller);
        registry.anchor(recordHash);
    }

    function _contractRegistrar() private returns (TwoCalls contractRegistrar) {
        contractRegistrar = new TwoCalls();
        vm.prank(admin);
        registry.grantRole(REGISTRAR_ROLE, address(contractRegistrar));
    }
}
