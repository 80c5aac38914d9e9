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
    bytes32 private constant MINE = bytes32(uint256(0x2ab));

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

        assert(_recordWord(other) == 0);
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

    /// @notice What a steward revoked stays as it is, whatever anybody but the admin calls.
    function check_RevokedStaysRevoked(address caller) external {
        _anchor();
        vm.prank(STEWARD);
        _registry.close(RECORD, IMedicalRecordRegistry.Status.Revoked, 1);
        bytes32 before = _recordWord(RECORD);

        _anyCall(caller);

        assert(_recordWord(RECORD) == before || caller == ADMIN);
        assert(_registry.successorOf(RECORD) == 0);
    }

    /// @notice What a registrar ended is changed by nobody but a steward, whatever anybody calls.
    function check_OnlyStewardsAnnulWhatRegistrarsEnded(address caller) external {
        _anchor();
        _close(REGISTRAR, RECORD);
        bytes32 before = _recordWord(RECORD);

        _anyCall(caller);

        bytes32 afterwards = _recordWord(RECORD);
        assert(afterwards == before || caller == STEWARD);
        assert(afterwards >> 88 == before >> 88);
    }

    /// @notice What was annulled stands with the origin it had, and with no trace of its end.
    function check_AnnulRestoresTheRecord(uint256 time) external {
        _anchor();
        bytes32 before = _recordWord(RECORD);
        _close(REGISTRAR, RECORD);
        vm.assume(time >= 1_790_000_000 && time <= 1_790_000_000 + 30 days);
        vm.warp(time);

        vm.prank(STEWARD);
        _registry.annul(RECORD);

        assert(_recordWord(RECORD) == before);
    }

    /// @notice After the period an end is final, whatever anybody calls.
    function check_EndsAreFinalAfterThePeriod(address caller) external {
        _anchor();
        _close(REGISTRAR, RECORD);
        bytes32 before = _recordWord(RECORD);
        vm.warp(1_790_000_000 + 30 days + 1);

        _anyCall(caller);

        assert(_recordWord(RECORD) == before);
    }

    /// @notice No registrar, alone and within one window, ends more records than the limit: whatever it calls once the
    /// limit is reached, its other record stands, and so does a colleague's.
    function check_RegistrarsEndNoMoreThanTheirLimit(bytes32 other) external {
        vm.prank(ADMIN);
        _registry.setEndingLimit(REGISTRAR, 1);
        _anchor();
        vm.assume(other != RECORD && other != MINE);
        _place(other, 2);
        _place(MINE, 1);
        _close(REGISTRAR, RECORD);
        (bytes32 mine, bytes32 colleagues) = (_recordWord(MINE), _recordWord(other));

        _anyCall(REGISTRAR);

        assert(_recordWord(MINE) == mine);
        assert(_recordWord(other) == colleagues);
    }

    /// @notice The same for ends by `supersede`.
    function check_SupersedingCountsTowardsTheLimit(bytes32 next) external {
        vm.prank(ADMIN);
        _registry.setEndingLimit(REGISTRAR, 1);
        _place(RECORD, 1);
        _place(MINE, 1);
        vm.assume(next != MINE);
        vm.prank(REGISTRAR);
        _registry.supersede(RECORD, next);
        bytes32 mine = _recordWord(MINE);

        _anyCall(REGISTRAR);

        assert(_recordWord(MINE) == mine);
    }

    /// @notice While it is paused a registrar ends nothing, whatever it calls.
    function check_PausedRegistrarsEndNothing() external {
        _anchor();
        vm.prank(PAUSER);
        _registry.setPaused(true);
        bytes32 before = _recordWord(RECORD);

        _anyCall(REGISTRAR);

        assert(_recordWord(RECORD) == before);
    }

    /// @notice No key but the admin's changes a limit.
    function check_OnlyTheAdminSetsLimits(address caller) external {
        (uint16 before,) = _registry.endingLimitOf(REGISTRAR);

        _anyCall(caller);

        (uint16 limit,) = _registry.endingLimitOf(REGISTRAR);
        assert(limit == before || caller == ADMIN);
    }

    /// @notice Nobody but the admin gives anybody a role, and nobody else takes another's.
    function check_OnlyTheAdminChangesRoles(address caller, address account, uint8 which) external {
        bytes32 role = which % 3 == 0
            ? _registry.REGISTRAR_ROLE()
            : which % 3 == 1 ? _registry.STEWARD_ROLE() : _registry.CHECKPOINT_ROLE();
        bool before = _registry.hasRole(role, account);

        _anyCall(caller);

        bool afterwards = _registry.hasRole(role, account);
        assert(afterwards == before || caller == ADMIN || (caller == account && before));
    }

    /// @notice A record that stands keeps its registrar, block and time, whatever anybody calls; and only its
    /// registrar or a steward can end it.
    function check_OnlyItsPeopleEndARecord(address caller) external {
        _anchor();
        bytes32 before = _recordWord(RECORD);

        _anyCall(caller);

        bytes32 afterwards = _recordWord(RECORD);
        assert(afterwards >> 88 == before >> 88);
        assert(afterwards == before || caller == REGISTRAR || caller == STEWARD);
    }

    /// @notice No key but a steward's changes another's record, nor what is told to have taken its place, whatever it
    /// calls.
    function check_OnlyStewardsChangeAnothersRecord(address caller) external {
        vm.assume(caller != REGISTRAR && caller != STEWARD);
        _anchor();
        bytes32 before = _recordWord(RECORD);

        _anyCall(caller);

        assert(_recordWord(RECORD) == before);
        (bytes32 newest, bool complete, IMedicalRecordRegistry.Status status) = _registry.currentOf(RECORD, 2);
        assert(newest == RECORD && complete && status == IMedicalRecordRegistry.Status.Active);
    }

    /// @notice Whatever anybody calls: the sequence grows by one, or head and pause stay as they are.
    function check_SequenceHasNoGap(address caller) external {
        (bytes25 head, uint40 seq, bool paused) = _registry.head();

        _anyCall(caller);

        (bytes25 newHead, uint40 newSeq, bool newPaused) = _registry.head();
        assert(newSeq == seq + 1 || (newSeq == seq && newHead == head && newPaused == paused));
    }

    /// @notice While it is paused nobody but a steward and the admin moves the head, except to pause again or to give up
    /// a role.
    function check_PauseStopsEntries(address caller) external {
        _anchor();
        vm.prank(PAUSER);
        _registry.setPaused(true);
        (, uint40 seq,) = _registry.head();

        bytes4 selector = _anyCall(caller);

        (, uint40 newSeq,) = _registry.head();
        assert(
            newSeq == seq || caller == STEWARD || caller == ADMIN || selector == _registry.setPaused.selector
                || selector == _registry.renounceRole.selector
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

    /// @notice What was pinned stays, whatever anybody calls, and the log shrinks only with a new epoch, by the admin.
    function check_CheckpointsStay(address caller) external {
        _anyCall(caller);

        (uint64 epoch, uint64 size,) = _registry.latestCheckpoint();
        assert(_registry.checkpointRoot(0, 2) == keccak256("root of two"));
        assert(epoch == 0 ? size >= 2 : caller == ADMIN);
        assert((epoch == 0 && size == 2) || caller == CHECKPOINTER || caller == ADMIN);
    }

    /// @notice Nothing gives the admin's role away in one call, whoever makes it.
    function check_AdminIsNotReplacedInOneCall(address caller) external {
        vm.warp(1_790_000_000 + 365 days);

        _anyCall(caller);

        assert(_registry.defaultAdmin() == ADMIN);
    }

    function _close(address by, bytes32 recordHash) private {
        vm.prank(by);
        _registry.close(recordHash, IMedicalRecordRegistry.Status.Revoked, 1);
    }

    /// @dev A record that stands, of the actor with this number: one property is one transaction, in which one record
    /// can be anchored.
    function _place(bytes32 recordHash, uint256 actor) private {
        bytes32 word = bytes32(uint256(9) << 200 | actor << 176 | uint256(1_790_000_000) << 88 | 1);
        vm.store(address(_registry), keccak256(abi.encode(recordHash, uint256(4))), word);
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
