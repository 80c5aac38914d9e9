// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMedicalRecordRegistry} from "../../src/IMedicalRecordRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";

contract AnnulTest is RegistryTest {
    uint256 private _number;
    uint256 private _time;

    function setUp() public override {
        super.setUp();
        _anchor(LAB);
        (_number, _time) = (vm.getBlockNumber(), vm.getBlockTimestamp());
        vm.roll(_number + 7);
        vm.warp(_time + 84);
    }

    function test_Annul_RevertWhen_RecordIsUnknown() external {
        _expectNotEnded(LAB_2, IMedicalRecordRegistry.Status.None);
        _annul(steward, LAB_2);
    }

    function test_Annul_RevertWhen_RecordStands() external {
        _expectNotEnded(LAB, IMedicalRecordRegistry.Status.Active);
        _annul(steward, LAB);
    }

    function test_Annul_RevertWhen_ARegistrarAnnulsWhatARegistrarEnded() external {
        _close(registrar, LAB);

        _expectUnauthorized(registrar, STEWARD_ROLE);
        _annul(registrar, LAB);
    }

    function test_Annul_RevertWhen_TheAdminAnnulsWhatARegistrarEnded() external {
        _close(registrar, LAB);

        _expectUnauthorized(admin, STEWARD_ROLE);
        _annul(admin, LAB);
    }

    function test_Annul_RevertWhen_AStewardAnnulsWhatAStewardEnded() external {
        _close(steward, LAB);

        _expectUnauthorized(steward, registry.DEFAULT_ADMIN_ROLE());
        _annul(steward, LAB);
    }

    function test_Annul_RevertWhen_ThePeriodIsOver() external {
        _close(registrar, LAB);
        vm.warp(_time + 84 + 30 days + 1);

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.EndingIsFinal.selector, LAB, _time + 84));
        _annul(steward, LAB);
    }

    function test_Annul_LetsAClosedRecordStandAgain() external {
        _close(registrar, LAB);
        vm.warp(_time + 84 + 30 days);

        (uint40 seq, bytes25 head) = _expectAnnulled(LAB, 0, steward);
        _annul(steward, LAB);

        _assertRecord(LAB, IMedicalRecordRegistry.Status.Active, registrar, _number, _time);
        _assertHead(seq, head);
    }

    function test_Annul_LetsTheAdminUndoWhatAStewardEnded() external {
        _close(steward, LAB);

        (uint40 seq, bytes25 head) = _expectAnnulled(LAB, 0, admin);
        _annul(admin, LAB);

        _assertRecord(LAB, IMedicalRecordRegistry.Status.Active, registrar, _number, _time);
        _assertHead(seq, head);
    }

    function test_Annul_RevokesASuccessorThatStands() external {
        _supersede(registrar, LAB, LAB_2);

        (uint40 seq, bytes25 head) = _expectAnnulled(LAB, LAB_2, steward);
        _annul(steward, LAB);

        _assertRecord(LAB, IMedicalRecordRegistry.Status.Active, registrar, _number, _time);
        _assertRecord(LAB_2, IMedicalRecordRegistry.Status.Revoked, registrar, _number + 7, _time + 84);
        _assertEnded(LAB_2, steward, false, _time + 84, 254);
        assertEq(registry.successorOf(LAB), 0);
        _assertHead(seq, head);
    }

    function test_Annul_LeavesASuccessorThatWasClosed() external {
        _supersede(registrar, LAB, LAB_2);
        _close(registrar, LAB_2);

        _annul(steward, LAB);

        _assertRecord(LAB, IMedicalRecordRegistry.Status.Active, registrar, _number, _time);
        _assertEnded(LAB_2, registrar, true, _time + 84, 1);
        assertEq(registry.successorOf(LAB), 0);
    }

    function test_Annul_RevertWhen_TheSuccessorWasSuperseded() external {
        _supersede(registrar, LAB, LAB_2);
        _supersede(registrar, LAB_2, LAB_3);

        vm.expectRevert(
            abi.encodeWithSelector(
                IMedicalRecordRegistry.NotActive.selector, LAB_2, IMedicalRecordRegistry.Status.Superseded
            )
        );
        _annul(steward, LAB);
        // From the end of the line, it works.
        _annul(steward, LAB_2);
        _annul(steward, LAB);

        (bytes32 current, bool complete, IMedicalRecordRegistry.Status status) = registry.currentOf(LAB, 9);
        assertEq(current, LAB);
        assertTrue(complete);
        assertEq(uint8(status), uint8(IMedicalRecordRegistry.Status.Active));
    }

    function test_Annul_WhenPaused() external {
        _close(registrar, LAB);
        _pause();

        _annul(steward, LAB);

        _assertRecord(LAB, IMedicalRecordRegistry.Status.Active, registrar, _number, _time);
        _assertPaused(true);
    }

    function test_Annul_WhenTheRecordIsEndedAgain() external {
        _close(registrar, LAB);
        _annul(steward, LAB);
        _supersede(registrar, LAB, LAB_2);

        assertEq(registry.successorOf(LAB), LAB_2);
        _assertEnded(LAB, registrar, true, _time + 84, 0);
    }

    function _annul(address by, bytes32 recordHash) private {
        vm.prank(by);
        registry.annul(recordHash);
    }

    function _close(address by, bytes32 recordHash) private {
        vm.prank(by);
        registry.close(recordHash, IMedicalRecordRegistry.Status.Revoked, 1);
    }

    function _supersede(address by, bytes32 oldHash, bytes32 newHash) private {
        vm.prank(by);
        registry.supersede(oldHash, newHash);
    }

    function _expectNotEnded(bytes32 recordHash, IMedicalRecordRegistry.Status status) private {
        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.NotEnded.selector, recordHash, status));
    }

    function _expectAnnulled(bytes32 recordHash, bytes32 successor, address by)
        private
        returns (uint40 seq, bytes25 head)
    {
        (seq, head) = _next(
            abi.encode(keccak256("EndingAnnulled(bytes32,bytes32,address,uint40,bytes25)"), recordHash, successor, by)
        );
        vm.expectEmit(address(registry));
        emit IMedicalRecordRegistry.EndingAnnulled(recordHash, successor, by, seq, head);
    }
}
