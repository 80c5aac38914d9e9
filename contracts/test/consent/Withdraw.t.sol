// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ConsentRegistry} from "../../src/ConsentRegistry.sol";
import {IConsentRegistry} from "../../src/IConsentRegistry.sol";
import {ConsentTest} from "./ConsentTest.sol";
import {Wallet} from "./Wallet.sol";

contract WithdrawTest is ConsentTest {
    function test_Withdraw_RevertWhen_Withdrawn() external {
        _withdraw(_signedWithdrawal());
        bytes memory sig = _signedWithdrawal();

        _expectState(IConsentRegistry.ConsentStatus.Withdrawn);
        _withdraw(sig);
    }

    function test_Withdraw_RevertWhen_WithdrawnAndPatientCalls() external {
        _withdraw(_signedWithdrawal());

        _expectState(IConsentRegistry.ConsentStatus.Withdrawn);
        vm.prank(patient);
        consents.withdraw(patient, DETAILS, 0, "");
    }

    function test_Withdraw_RevertWhen_DeadlineHasPassed() external {
        bytes memory sig = _signedWithdrawal();
        vm.warp(deadline + 1);

        vm.expectRevert(abi.encodeWithSelector(IConsentRegistry.Expired.selector, deadline));
        _withdraw(sig);
    }

    function test_Withdraw_RevertWhen_SomebodyElseSigned() external {
        (, uint256 other) = makeAddrAndKey("somebody else");
        _expectBadSignature(_sign(other, _withdrawalDigest(patient, DETAILS, deadline)));
    }

    function test_Withdraw_RevertWhen_SignatureIsEmpty() external {
        _expectBadSignature("");
    }

    function test_Withdraw_RevertWhen_ASignedFieldIsAnother() external {
        _expectBadSignature(_sign(key, _withdrawalDigest(relayer, DETAILS, deadline)));
        _expectBadSignature(_sign(key, _withdrawalDigest(patient, keccak256("other"), deadline)));
        _expectBadSignature(_sign(key, _withdrawalDigest(patient, DETAILS, deadline + 1)));
    }

    function test_Withdraw_RevertWhen_SignatureIsOfAGrant() external {
        _grant(_signedGrant());

        _expectBadSignature(_signedGrant());
    }

    function test_Withdraw_RevertWhen_SignedForAnotherChain() external {
        bytes memory sig = _signedWithdrawal();

        vm.chainId(block.chainid + 1);
        _expectBadSignature(sig);
    }

    function test_Withdraw_RevertWhen_SignedForAnotherContract() external {
        bytes memory sig = _signedWithdrawal();

        consents = new ConsentRegistry(0, admin);
        _expectBadSignature(sig);
    }

    function test_Withdraw_TakesBackAGrantAndKeepsItsExpiry() external {
        _grant(_signedGrant());
        bytes memory sig = _signedWithdrawal();
        vm.warp(deadline);

        (uint40 seq, bytes25 head) =
            _expectChanged(patient, DETAILS, IConsentRegistry.ConsentStatus.Withdrawn, expiresAt);
        _withdraw(sig);

        _assertConsent(patient, DETAILS, IConsentRegistry.ConsentStatus.Withdrawn, expiresAt, deadline);
        _assertHead(seq, head);
    }

    function test_Withdraw_WhenNothingWasGranted() external {
        bytes memory sig = _signedWithdrawal();

        (uint40 seq, bytes25 head) = _expectChanged(patient, DETAILS, IConsentRegistry.ConsentStatus.Withdrawn, 0);
        _withdraw(sig);

        _assertConsent(patient, DETAILS, IConsentRegistry.ConsentStatus.Withdrawn, 0, vm.getBlockTimestamp());
        _assertHead(seq, head);
    }

    function test_Withdraw_WhenThePatientCallsWithoutSignatureOrDeadline() external {
        _grant(_signedGrant());

        vm.prank(patient);
        consents.withdraw(patient, DETAILS, 0, "");

        _assertConsent(patient, DETAILS, IConsentRegistry.ConsentStatus.Withdrawn, expiresAt, vm.getBlockTimestamp());
    }

    function test_Withdraw_WhenTheConsentIsOver() external {
        _grant(_signedGrant());
        vm.warp(uint256(expiresAt) + 1);

        vm.prank(patient);
        consents.withdraw(patient, DETAILS, 0, "");

        _assertConsent(patient, DETAILS, IConsentRegistry.ConsentStatus.Withdrawn, expiresAt, uint256(expiresAt) + 1);
    }

    function test_Withdraw_WhenPaused() external {
        _grant(_signedGrant());
        bytes memory sig = _signedWithdrawal();
        _pause();

        _withdraw(sig);

        _assertConsent(patient, DETAILS, IConsentRegistry.ConsentStatus.Withdrawn, expiresAt, vm.getBlockTimestamp());
        _assertPaused(true);
    }

    function test_Withdraw_WhenTheWalletAccepts() external {
        Wallet wallet = new Wallet(patient);
        bytes memory inner = _sign(key, _withdrawalDigest(address(wallet), DETAILS, deadline));

        consents.withdraw(address(wallet), DETAILS, deadline, bytes.concat(hex"77", inner));

        _assertConsent(address(wallet), DETAILS, IConsentRegistry.ConsentStatus.Withdrawn, 0, vm.getBlockTimestamp());
    }

    function testFuzz_Withdraw_TouchesNobodyElse(address who, bytes32 details) external {
        vm.assume(who != patient || details != DETAILS);
        _grant(_signedGrant());

        vm.prank(who);
        consents.withdraw(who, details, 0, "");

        _assertConsent(who, details, IConsentRegistry.ConsentStatus.Withdrawn, 0, vm.getBlockTimestamp());
        _assertConsent(patient, DETAILS, IConsentRegistry.ConsentStatus.Granted, expiresAt, vm.getBlockTimestamp());
    }

    function testFuzz_Withdraw_RevertWhen_CallerIsNotThePatient(address who, bytes calldata sig) external {
        vm.assume(who != patient && keccak256(sig) != keccak256(_signedWithdrawal()));

        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        vm.prank(who);
        consents.withdraw(patient, DETAILS, deadline, sig);
    }

    function _expectBadSignature(bytes memory sig) private {
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        _withdraw(sig);
    }
}
