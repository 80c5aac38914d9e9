// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IChainedEvents} from "../../src/IChainedEvents.sol";
import {IMedicalRecordRegistry} from "../../src/IMedicalRecordRegistry.sol";
import {Vectors} from "../merkle/Vectors.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {TwoCalls} from "./TwoCalls.sol";

contract BatchTest is RegistryTest, Vectors {
    bytes32[] private _five;

    function setUp() public override {
        super.setUp();
        _load();
        _five = _firstRecords(5);
    }

    function test_AnchorBatch_RevertWhen_CallerIsNoRegistrar() external {
        _expectUnauthorized(steward, REGISTRAR_ROLE);
        vm.prank(steward);
        registry.anchorBatch(_five);
    }

    function test_AnchorBatch_RevertWhen_Paused() external {
        _pause();

        vm.expectRevert(IChainedEvents.IsPaused.selector);
        _anchorBatch(_five);
    }

    function test_AnchorBatch_RevertWhen_ItIsEmpty() external {
        vm.expectRevert(IMedicalRecordRegistry.EmptyBatch.selector);
        _anchorBatch(new bytes32[](0));
    }

    function test_AnchorBatch_RevertWhen_AHashIsZero() external {
        _five[3] = 0;

        vm.expectRevert(IMedicalRecordRegistry.ZeroHash.selector);
        _anchorBatch(_five);
    }

    function test_AnchorBatch_RevertWhen_ARecordIsAnchored() external {
        _anchor(_five[3]);

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.AlreadyAnchored.selector, _five[3]));
        _anchorBatch(_five);
    }

    function test_AnchorBatch_RevertWhen_TheBatchIsAnchored() external {
        _anchorBatch(_five);

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.AlreadyAnchored.selector, _roots[5]));
        _anchorBatch(_five);
    }

    function test_AnchorBatch_RevertWhen_BatchCameFirstInThisTransaction() external {
        TwoCalls contractRegistrar = new TwoCalls();
        vm.prank(admin);
        registry.grantRole(REGISTRAR_ROLE, address(contractRegistrar));

        vm.expectRevert(IMedicalRecordRegistry.OnePerTransaction.selector);
        contractRegistrar.both(
            address(registry),
            abi.encodeCall(registry.anchorBatch, (_five)),
            abi.encodeCall(registry.anchorBatch, (_one(LAB)))
        );
    }

    function test_AnchorBatch_StoresTheBatchAndSaysSo() external {
        (uint40 seq, bytes25 head) = _expectBatch(_roots[5], 5);
        _anchorBatch(_five);

        _assertBatch(_roots[5], 5, registrar, vm.getBlockTimestamp(), vm.getBlockNumber(), seq);
        // Of the same root, no other size is there.
        _assertBatch(_roots[5], 6, address(0), 0, 0, 0);
        _assertHead(seq, head);
    }

    function test_AnchorBatch_ComputesTheRootOfEverySize() external {
        for (uint64 size = 1; size <= SIZES; ++size) {
            (uint40 seq,) = _expectBatch(_roots[size], uint48(size));
            _anchorBatch(_firstRecords(size));

            _assertBatch(_roots[size], uint48(size), registrar, vm.getBlockTimestamp(), vm.getBlockNumber(), seq);
        }
    }

    function test_BatchOf_WhenThereIsNone() external view {
        _assertBatch(_roots[5], 5, address(0), 0, 0, 0);
    }

    function test_VerifyBatchInclusion_ProvesEveryRecord() external {
        bytes32[] memory records = _firstRecords(100);
        _anchorBatch(records);
        _pause();

        for (uint48 index; index < 100; ++index) {
            bytes32[] memory proof = _inclusionProof(100, index);
            assertTrue(registry.verifyBatchInclusion(_roots[100], 100, records[index], index, proof));
            assertFalse(registry.verifyBatchInclusion(_roots[100], 100, records[index], index ^ 1, proof));
        }
    }

    function test_VerifyBatchInclusion_WhenThereIsNoSuchBatch() external {
        assertFalse(registry.verifyBatchInclusion(_roots[5], 5, _five[2], 2, _inclusionProof(5, 2)));
        _anchorBatch(_five);

        assertTrue(registry.verifyBatchInclusion(_roots[5], 5, _five[2], 2, _inclusionProof(5, 2)));
        assertFalse(registry.verifyBatchInclusion(_roots[5], 6, _five[2], 2, _inclusionProof(5, 2)));
        assertFalse(registry.verifyBatchInclusion(_roots[6], 5, _five[2], 2, _inclusionProof(5, 2)));
        // A leaf is no record.
        assertFalse(registry.verifyBatchInclusion(_roots[5], 5, _leaves[2], 2, _inclusionProof(5, 2)));
    }

    function test_Extract_RevertWhen_CallerIsNeitherRegistrarNorSteward() external {
        _anchorBatch(_five);

        _expectUnauthorized(stranger, REGISTRAR_ROLE);
        _extract(stranger, 2);
    }

    function test_Extract_RevertWhen_RegistrarCallsWhilePaused() external {
        _anchorBatch(_five);
        _pause();

        vm.expectRevert(IChainedEvents.IsPaused.selector);
        _extract(registrar, 2);
    }

    function test_Extract_RevertWhen_ThereIsNoSuchBatch() external {
        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.NotInBatch.selector, _roots[5], 5, _five[2]));
        _extract(registrar, 2);
    }

    function test_Extract_RevertWhen_TheProofDoesNotHold() external {
        _anchorBatch(_five);
        bytes32[] memory proof = _inclusionProof(5, 1);

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.NotInBatch.selector, _roots[5], 5, _five[2]));
        vm.prank(registrar);
        registry.extract(_roots[5], 5, _five[2], 2, proof);
    }

    function test_Extract_RevertWhen_TheRecordHasASlot() external {
        _anchorBatch(_five);
        _extract(registrar, 2);

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.AlreadyAnchored.selector, _five[2]));
        _extract(registrar, 2);
    }

    function test_Extract_GivesTheRecordTheOriginOfItsBatch() external {
        (uint40 batchSeq,) = _expectBatch(_roots[5], 5);
        _anchorBatch(_five);
        (uint256 number, uint256 time) = (vm.getBlockNumber(), vm.getBlockTimestamp());
        vm.roll(number + 5);
        vm.warp(time + 60);

        (uint40 seq, bytes25 head) = _expectExtracted(colleague, 2);
        _extract(colleague, 2);

        _assertRecord(_five[2], IMedicalRecordRegistry.Status.Active, registrar, number, time);
        assertEq(registry.anchorOf(_five[2]).seq, batchSeq);
        _assertHead(seq, head);
    }

    function test_Extract_WhenStewardCallsWhilePaused() external {
        _anchorBatch(_five);
        _pause();

        _extract(steward, 4);

        _assertRecord(
            _five[4], IMedicalRecordRegistry.Status.Active, registrar, vm.getBlockNumber(), vm.getBlockTimestamp()
        );
    }

    function test_Extract_LetsTheRecordBeClosedByItsRegistrar() external {
        _anchorBatch(_five);
        _extract(registrar, 2);

        vm.prank(registrar);
        registry.close(_five[2], IMedicalRecordRegistry.Status.Erased, 2);

        _assertEnded(_five[2], registrar, true, vm.getBlockTimestamp(), 2);
    }

    function _anchorBatch(bytes32[] memory records) private {
        vm.prank(registrar);
        registry.anchorBatch(records);
    }

    function _extract(address by, uint48 index) private {
        bytes32[] memory proof = _inclusionProof(5, index);
        vm.prank(by);
        registry.extract(_roots[5], 5, _five[index], index, proof);
    }

    function _expectBatch(bytes32 root, uint48 size) private returns (uint40 seq, bytes25 head) {
        (seq, head) =
            _next(abi.encode(keccak256("BatchAnchored(bytes32,address,uint48,uint40,bytes25)"), root, registrar, size));
        vm.expectEmit(address(registry));
        emit IMedicalRecordRegistry.BatchAnchored(root, registrar, size, seq, head);
    }

    function _expectExtracted(address by, uint48 index) private returns (uint40 seq, bytes25 head) {
        (seq, head) = _next(
            abi.encode(
                keccak256("RecordExtracted(bytes32,bytes32,address,uint48,uint48,uint40,bytes25)"),
                _five[index],
                _roots[5],
                by,
                uint48(5),
                index
            )
        );
        vm.expectEmit(address(registry));
        emit IMedicalRecordRegistry.RecordExtracted(_five[index], _roots[5], by, 5, index, seq, head);
    }

    function _assertBatch(bytes32 root, uint48 size, address by, uint256 time, uint256 number, uint256 seq)
        private
        view
    {
        (address r, uint40 t, uint48 b, uint40 s) = registry.batchOf(root, size);
        assertEq(r, by, "registrar");
        assertEq(t, time, "time");
        assertEq(b, number, "block");
        assertEq(s, seq, "seq");
    }
}
