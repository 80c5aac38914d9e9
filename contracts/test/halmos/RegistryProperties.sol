// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IMedicalRecordRegistry} from "../../src/IMedicalRecordRegistry.sol";
import {MedicalRecordRegistry} from "../../src/MedicalRecordRegistry.sol";
import {SVM} from "./Svm.sol";

/// @notice Properties of the record registry that halmos proves for all inputs and callers. forge does not run them.
/// @dev `createCalldata` is a call of any function of the contract with any arguments, OpenZeppelin's among them.
contract RegistryProperties is Test {
    address private constant ADMIN = address(0xad);
    address private constant REGISTRAR = address(0xa1);
    address private constant COLLEAGUE = address(0xa2);
    address private constant STEWARD = address(0x57);
    address private constant CHECKPOINTER = address(0xc4);
    address private constant PAUSER = address(0xba);
    bytes32 private constant RECORD = bytes32(uint256(0x1ab));

    MedicalRecordRegistry private _registry;

    function setUp() public {
        vm.warp(1_790_000_000);
        _registry = new MedicalRecordRegistry(1 days, ADMIN);
        vm.startPrank(ADMIN);
        _registry.grantRole(_registry.REGISTRAR_ROLE(), REGISTRAR);
        _registry.grantRole(_registry.REGISTRAR_ROLE(), COLLEAGUE);
        _registry.grantRole(_registry.STEWARD_ROLE(), STEWARD);
        _registry.grantRole(_registry.CHECKPOINT_ROLE(), CHECKPOINTER);
        _registry.grantRole(_registry.PAUSER_ROLE(), PAUSER);
        vm.stopPrank();
        // From two leaves on, a proof of one hash leads to three: halmos tries arrays of up to two.
        vm.prank(CHECKPOINTER);
        _registry.anchorCheckpoint(2, keccak256("root of two"), new bytes32[](0));
    }

    /// @notice Nobody anchors but a registrar.
    function check_OnlyRegistrarsAnchor(address caller, bytes32 recordHash) external {
        vm.prank(caller);
        _registry.anchor(recordHash);

        assert(caller == REGISTRAR || caller == COLLEAGUE);
    }

    /// @notice Anchoring a record changes no other.
    function check_AnchorTouchesNoOtherRecord(address caller, bytes32 recordHash, bytes32 other) external {
        vm.assume(other != recordHash);

        vm.prank(caller);
        _registry.anchor(recordHash);

        (IMedicalRecordRegistry.Status status, address registrar, uint48 number, uint40 time) =
            _registry.anchorOf(other);
        assert(status == IMedicalRecordRegistry.Status.None);
        assert(registrar == address(0) && number == 0 && time == 0);
        assert(_registry.successorOf(other) == 0);
    }

    /// @notice Two records never share a transaction.
    function check_OneRecordPerTransaction(address first, address second, bytes32 one, bytes32 two) external {
        vm.prank(first);
        _registry.anchor(one);
        vm.prank(second);
        (bool ok,) = address(_registry).call(abi.encodeCall(_registry.anchor, (two)));

        assert(!ok);
    }

    /// @notice A revoked record stays as it is, whatever anybody calls.
    function check_RevokedStaysRevoked(address caller) external {
        _anchor();
        vm.prank(STEWARD);
        _registry.close(RECORD, IMedicalRecordRegistry.Status.Revoked, 1);
        bytes32 before = _recordWord(RECORD);

        _anyCall(caller);

        assert(_recordWord(RECORD) == before);
        assert(_registry.successorOf(RECORD) == 0);
    }

    /// @notice A record that stands keeps its registrar, block and time, whatever anybody calls; and only its
    /// registrar or a steward can end it.
    function check_OnlyItsPeopleEndARecord(address caller) external {
        _anchor();
        bytes32 before = _recordWord(RECORD);

        _anyCall(caller);

        bytes32 afterwards = _recordWord(RECORD);
        assert(afterwards >> 8 == before >> 8);
        assert(afterwards == before || caller == REGISTRAR || caller == STEWARD);
    }

    /// @notice Whatever anybody calls: the sequence grows by one, or head and pause stay as they are.
    function check_SequenceHasNoGap(address caller) external {
        (bytes25 head, uint48 seq, bool paused) = _registry.head();

        _anyCall(caller);

        (bytes25 newHead, uint48 newSeq, bool newPaused) = _registry.head();
        assert(newSeq == seq + 1 || (newSeq == seq && newHead == head && newPaused == paused));
    }

    /// @notice While it is paused nobody adds anything: the only ways to move the head are to close and to unpause.
    function check_PauseStopsEntries(address caller) external {
        _anchor();
        vm.prank(PAUSER);
        _registry.setPaused(true);
        (, uint48 seq,) = _registry.head();

        bytes4 selector = _anyCall(caller);

        (, uint48 newSeq,) = _registry.head();
        assert(
            newSeq == seq || selector == IMedicalRecordRegistry.close.selector
                || selector == _registry.setPaused.selector
        );
    }

    /// @notice Nobody pauses but the pauser, and nobody unpauses but the admin.
    function check_PauserPausesAndAdminUnpauses(address caller, bool before, bool to) external {
        if (before) {
            vm.prank(PAUSER);
            _registry.setPaused(true);
        }

        vm.prank(caller);
        _registry.setPaused(to);

        assert(caller == (to ? PAUSER : ADMIN));
        (,, bool paused) = _registry.head();
        assert(paused == to);
    }

    /// @notice The audit log never shrinks, and what was pinned stays, whatever anybody calls.
    function check_CheckpointsStay(address caller) external {
        _anyCall(caller);

        assert(_registry.latestTreeSize() >= 2);
        assert(_registry.checkpointRoot(2) == keccak256("root of two"));
        assert(_registry.latestTreeSize() == 2 || caller == CHECKPOINTER);
    }

    /// @notice Nothing gives the admin's role away in one call, whoever makes it.
    function check_AdminIsNotReplacedInOneCall(address caller) external {
        vm.warp(1_790_000_000 + 365 days);

        _anyCall(caller);

        assert(_registry.defaultAdmin() == ADMIN);
    }

    function _anchor() private {
        vm.prank(REGISTRAR);
        _registry.anchor(RECORD);
    }

    /// @dev A call that reverts changes nothing, so only successful ones are of interest.
    function _anyCall(address caller) private returns (bytes4 selector) {
        bytes memory data = SVM.createCalldata("MedicalRecordRegistry");
        selector = bytes4(data);
        vm.prank(caller);
        (bool ok,) = address(_registry).call(data);
        vm.assume(ok);
    }

    /// @dev The whole slot: what `anchorOf` tells and anything that it might not.
    function _recordWord(bytes32 recordHash) private view returns (bytes32) {
        return vm.load(address(_registry), keccak256(abi.encode(recordHash, uint256(4))));
    }
}
