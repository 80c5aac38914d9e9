// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IChainedEvents} from "../../src/IChainedEvents.sol";
import {IMedicalRecordRegistry} from "../../src/IMedicalRecordRegistry.sol";
import {Vectors} from "../merkle/Vectors.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {TwoCalls} from "./TwoCalls.sol";

contract CheckpointTest is RegistryTest, Vectors {
    function setUp() public override {
        super.setUp();
        _load();
    }

    function test_AnchorCheckpoint_RevertWhen_CallerHasNotTheRole() external {
        _expectUnauthorized(registrar, CHECKPOINT_ROLE);
        vm.prank(registrar);
        registry.anchorCheckpoint(1, _roots[1], new bytes32[](0));
    }

    function test_AnchorCheckpoint_RevertWhen_Paused() external {
        _pause();

        vm.expectRevert(IChainedEvents.IsPaused.selector);
        _checkpoint(1, _roots[1], new bytes32[](0));
    }

    function test_AnchorCheckpoint_RevertWhen_RootIsZero() external {
        vm.expectRevert(IMedicalRecordRegistry.ZeroHash.selector);
        _checkpoint(1, 0, new bytes32[](0));
    }

    function test_AnchorCheckpoint_RevertWhen_FirstSizeIsZero() external {
        _expectNotIncreasing(0, 0);
        _checkpoint(0, _roots[1], new bytes32[](0));
    }

    function test_AnchorCheckpoint_RevertWhen_SizeIsTheLast() external {
        _checkpoint(5, _roots[5], new bytes32[](0));

        _expectNotIncreasing(5, 5);
        _checkpoint(5, _roots[5], new bytes32[](0));
    }

    function test_AnchorCheckpoint_RevertWhen_SizeIsSmaller() external {
        _checkpoint(5, _roots[5], new bytes32[](0));

        _expectNotIncreasing(5, 4);
        _checkpoint(4, _roots[4], _consistencyProof(4, 5));
    }

    function test_AnchorCheckpoint_RevertWhen_FirstHasAProof() external {
        _expectInvalidProof(0, 5);
        _checkpoint(5, _roots[5], _consistencyProof(4, 5));
    }

    function test_AnchorCheckpoint_RevertWhen_ProofIsMissing() external {
        _checkpoint(4, _roots[4], new bytes32[](0));

        _expectInvalidProof(4, 7);
        _checkpoint(7, _roots[7], new bytes32[](0));
    }

    function test_AnchorCheckpoint_RevertWhen_ProofIsOfAnotherSize() external {
        _checkpoint(4, _roots[4], new bytes32[](0));

        _expectInvalidProof(4, 7);
        _checkpoint(7, _roots[7], _consistencyProof(3, 7));
    }

    function test_AnchorCheckpoint_RevertWhen_TheLogWasRewritten() external {
        // What was pinned is not what the new, otherwise honest, log begins with.
        _checkpoint(3, keccak256("the root of a log that was rewritten since"), new bytes32[](0));

        _expectInvalidProof(3, 7);
        _checkpoint(7, _roots[7], _consistencyProof(3, 7));
    }

    function test_AnchorCheckpoint_StoresTheFirst() external {
        (uint40 seq, bytes25 head) = _expectCheckpoint(5, _roots[5], 0);
        _checkpoint(5, _roots[5], new bytes32[](0));

        _assertLatest(0, 5);
        assertEq(registry.checkpointRoot(0, 5), _roots[5]);
        assertEq(registry.checkpointRoot(0, 4), 0);
        _assertHead(seq, head);
    }

    function test_AnchorCheckpoint_StoresAnExtensionAndKeepsTheOld() external {
        _checkpoint(5, _roots[5], new bytes32[](0));

        (uint40 seq, bytes25 head) = _expectCheckpoint(77, _roots[77], 5);
        _checkpoint(77, _roots[77], _consistencyProof(5, 77));

        _assertLatest(0, 77);
        assertEq(registry.checkpointRoot(0, 5), _roots[5]);
        assertEq(registry.checkpointRoot(0, 77), _roots[77]);
        _assertHead(seq, head);
    }

    function test_AnchorCheckpoint_WhenTwoComeInOneTransaction() external {
        TwoCalls contractCheckpointer = new TwoCalls();
        vm.prank(admin);
        registry.grantRole(CHECKPOINT_ROLE, address(contractCheckpointer));

        contractCheckpointer.both(
            address(registry),
            abi.encodeCall(registry.anchorCheckpoint, (5, _roots[5], new bytes32[](0))),
            abi.encodeCall(registry.anchorCheckpoint, (9, _roots[9], _consistencyProof(5, 9)))
        );

        _assertLatest(0, 9);
    }

    function testFuzz_AnchorCheckpoint_FollowsAnyGrowth(uint256 seed) external {
        uint64 size;
        while (size < SIZES) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint64 grown = size + 1 + uint64(seed % (SIZES - size));
            bytes32[] memory proof = size == 0 ? new bytes32[](0) : _consistencyProof(size, grown);

            (uint40 seq, bytes25 head) = _expectCheckpoint(grown, _roots[grown], size);
            _checkpoint(grown, _roots[grown], proof);

            _assertHead(seq, head);
            size = grown;
        }
        _assertLatest(0, SIZES);
    }

    function test_VerifyAuditInclusion_ProvesEveryLeafOfEveryCheckpoint() external {
        _checkpoint(1, _roots[1], new bytes32[](0));
        for (uint64 size = 2; size <= SIZES; ++size) {
            _checkpoint(size, _roots[size], _consistencyProof(size - 1, size));
        }

        for (uint64 size = 1; size <= SIZES; size += 3) {
            for (uint64 index; index < size; ++index) {
                assertTrue(registry.verifyAuditInclusion(0, size, _leaves[index], index, _inclusionProof(size, index)));
            }
        }
    }

    function test_VerifyAuditInclusion_WhenThereIsNoSuchCheckpoint() external {
        _checkpoint(5, _roots[5], new bytes32[](0));

        assertFalse(registry.verifyAuditInclusion(0, 6, _leaves[0], 0, _inclusionProof(6, 0)));
        assertFalse(registry.verifyAuditInclusion(0, 0, 0, 0, new bytes32[](0)));
        // A checkpoint that is not there has root zero, which must not make zero a leaf.
        assertFalse(registry.verifyAuditInclusion(0, 1, 0, 0, new bytes32[](0)));
    }

    function test_VerifyAuditInclusion_WhenTheLeafIsAnother() external {
        _checkpoint(5, _roots[5], new bytes32[](0));

        assertTrue(registry.verifyAuditInclusion(0, 5, _leaves[2], 2, _inclusionProof(5, 2)));
        assertFalse(registry.verifyAuditInclusion(0, 5, _leaves[1], 2, _inclusionProof(5, 2)));
        assertFalse(registry.verifyAuditInclusion(0, 5, _leaves[2], 1, _inclusionProof(5, 2)));
        assertFalse(registry.verifyAuditInclusion(0, 5, _leaves[2], 2, _inclusionProof(5, 1)));
    }

    function test_VerifyInclusion_WhenPaused() external {
        _checkpoint(5, _roots[5], new bytes32[](0));
        _pause();

        assertTrue(registry.verifyAuditInclusion(0, 5, _leaves[2], 2, _inclusionProof(5, 2)));
    }

    function test_OpenEpoch_RevertWhen_CallerIsNotAdmin() external {
        _checkpoint(5, _roots[5], new bytes32[](0));

        _expectUnauthorized(checkpointer, registry.DEFAULT_ADMIN_ROLE());
        vm.prank(checkpointer);
        registry.openEpoch(5);
    }

    function test_OpenEpoch_RevertWhen_TheSizeWasNeverPinned() external {
        _checkpoint(5, _roots[5], new bytes32[](0));

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.UnknownCheckpoint.selector, 0, 4));
        _openEpoch(4);
    }

    /// @dev What a stolen key can do at the worst: a size that nothing can follow.
    function test_OpenEpoch_GoesOnFromTheLastGoodCheckpoint() external {
        _checkpoint(5, _roots[5], new bytes32[](0));
        _checkpoint(7, _roots[7], _consistencyProof(5, 7));

        (uint40 seq, bytes25 head) = _expectEpoch(1, 5, _roots[5]);
        _openEpoch(5);
        _assertHead(seq, head);
        _assertLatest(1, 5);
        assertEq(registry.checkpointRoot(1, 5), _roots[5]);
        assertEq(registry.checkpointRoot(1, 7), 0);
        // What was abandoned can still be read.
        assertEq(registry.checkpointRoot(0, 7), _roots[7]);

        _checkpoint(9, _roots[9], _consistencyProof(5, 9));
        _assertLatest(1, 9);
        assertTrue(registry.verifyAuditInclusion(1, 9, _leaves[2], 2, _inclusionProof(9, 2)));
        assertFalse(registry.verifyAuditInclusion(0, 9, _leaves[2], 2, _inclusionProof(9, 2)));
    }

    function test_OpenEpoch_StartsAnewFromZero() external {
        _checkpoint(type(uint64).max, keccak256("junk"), new bytes32[](0));

        _openEpoch(0);
        _assertLatest(1, 0);
        _checkpoint(5, _roots[5], new bytes32[](0));

        _assertLatest(1, 5);
        assertEq(registry.checkpointRoot(0, type(uint64).max), keccak256("junk"));
    }

    function test_OpenEpoch_WhenPaused() external {
        _pause();

        _openEpoch(0);

        _assertLatest(1, 0);
        _assertPaused(true);
    }

    function test_OpenEpoch_RevertWhen_TheSizeIsOfAnEarlierEpoch() external {
        _checkpoint(5, _roots[5], new bytes32[](0));
        _openEpoch(0);

        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.UnknownCheckpoint.selector, 1, 5));
        _openEpoch(5);
    }

    function _openEpoch(uint64 size) private {
        vm.prank(admin);
        registry.openEpoch(size);
    }

    function _assertLatest(uint64 epoch, uint64 size) private view {
        (uint64 actualEpoch, uint64 actualSize, bytes32 root) = registry.latestCheckpoint();
        assertEq(actualEpoch, epoch, "epoch");
        assertEq(actualSize, size, "size");
        assertEq(root, registry.checkpointRoot(epoch, size), "root");
    }

    function _expectEpoch(uint64 epoch, uint64 size, bytes32 root) private returns (uint40 seq, bytes25 head) {
        (seq, head) = _next(
            abi.encode(keccak256("EpochOpened(uint64,uint64,bytes32,address,uint40,bytes25)"), epoch, size, root, admin)
        );
        vm.expectEmit(address(registry));
        emit IMedicalRecordRegistry.EpochOpened(epoch, size, root, admin, seq, head);
    }

    function _checkpoint(uint64 size, bytes32 root, bytes32[] memory proof) private {
        vm.prank(checkpointer);
        registry.anchorCheckpoint(size, root, proof);
    }

    function _expectCheckpoint(uint64 size, bytes32 root, uint64 prevSize) private returns (uint40 seq, bytes25 head) {
        (seq, head) = _next(
            abi.encode(
                keccak256("CheckpointAnchored(uint64,bytes32,address,uint64,uint64,uint40,bytes25)"),
                size,
                root,
                checkpointer,
                uint64(0),
                prevSize
            )
        );
        vm.expectEmit(address(registry));
        emit IMedicalRecordRegistry.CheckpointAnchored(size, root, checkpointer, 0, prevSize, seq, head);
    }

    function _expectNotIncreasing(uint64 from, uint64 to) private {
        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.TreeSizeNotIncreasing.selector, from, to));
    }

    function _expectInvalidProof(uint64 from, uint64 to) private {
        vm.expectRevert(abi.encodeWithSelector(IMedicalRecordRegistry.InvalidConsistencyProof.selector, from, to));
    }
}
