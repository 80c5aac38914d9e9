// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ConsentRegistry} from "../../src/ConsentRegistry.sol";
import {IChainedEvents} from "../../src/IChainedEvents.sol";
import {IConsentRegistry} from "../../src/IConsentRegistry.sol";
import {ChainedTest} from "../ChainedTest.sol";

/// @notice A consent registry, a patient with a key, and EIP-712 written a second time.
abstract contract ConsentTest is ChainedTest {
    bytes32 internal constant PAUSER_ROLE = keccak256("PAUSER_ROLE");
    bytes32 internal constant DETAILS = keccak256("salted details");

    address internal immutable relayer = makeAddr("relayer");
    address internal immutable patient;
    uint256 internal immutable key;

    ConsentRegistry internal consents;
    uint40 internal expiresAt;
    uint256 internal deadline;

    constructor() {
        (patient, key) = makeAddrAndKey("patient");
    }

    function setUp() public virtual {
        vm.warp(1_790_000_000);
        consents = new ConsentRegistry(1 days, admin);
        vm.prank(admin);
        consents.grantRole(PAUSER_ROLE, pauser);
        expiresAt = uint40(vm.getBlockTimestamp() + 365 days);
        deadline = vm.getBlockTimestamp() + 1 hours;
    }

    function _chain() internal view virtual override returns (IChainedEvents) {
        return consents;
    }

    function _grant(bytes memory sig) internal {
        vm.prank(relayer);
        consents.grant(patient, DETAILS, expiresAt, deadline, sig);
    }

    function _withdraw(bytes memory sig) internal {
        vm.prank(relayer);
        consents.withdraw(patient, DETAILS, deadline, sig);
    }

    function _signedGrant() internal view returns (bytes memory) {
        return _sign(key, _grantDigest(patient, DETAILS, expiresAt, deadline));
    }

    function _signedWithdrawal() internal view returns (bytes memory) {
        return _sign(key, _withdrawalDigest(patient, DETAILS, deadline));
    }

    function _sign(uint256 by, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(by, digest);
        return abi.encodePacked(r, s, v);
    }

    function _grantDigest(address who, bytes32 details, uint40 expiry, uint256 until) internal view returns (bytes32) {
        return _digest(
            abi.encode(
                keccak256(
                    "ConsentGrant(address patient,ConsentDetails details,uint40 expiresAt,uint256 deadline)ConsentDetails(string purpose,string grantee,string[] dataCategories,bytes32 salt)"
                ),
                who,
                details,
                expiry,
                until
            )
        );
    }

    function _withdrawalDigest(address who, bytes32 details, uint256 until) internal view returns (bytes32) {
        return _digest(
            abi.encode(
                keccak256(
                    "ConsentWithdrawal(address patient,ConsentDetails details,uint256 deadline)ConsentDetails(string purpose,string grantee,string[] dataCategories,bytes32 salt)"
                ),
                who,
                details,
                until
            )
        );
    }

    function _digest(bytes memory message) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("MediTrustAl Consent"),
                keccak256("1"),
                block.chainid,
                address(consents)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, keccak256(message)));
    }

    function _expectChanged(address who, bytes32 details, IConsentRegistry.ConsentStatus status, uint40 expiry)
        internal
        returns (uint40 seq, bytes25 head)
    {
        (seq, head) = _next(
            abi.encode(
                keccak256("ConsentChanged(address,bytes32,uint8,uint40,uint40,bytes25)"), who, details, status, expiry
            )
        );
        vm.expectEmit(address(consents));
        emit IConsentRegistry.ConsentChanged(who, details, status, expiry, seq, head);
    }

    function _expectState(IConsentRegistry.ConsentStatus status) internal {
        vm.expectRevert(abi.encodeWithSelector(IConsentRegistry.ConsentState.selector, status));
    }

    function _assertConsent(
        address who,
        bytes32 details,
        IConsentRegistry.ConsentStatus status,
        uint256 expiry,
        uint256 changed
    ) internal view {
        (IConsentRegistry.ConsentStatus s, uint40 e, uint40 c) = consents.consentOf(who, details);
        assertEq(uint8(s), uint8(status), "status");
        assertEq(e, expiry, "expiresAt");
        assertEq(c, changed, "changedAt");
    }
}
