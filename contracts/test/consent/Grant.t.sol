// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ConsentRegistry} from "../../src/ConsentRegistry.sol";
import {IChainedEvents} from "../../src/IChainedEvents.sol";
import {IConsentRegistry} from "../../src/IConsentRegistry.sol";
import {ConsentTest} from "./ConsentTest.sol";
import {Wallet} from "./Wallet.sol";

contract GrantTest is ConsentTest {
    function test_Grant_RevertWhen_Paused() external {
        bytes memory sig = _signedGrant();
        _pause();

        vm.expectRevert(IChainedEvents.IsPaused.selector);
        _grant(sig);
    }

    function test_Grant_RevertWhen_DeadlineHasPassed() external {
        bytes memory sig = _signedGrant();
        vm.warp(deadline + 1);

        vm.expectRevert(abi.encodeWithSelector(IConsentRegistry.Expired.selector, deadline));
        _grant(sig);
    }

    function test_Grant_RevertWhen_ConsentWouldBeOver() external {
        expiresAt = uint40(vm.getBlockTimestamp());
        bytes memory sig = _signedGrant();

        vm.expectRevert(abi.encodeWithSelector(IConsentRegistry.Expired.selector, expiresAt));
        _grant(sig);
    }

    function test_Grant_RevertWhen_Granted() external {
        bytes memory sig = _signedGrant();
        _grant(sig);

        _expectState(IConsentRegistry.ConsentStatus.Granted);
        _grant(sig);
    }

    function test_Grant_RevertWhen_Withdrawn() external {
        bytes memory sig = _signedGrant();
        _grant(sig);
        _withdraw(_signedWithdrawal());

        _expectState(IConsentRegistry.ConsentStatus.Withdrawn);
        _grant(sig);
    }

    function test_Grant_RevertWhen_WithdrawnBeforeItWasRelayed() external {
        bytes memory sig = _signedGrant();
        _withdraw(_signedWithdrawal());

        _expectState(IConsentRegistry.ConsentStatus.Withdrawn);
        _grant(sig);
    }

    function test_Grant_RevertWhen_SomebodyElseSigned() external {
        (, uint256 other) = makeAddrAndKey("somebody else");
        bytes memory sig = _sign(other, _grantDigest(patient, DETAILS, expiresAt, deadline));

        _expectBadSignature(sig);
    }

    function test_Grant_RevertWhen_SignatureIsEmpty() external {
        _expectBadSignature("");
    }

    function test_Grant_RevertWhen_SignatureIsMalleated() external {
        // The same signature with s on the other half of the curve, which ecrecover itself would take.
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _grantDigest(patient, DETAILS, expiresAt, deadline));
        uint256 n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

        _expectBadSignature(abi.encodePacked(r, n - uint256(s), v == 27 ? 28 : 27));
    }

    function test_Grant_RevertWhen_SignatureIsShort() external {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _grantDigest(patient, DETAILS, expiresAt, deadline));

        _expectBadSignature(abi.encodePacked(r, bytes32(uint256(s) | uint256(v - 27) << 255)));
    }

    function test_Grant_RevertWhen_ASignedFieldIsAnother() external {
        _expectBadSignature(_sign(key, _grantDigest(relayer, DETAILS, expiresAt, deadline)));
        _expectBadSignature(_sign(key, _grantDigest(patient, keccak256("other"), expiresAt, deadline)));
        _expectBadSignature(_sign(key, _grantDigest(patient, DETAILS, expiresAt + 1, deadline)));
        _expectBadSignature(_sign(key, _grantDigest(patient, DETAILS, expiresAt, deadline + 1)));
    }

    function test_Grant_RevertWhen_SignatureIsOfAWithdrawal() external {
        _expectBadSignature(_signedWithdrawal());
    }

    function test_Grant_RevertWhen_SignedForAnotherChain() external {
        bytes memory sig = _signedGrant();

        vm.chainId(block.chainid + 1);
        _expectBadSignature(sig);
    }

    function test_Grant_RevertWhen_SignedForAnotherContract() external {
        bytes memory sig = _signedGrant();

        consents = new ConsentRegistry(0, admin);
        _expectBadSignature(sig);
    }

    /// @dev ecrecover answers zero for garbage; zero must not become a patient.
    function test_Grant_RevertWhen_PatientIsZero() external {
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.grant(address(0), DETAILS, expiresAt, deadline, new bytes(65));
    }

    function test_Grant_RevertWhen_WalletRefuses() external {
        Wallet wallet = new Wallet(patient);
        bytes memory sig = _sign(key, _grantDigest(address(wallet), DETAILS, expiresAt, deadline));

        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.grant(address(wallet), DETAILS, expiresAt, deadline, sig);
    }

    function test_Grant_RevertWhen_PatientIsAContractThatIsNoWallet() external {
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.grant(address(consents), DETAILS, expiresAt, deadline, new bytes(65));
    }

    function test_Grant_StoresTheConsentAndSaysSo() external {
        bytes memory sig = _signedGrant();

        (uint40 seq, bytes25 head) = _expectChanged(patient, DETAILS, IConsentRegistry.ConsentStatus.Granted, expiresAt);
        _grant(sig);

        _assertConsent(patient, DETAILS, IConsentRegistry.ConsentStatus.Granted, expiresAt, vm.getBlockTimestamp());
        _assertHead(seq, head);
    }

    function test_Grant_WhenItNeverExpires() external {
        expiresAt = 0;
        _grant(_signedGrant());

        _assertConsent(patient, DETAILS, IConsentRegistry.ConsentStatus.Granted, 0, vm.getBlockTimestamp());
    }

    function test_Grant_WhenTimeIsTheDeadlineAndTheLastSecondOfTheConsent() external {
        expiresAt = uint40(deadline + 1);
        bytes memory sig = _signedGrant();
        vm.warp(deadline);

        _grant(sig);

        _assertConsent(patient, DETAILS, IConsentRegistry.ConsentStatus.Granted, expiresAt, deadline);
    }

    function test_Grant_WhenTheWalletAccepts() external {
        Wallet wallet = new Wallet(patient);
        bytes memory inner = _sign(key, _grantDigest(address(wallet), DETAILS, expiresAt, deadline));

        consents.grant(address(wallet), DETAILS, expiresAt, deadline, bytes.concat(hex"77", inner));

        _assertConsent(
            address(wallet), DETAILS, IConsentRegistry.ConsentStatus.Granted, expiresAt, vm.getBlockTimestamp()
        );
    }

    /// @dev The account has code which knows nothing of EIP-1271; its key still signs for it.
    function test_Grant_WhenTheAccountHasDelegatedCode() external {
        vm.signAndAttachDelegation(address(new Delegate()), key);
        _grant(_signedGrant());

        assertGt(patient.code.length, 0, "the account had no code");
        _assertConsent(patient, DETAILS, IConsentRegistry.ConsentStatus.Granted, expiresAt, vm.getBlockTimestamp());
    }

    function testFuzz_Grant_TakesAnyConsentOfAnyKey(
        uint256 anyKey,
        bytes32 details,
        uint40 expiry,
        uint256 until,
        uint40 time
    ) external {
        anyKey = bound(anyKey, 1, 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140);
        address who = vm.addr(anyKey);
        vm.warp(time);
        until = bound(until, time, type(uint256).max);
        if (expiry <= time) expiry = 0;
        bytes memory sig = _sign(anyKey, _grantDigest(who, details, expiry, until));

        (uint40 seq, bytes25 head) = _expectChanged(who, details, IConsentRegistry.ConsentStatus.Granted, expiry);
        consents.grant(who, details, expiry, until, sig);

        _assertConsent(who, details, IConsentRegistry.ConsentStatus.Granted, expiry, time);
        _assertHead(seq, head);
    }

    function testFuzz_Grant_RevertWhen_SignatureIsAnything(bytes calldata sig) external {
        vm.assume(keccak256(sig) != keccak256(_signedGrant()));
        _expectBadSignature(sig);
    }

    function _expectBadSignature(bytes memory sig) private {
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        _grant(sig);
    }
}

/// @notice Code for an account that has no EIP-1271.
contract Delegate {
    function nothing() external {}
}
