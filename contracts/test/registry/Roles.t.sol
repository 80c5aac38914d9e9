// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    IAccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/IAccessControlDefaultAdminRules.sol";
import {stdError} from "forge-std/StdError.sol";
import {IChainedEvents} from "../../src/IChainedEvents.sol";
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
        (, uint64 size,) = fresh.latestCheckpoint();
        assertEq(size, 0);
    }

    function test_Constructor_StartsTheChainFromItsOwnPlace() external {
        vm.chainId(11155111);
        MedicalRecordRegistry fresh = new MedicalRecordRegistry(0, admin);

        (bytes25 head, uint40 seq, bool paused) = fresh.head();
        bytes25 first = bytes25(keccak256(abi.encode(uint256(11155111), address(fresh), uint256(2))));
        bytes32 body = keccak256(
            abi.encode(
                keccak256("RoleChanged(bytes32,address,address,bool,uint40,bytes25)"), 0, admin, address(this), true
            )
        );
        assertEq(head, bytes25(keccak256(bytes.concat(first, bytes7(uint56(11155111)), body))));
        assertEq(seq, 1);
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
        _assertHead(2, hex"d0656523d8dc845b11a1db61bffecaab272905e1c722f8fe3b");

        registry.anchor(bytes32(hex"1111111111111111111111111111111111111111111111111111111111111111"));
        _assertHead(3, hex"74cd458f1745cf0ac93113b96467113d0007666cf39d59301c");

        registry.close(
            bytes32(hex"1111111111111111111111111111111111111111111111111111111111111111"),
            IMedicalRecordRegistry.Status.Revoked,
            5
        );
        _assertHead(4, hex"68d403ed65c288d10abb100e0d017b6337df6532d025dea734");
    }

    /// @dev 40 bits, none cut off on the way.
    function test_Head_WhenTheSequenceNeedsMoreThan32Bits() external {
        _setSequence(type(uint32).max);

        (uint40 seq, bytes25 head) = _expectAnchored(LAB, 0, registrar);
        assertEq(seq, uint40(1 << 32));
        _anchor(LAB);

        _assertHead(seq, head);
    }

    /// @dev It would begin again at zero, and two events would have one number.
    function test_Head_RevertWhen_TheSequenceIsAtItsEnd() external {
        _setSequence(type(uint40).max - 1);
        _anchor(LAB);
        (bytes25 head,,) = registry.head();
        _assertHead(type(uint40).max, head);
        assertEq(registry.anchorOf(LAB).seq, type(uint40).max);

        vm.expectRevert(stdError.arithmeticError);
        _anchor(LAB_2);
        vm.expectRevert(stdError.arithmeticError);
        vm.prank(registrar);
        registry.close(LAB, IMedicalRecordRegistry.Status.Revoked, 1);
        vm.expectRevert(stdError.arithmeticError);
        _pause();

        _assertHead(type(uint40).max, head);
    }

    /// @dev Writes the sequence into the head word, wherever that is stored.
    function _setSequence(uint40 seq) private {
        (bytes25 head, uint40 before,) = registry.head();
        for (uint256 slot; slot < 32; ++slot) {
            bytes32 word = vm.load(address(registry), bytes32(slot));
            if (word != bytes32(uint256(bytes32(head)) | uint256(before) << 16)) continue;
            vm.store(address(registry), bytes32(slot), bytes32(uint256(bytes32(head)) | uint256(seq) << 16));
            _assertHead(seq, head);
            return;
        }
        revert("the head word was not found");
    }

    function test_Constants() external view {
        assertEq(registry.VERSION(), 2);
        assertEq(registry.PREDECESSOR(), address(0));
        assertEq(registry.REGISTRAR_ROLE(), REGISTRAR_ROLE);
        assertEq(registry.STEWARD_ROLE(), STEWARD_ROLE);
        assertEq(registry.CHECKPOINT_ROLE(), CHECKPOINT_ROLE);
        assertEq(registry.PAUSER_ROLE(), PAUSER_ROLE);
        assertEq(registry.ENDING_WINDOW(), 1 hours);
        assertEq(registry.DEFAULT_ENDING_LIMIT(), 100);
        assertEq(registry.MAX_ENDING_LIMIT(), 2047);
        assertEq(registry.ANNULMENT_PERIOD(), 30 days);
        assertEq(registry.REASON_ANNULLED(), 254);
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

    function test_GrantRole_IsToldInTheChain() external {
        (uint40 seq, bytes25 head) = _expectRole(REGISTRAR_ROLE, stranger, true);
        vm.prank(admin);
        registry.grantRole(REGISTRAR_ROLE, stranger);
        _assertHead(seq, head);

        // Given again, nothing changes and nothing is told.
        vm.prank(admin);
        registry.grantRole(REGISTRAR_ROLE, stranger);
        _assertHead(seq, head);
        vm.prank(stranger);
        registry.anchor(LAB);
        assertEq(registry.anchorOf(LAB).registrar, stranger);
    }

    function test_RevokeRole_IsToldInTheChain() external {
        (uint40 seq, bytes25 head) = _expectRole(REGISTRAR_ROLE, registrar, false);
        vm.prank(admin);
        registry.revokeRole(REGISTRAR_ROLE, registrar);
        _assertHead(seq, head);

        // Taken again, nothing changes and nothing is told.
        vm.prank(admin);
        registry.revokeRole(REGISTRAR_ROLE, registrar);
        _assertHead(seq, head);
    }

    function test_RenounceRole_IsToldInTheChain() external {
        (uint40 seq, bytes25 head) = _next(
            abi.encode(
                keccak256("RoleChanged(bytes32,address,address,bool,uint40,bytes25)"),
                STEWARD_ROLE,
                steward,
                steward,
                false
            )
        );
        vm.prank(steward);
        registry.renounceRole(STEWARD_ROLE, steward);

        _assertHead(seq, head);
    }

    function test_AdminSteps_AreToldInTheChain() external {
        uint48 accept = uint48(vm.getBlockTimestamp() + 1 days);
        (uint40 seq, bytes25 head) = _expectStep(IChainedEvents.AdminStep.TransferBegun, steward, 0, accept);
        vm.prank(admin);
        registry.beginDefaultAdminTransfer(steward);
        _assertHead(seq, head);

        (seq, head) = _expectStep(IChainedEvents.AdminStep.TransferCancelled, address(0), 0, 0);
        vm.prank(admin);
        registry.cancelDefaultAdminTransfer();
        _assertHead(seq, head);

        // A longer delay holds once as much time has passed as it is longer, at most 5 days.
        uint48 effect = uint48(vm.getBlockTimestamp() + 2 days);
        (seq, head) = _expectStep(IChainedEvents.AdminStep.DelayChangeBegun, address(0), 2 days, effect);
        vm.prank(admin);
        registry.changeDefaultAdminDelay(2 days);
        _assertHead(seq, head);

        (seq, head) = _expectStep(IChainedEvents.AdminStep.DelayChangeCancelled, address(0), 0, 0);
        vm.prank(admin);
        registry.rollbackDefaultAdminDelay();
        _assertHead(seq, head);
    }

    /// @dev The two sides of a fork part with the next event, whatever it is.
    function test_Head_PartsWhenTheChainIdChanges() external {
        uint256 before = vm.snapshotState();
        _anchor(LAB);
        (bytes25 here,,) = registry.head();
        vm.revertToState(before);

        vm.chainId(block.chainid + 1);
        _anchor(LAB);

        (bytes25 there,,) = registry.head();
        assertNotEq(here, there);
    }

    function _expectRole(bytes32 role, address account, bool granted) private returns (uint40 seq, bytes25 head) {
        (seq, head) = _next(
            abi.encode(
                keccak256("RoleChanged(bytes32,address,address,bool,uint40,bytes25)"), role, account, admin, granted
            )
        );
        vm.expectEmit(address(registry));
        emit IChainedEvents.RoleChanged(role, account, admin, granted, seq, head);
    }

    function _expectStep(IChainedEvents.AdminStep step, address account, uint48 delay, uint48 schedule)
        private
        returns (uint40 seq, bytes25 head)
    {
        (seq, head) = _next(
            abi.encode(
                keccak256("AdminStepTaken(uint8,address,address,uint48,uint48,uint40,bytes25)"),
                step,
                account,
                admin,
                delay,
                schedule
            )
        );
        vm.expectEmit(address(registry));
        emit IChainedEvents.AdminStepTaken(step, account, admin, delay, schedule, seq, head);
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
