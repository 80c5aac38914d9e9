// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMedicalRecordRegistry} from "../../src/IMedicalRecordRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";

/// @notice How many records registrars may end in a window.
contract LimitTest is RegistryTest {
    function test_SetEndingLimit_RevertWhen_CallerIsNotAdmin() external {
        _expectUnauthorized(steward, registry.DEFAULT_ADMIN_ROLE());
        vm.prank(steward);
        registry.setEndingLimit(registrar, 1);
    }

    function test_SetEndingLimit_RevertWhen_AccountNeverWasARegistrar() external {
        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.InvalidEndingLimit.selector, stranger, 1));
        _setLimit(stranger, 1);
    }

    function test_SetEndingLimit_RevertWhen_LimitIsTooLarge() external {
        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.InvalidEndingLimit.selector, registrar, 2048));
        _setLimit(registrar, 2048);
    }

    function test_SetEndingLimit_SetsItAndSaysSo() external {
        (uint40 seq, bytes25 head) = _next(
            abi.encode(
                keccak256("EndingLimitSet(address,address,uint16,uint40,bytes25)"), registrar, admin, uint16(2047)
            )
        );
        vm.expectEmit(address(registry));
        emit IMedicalRecordRegistry.EndingLimitSet(registrar, admin, 2047, seq, head);
        _setLimit(registrar, 2047);

        _assertHead(seq, head);
        _assertLimit(registrar, 2047, 2047);
        _assertLimit(colleague, 100, 100);
        // The account stays what it was.
        _anchor(LAB);
        assertEq(registry.anchorOf(LAB).registrar, registrar);
    }

    function test_SetEndingLimit_WhenItIsZeroNothingIsEnded() external {
        _setLimit(registrar, 0);
        _anchor(LAB);

        _expectLimitReached(0);
        _close(registrar, LAB);
    }

    function test_EndingLimit_IsSharedByAllRegistrars() external {
        _setLimit(registrar, 3);
        _setLimit(colleague, 3);
        _close(registrar, _anchorBy(registrar, 1));
        _close(colleague, _anchorBy(colleague, 2));
        _close(registrar, _anchorBy(registrar, 3));
        bytes32 next = _anchorBy(colleague, 4);

        _expectLimitReached(3);
        _close(colleague, next);
        _assertLimit(colleague, 3, 0);
    }

    function test_EndingLimit_DoesNotCountStewards() external {
        _setLimit(registrar, 1);
        for (uint256 i; i < 5; ++i) {
            _close(steward, _anchorBy(registrar, i));
        }

        _assertLimit(registrar, 1, 1);
        _close(registrar, _anchorBy(registrar, 9));
        _assertEnded(keccak256(abi.encode(9)), registrar, true, vm.getBlockTimestamp(), 1);
    }

    function test_EndingLimit_BeginsAnewWithTheNextWindow() external {
        _setLimit(registrar, 1);
        vm.warp(vm.getBlockTimestamp() / 1 hours * 1 hours + 1 hours - 1);
        _close(registrar, _anchorBy(registrar, 1));
        bytes32 next = _anchorBy(registrar, 2);
        _expectLimitReached(1);
        _close(registrar, next);

        vm.warp(vm.getBlockTimestamp() + 1);
        _close(registrar, next);

        _assertLimit(registrar, 1, 0);
    }

    /// @dev The window is known modulo 16: an old count can only make the limit smaller.
    function test_EndingLimit_WhenTheCountIsSixteenWindowsOld() external {
        _setLimit(registrar, 1);
        _close(registrar, _anchorBy(registrar, 1));

        vm.warp(vm.getBlockTimestamp() + 16 hours);

        _assertLimit(registrar, 1, 0);
        vm.warp(vm.getBlockTimestamp() + 1 hours);
        _assertLimit(registrar, 1, 1);
    }

    function test_EndingLimit_IsKeptByWhoLosesTheRoleAndGetsItBack() external {
        _setLimit(registrar, 7);
        vm.startPrank(admin);
        registry.revokeRole(REGISTRAR_ROLE, registrar);
        _assertLimit(registrar, 7, 0);
        registry.grantRole(REGISTRAR_ROLE, registrar);
        vm.stopPrank();

        _assertLimit(registrar, 7, 7);
    }

    function test_EndingLimitOf_WhenTheAccountIsUnknown() external view {
        _assertLimit(stranger, 0, 0);
    }

    /// @dev As many as the limit, never one more, whoever of the registrars tries, in whatever way.
    function testFuzz_EndingLimit_HoldsWithinOneWindow(uint256 seed, uint16 limit) external {
        limit = uint16(bound(limit, 0, 12));
        _setLimit(registrar, limit);
        _setLimit(colleague, limit);
        vm.warp(vm.getBlockTimestamp() / 1 hours * 1 hours);
        uint256 ended;

        for (uint256 i; i < 20; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            address by = seed % 2 == 0 ? registrar : colleague;
            bytes32 recordHash = _anchorBy(by, i);
            vm.warp(vm.getBlockTimestamp() + seed % 180);
            vm.prank(by);
            (bool ok,) = address(registry)
                .call(
                    seed % 3 == 0
                        ? abi.encodeCall(registry.supersede, (recordHash, keccak256(abi.encode(seed))))
                        : abi.encodeCall(registry.close, (recordHash, IMedicalRecordRegistry.Status.Revoked, 1))
                );
            if (ok) ++ended;
        }

        assertEq(ended, limit);
    }

    function _anchorBy(address by, uint256 number) private returns (bytes32 recordHash) {
        recordHash = keccak256(abi.encode(number));
        vm.prank(by);
        registry.anchor(recordHash);
    }

    function _close(address by, bytes32 recordHash) private {
        vm.prank(by);
        registry.close(recordHash, IMedicalRecordRegistry.Status.Revoked, 1);
    }

    function _setLimit(address account, uint16 limit) private {
        vm.prank(admin);
        registry.setEndingLimit(account, limit);
    }

    function _expectLimitReached(uint16 limit) private {
        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.EndingLimitReached.selector, limit));
    }

    function _assertLimit(address account, uint16 limit, uint16 left) private view {
        (uint16 actual, uint16 actualLeft) = registry.endingLimitOf(account);
        assertEq(actual, limit, "limit");
        assertEq(actualLeft, left, "left");
    }
}
