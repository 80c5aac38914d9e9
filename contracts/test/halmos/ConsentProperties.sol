// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {ConsentRegistry} from "../../src/ConsentRegistry.sol";
import {IConsentRegistry} from "../../src/IConsentRegistry.sol";
import {SVM} from "./Svm.sol";

/// @notice Properties of the consent registry that halmos proves for all inputs and callers. forge does not run them.
contract ConsentProperties is Test {
    address private constant ADMIN = address(0xad);
    address private constant PAUSER = address(0xba);
    address private constant PATIENT = address(0x9a);
    bytes32 private constant DETAILS = bytes32(uint256(0xde7a));

    ConsentRegistry private _consents;

    function setUp() public {
        vm.warp(1_790_000_000);
        _consents = new ConsentRegistry(1 days, ADMIN);
        bytes32 role = _consents.PAUSER_ROLE();
        vm.prank(ADMIN);
        _consents.grantRole(role, PAUSER);
    }

    /// @notice A consent that was withdrawn stays as it is, whatever anybody calls, with whatever signature.
    function check_WithdrawnStaysWithdrawn(address caller) external {
        vm.prank(PATIENT);
        _consents.withdraw(PATIENT, DETAILS, 0, "");
        bytes32 before = _word(PATIENT, DETAILS);
        vm.warp(1_790_000_000 + 1 days);

        _anyCall(caller);

        assert(_word(PATIENT, DETAILS) == before);
    }

    /// @notice Who withdraws their own consent touches nobody else's and no other.
    function check_WithdrawTouchesNoOtherConsent(address caller, bytes32 details, address other, bytes32 otherDetails)
        external
    {
        vm.assume(caller != other || details != otherDetails);
        bytes32 before = _word(other, otherDetails);

        vm.prank(caller);
        _consents.withdraw(caller, details, 0, "");

        assert(_word(other, otherDetails) == before);
    }

    /// @notice Without a signature nobody but the patient changes a consent.
    function check_NobodyChangesAConsentUnsigned(address caller, uint256 deadline) external {
        vm.prank(caller);
        _consents.withdraw(PATIENT, DETAILS, deadline, "");

        assert(caller == PATIENT);
    }

    /// @notice While it is paused nobody grants.
    function check_PauseStopsGrants(
        address caller,
        address patient,
        bytes32 details,
        uint40 expiresAt,
        uint256 deadline
    ) external {
        vm.prank(PAUSER);
        _consents.setPaused(true);
        bytes memory sig = SVM.createBytes(65, "sig");

        vm.prank(caller);
        (bool ok,) =
            address(_consents).call(abi.encodeCall(_consents.grant, (patient, details, expiresAt, deadline, sig)));

        assert(!ok);
    }

    /// @notice A grant leaves exactly what was signed: granted, with that expiry, at this time.
    function check_GrantStoresWhatWasSigned(
        address caller,
        address patient,
        bytes32 details,
        uint40 expiresAt,
        uint256 deadline
    ) external {
        bytes memory sig = SVM.createBytes(65, "sig");

        vm.prank(caller);
        _consents.grant(patient, details, expiresAt, deadline, sig);

        (IConsentRegistry.ConsentStatus status, uint40 expiry, uint40 changedAt) = _consents.consentOf(patient, details);
        assert(status == IConsentRegistry.ConsentStatus.Granted);
        assert(expiry == expiresAt);
        assert(changedAt == block.timestamp);
        assert(block.timestamp <= deadline);
        assert(expiresAt == 0 || expiresAt > block.timestamp);
    }

    /// @notice Whatever anybody calls: the sequence grows by one, or head and pause stay as they are.
    function check_SequenceHasNoGap(address caller) external {
        (bytes25 head, uint40 seq, bool paused) = _consents.head();

        _anyCall(caller);

        (bytes25 newHead, uint40 newSeq, bool newPaused) = _consents.head();
        assert(newSeq == seq + 1 || (newSeq == seq && newHead == head && newPaused == paused));
    }

    function _anyCall(address caller) private {
        bytes memory data = SVM.createCalldata("ConsentRegistry");
        vm.prank(caller);
        (bool ok,) = address(_consents).call(data);
        vm.assume(ok);
    }

    function _word(address patient, bytes32 details) private view returns (bytes32) {
        return vm.load(address(_consents), keccak256(abi.encode(details, keccak256(abi.encode(patient, uint256(6))))));
    }
}
