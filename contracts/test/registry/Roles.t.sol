// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    IAccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/IAccessControlDefaultAdminRules.sol";
import {stdError} from "forge-std/StdError.sol";
import {IMedicalRecordRegistry} from "../../src/IMedicalRecordRegistry.sol";
import {MedicalRecordRegistry} from "../../src/MedicalRecordRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";

/// @notice What holds of the constructor and the roles. OpenZeppelin proves the rules of its own; here is what we
/// rely on and could lose by wiring it wrongly.
contract RolesTest is RegistryTest {
    function test_Constructor_RevertWhen_AdminIsZero() external {
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControlDefaultAdminRules.AccessControlInvalidDefaultAdmin.selector, address(0)
            )
        );
        new MedicalRecordRegistry(1 days, address(0));
    }

    function test_Constructor_SetsAdminAndDelayAndNothingElse() external {
        MedicalRecordRegistry fresh = new MedicalRecordRegistry(3 days, steward);

        assertEq(fresh.defaultAdmin(), steward);
        assertEq(fresh.owner(), steward);
        assertEq(fresh.defaultAdminDelay(), 3 days);
        assertFalse(fresh.hasRole(REGISTRAR_ROLE, steward));
        assertFalse(fresh.hasRole(STEWARD_ROLE, steward));
        assertFalse(fresh.hasRole(CHECKPOINT_ROLE, steward));
        assertFalse(fresh.hasRole(PAUSER_ROLE, steward));
        assertEq(fresh.latestTreeSize(), 0);
    }

    function test_Constructor_StartsTheChainFromItsOwnPlace() external {
        vm.chainId(11155111);
        MedicalRecordRegistry fresh = new MedicalRecordRegistry(0, admin);

        (bytes25 head, uint48 seq, bool paused) = fresh.head();
        assertEq(head, bytes25(keccak256(abi.encode(uint256(11155111), address(fresh), uint256(1)))));
        assertEq(seq, 0);
        assertFalse(paused);
    }

    /// @dev The same bytes stand in docs/contracts.md, computed by a third implementation: whoever follows the events
    /// in another language can begin with these.
    function test_Head_IsThatOfTheFixedVector() external {
        vm.chainId(31337);
        address somebody = 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266;
        vm.setNonce(somebody, 0);
        vm.startPrank(somebody);
        registry = new MedicalRecordRegistry(0, somebody);
        registry.grantRole(REGISTRAR_ROLE, somebody);
        assertEq(address(registry), 0x5FbDB2315678afecb367f032d93F642f64180aa3);
        _assertHead(0, hex"795f3e80a60304670fd0be61bdaf557730f112756726a2dbb6");

        registry.anchor(bytes32(hex"1111111111111111111111111111111111111111111111111111111111111111"));
        _assertHead(1, hex"015070bb771b1e8a95e4acdcba1ba0e3ee40a775aa261295f7");

        registry.close(
            bytes32(hex"1111111111111111111111111111111111111111111111111111111111111111"),
            IMedicalRecordRegistry.Status.Revoked,
            5
        );
        _assertHead(2, hex"500e5973dd9814e52983efeae527fc3905cba597b89ee8b32a");
    }

    /// @dev 48 bits, none cut off on the way.
    function test_Head_WhenTheSequenceNeedsMoreThan32Bits() external {
        _setSequence(type(uint32).max);

        (uint48 seq, bytes25 head) = _expectAnchored(LAB, 0, registrar);
        assertEq(seq, uint48(1 << 32));
        _anchor(LAB);

        _assertHead(seq, head);
    }

    /// @dev It would begin again at zero, and two events would have one number.
    function test_Head_RevertWhen_TheSequenceIsAtItsEnd() external {
        _setSequence(type(uint48).max - 1);
        _anchor(LAB);
        (bytes25 head,,) = registry.head();
        _assertHead(type(uint48).max, head);

        vm.expectRevert(stdError.arithmeticError);
        _anchor(LAB_2);
        vm.expectRevert(stdError.arithmeticError);
        vm.prank(registrar);
        registry.close(LAB, IMedicalRecordRegistry.Status.Revoked, 1);
        vm.expectRevert(stdError.arithmeticError);
        _pause();

        _assertHead(type(uint48).max, head);
    }

    /// @dev Writes the sequence into the head word, wherever that is stored.
    function _setSequence(uint48 seq) private {
        (bytes25 head, uint48 before,) = registry.head();
        for (uint256 slot; slot < 32; ++slot) {
            bytes32 word = vm.load(address(registry), bytes32(slot));
            if (word != bytes32(uint256(bytes32(head)) | uint256(before) << 8)) continue;
            vm.store(address(registry), bytes32(slot), bytes32(uint256(bytes32(head)) | uint256(seq) << 8));
            _assertHead(seq, head);
            return;
        }
        revert("the head word was not found");
    }

    function test_Constants() external view {
        assertEq(registry.VERSION(), 1);
        assertEq(registry.PREDECESSOR(), address(0));
        assertEq(registry.REGISTRAR_ROLE(), REGISTRAR_ROLE);
        assertEq(registry.STEWARD_ROLE(), STEWARD_ROLE);
        assertEq(registry.CHECKPOINT_ROLE(), CHECKPOINT_ROLE);
        assertEq(registry.PAUSER_ROLE(), PAUSER_ROLE);
    }

    /// @dev Holds because there are no immutables; api and indexer compare this hash with the deployment file.
    function test_Code_IsTheSameAtEveryAddress() external {
        MedicalRecordRegistry other = new MedicalRecordRegistry(9 days, steward);

        assertEq(address(other).codehash, address(registry).codehash);
        assertEq(address(other).codehash, keccak256(type(MedicalRecordRegistry).runtimeCode));
    }

    function test_GrantRole_RevertWhen_CallerIsNotAdmin() external {
        _expectUnauthorized(registrar, registry.DEFAULT_ADMIN_ROLE());
        vm.prank(registrar);
        registry.grantRole(REGISTRAR_ROLE, stranger);
    }

    function test_RevokeRole_WhenPaused() external {
        _pause();

        vm.prank(admin);
        registry.revokeRole(REGISTRAR_ROLE, registrar);

        assertFalse(registry.hasRole(REGISTRAR_ROLE, registrar));
    }

    function test_AdminTransfer_NeedsTwoStepsAndTheDelay() external {
        vm.prank(admin);
        registry.beginDefaultAdminTransfer(steward);
        uint48 schedule = uint48(vm.getBlockTimestamp() + 1 days);

        vm.warp(schedule);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControlDefaultAdminRules.AccessControlEnforcedDefaultAdminDelay.selector, schedule
            )
        );
        vm.prank(steward);
        registry.acceptDefaultAdminTransfer();

        vm.warp(schedule + 1);
        vm.prank(steward);
        registry.acceptDefaultAdminTransfer();
        assertEq(registry.defaultAdmin(), steward);
    }

    /// @dev No fallback, nothing payable: a value sent by mistake comes back.
    function test_Value_IsRefused() external {
        vm.deal(registrar, 1 ether);
        vm.prank(registrar);
        (bool ok,) = address(registry).call{value: 1}(abi.encodeCall(registry.anchor, (LAB)));
        assertFalse(ok, "a function took money");

        vm.prank(registrar);
        (ok,) = address(registry).call{value: 1}("");
        assertFalse(ok, "the contract took money");
    }

    function test_Close_RevertWhen_StatusIsOutOfRange() external {
        _anchor(LAB);

        vm.prank(registrar);
        (bool ok,) = address(registry).call(abi.encodeWithSelector(IMedicalRecordRegistry.close.selector, LAB, 5, 1));
        assertFalse(ok);
    }
}
