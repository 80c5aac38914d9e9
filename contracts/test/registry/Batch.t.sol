// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IChainedEvents} from "../../src/IChainedEvents.sol";
import {IMedicalRecordRegistry} from "../../src/IMedicalRecordRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {TwoCalls} from "./TwoCalls.sol";

contract BatchTest is RegistryTest {
    bytes32 private constant ROOT = keccak256("a root");
    bytes32 private constant ROOT_2 = keccak256("another root");

    function test_AnchorBatchRoot_RevertWhen_CallerIsNoRegistrar() external {
        _expectUnauthorized(steward, REGISTRAR_ROLE);
        vm.prank(steward);
        registry.anchorBatchRoot(ROOT, 1);
    }

    function test_AnchorBatchRoot_RevertWhen_Paused() external {
        _pause();

        vm.expectRevert(IChainedEvents.IsPaused.selector);
        _anchorBatch(ROOT, 1);
    }

    function test_AnchorBatchRoot_RevertWhen_RootIsZero() external {
        vm.expectRevert(IMedicalRecordRegistry.ZeroHash.selector);
        _anchorBatch(0, 1);
    }

    function test_AnchorBatchRoot_RevertWhen_SizeIsZero() external {
        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.TreeSizeNotIncreasing.selector, 0, 0));
        _anchorBatch(ROOT, 0);
    }

    function test_AnchorBatchRoot_RevertWhen_RootIsAnchored() external {
        _anchorBatch(ROOT, 1);

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.AlreadyAnchored.selector, ROOT));
        _anchorBatch(ROOT, 2);
    }

    function test_AnchorBatchRoot_RevertWhen_BatchCameFirstInThisTransaction() external {
        TwoCalls contractRegistrar = new TwoCalls();
        vm.prank(admin);
        registry.grantRole(REGISTRAR_ROLE, address(contractRegistrar));

        vm.expectRevert(IMedicalRecordRegistry.OnePerTransaction.selector);
        contractRegistrar.both(
            address(registry),
            abi.encodeCall(registry.anchorBatchRoot, (ROOT, 1)),
            abi.encodeCall(registry.anchorBatchRoot, (ROOT_2, 1))
        );
    }

    function test_AnchorBatchRoot_StoresTheBatchAndSaysSo() external {
        (uint48 seq, bytes25 head) = _expectBatch(ROOT, 1000);
        _anchorBatch(ROOT, 1000);

        _assertBatch(ROOT, registrar, vm.getBlockNumber(), 1000);
        _assertHead(seq, head);
    }

    function test_AnchorBatchRoot_WhenARecordHasTheSameHash() external {
        _anchor(ROOT);
        _anchorBatch(ROOT, 3);

        _assertBatch(ROOT, registrar, vm.getBlockNumber(), 3);
        _assertRecord(
            ROOT, IMedicalRecordRegistry.Status.Active, registrar, vm.getBlockNumber(), vm.getBlockTimestamp()
        );
    }

    function testFuzz_AnchorBatchRoot_StoresAnyBatch(bytes32 root, uint48 size, uint48 number) external {
        vm.assume(root != 0 && size != 0);
        vm.roll(number);

        (uint48 seq, bytes25 head) = _expectBatch(root, size);
        _anchorBatch(root, size);

        _assertBatch(root, registrar, number, size);
        _assertHead(seq, head);
    }

    function test_BatchOf_WhenThereIsNone() external view {
        _assertBatch(ROOT, address(0), 0, 0);
    }

    function _anchorBatch(bytes32 root, uint48 size) private {
        vm.prank(registrar);
        registry.anchorBatchRoot(root, size);
    }

    function _expectBatch(bytes32 root, uint48 size) private returns (uint48 seq, bytes25 head) {
        (seq, head) =
            _next(abi.encode(keccak256("BatchAnchored(bytes32,address,uint48,uint48,bytes25)"), root, registrar, size));
        vm.expectEmit(address(registry));
        emit IMedicalRecordRegistry.BatchAnchored(root, registrar, size, seq, head);
    }

    function _assertBatch(bytes32 root, address by, uint256 number, uint256 size) private view {
        (address r, uint48 b, uint48 s) = registry.batchOf(root);
        assertEq(r, by, "registrar");
        assertEq(b, number, "block");
        assertEq(s, size, "size");
    }
}
