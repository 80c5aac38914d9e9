// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC5267} from "@openzeppelin/contracts/interfaces/IERC5267.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {IChainedEvents} from "../../src/IChainedEvents.sol";
import {IConsentRegistry} from "../../src/IConsentRegistry.sol";
import {ConsentTest} from "./ConsentTest.sol";

/// @notice What a wallet is given as JSON, hashed by an implementation that is not ours, is what the contract checks.
contract TypedDataTest is ConsentTest {
    string private constant DOMAIN_AND_DETAILS = '"EIP712Domain":[{"name":"name","type":"string"},{"name":"version","type":"string"},'
        '{"name":"chainId","type":"uint256"},{"name":"verifyingContract","type":"address"}],'
        '"ConsentDetails":[{"name":"purpose","type":"string"},{"name":"grantee","type":"string"},'
        '{"name":"dataCategories","type":"string[]"},{"name":"salt","type":"bytes32"}]';

    bytes32 private _detailsHash;

    function setUp() public override {
        super.setUp();
        bytes32[] memory categories = new bytes32[](2);
        (categories[0], categories[1]) = (keccak256("LAB_RESULT"), keccak256("IMAGING"));
        _detailsHash = keccak256(
            abi.encode(
                keccak256("ConsentDetails(string purpose,string grantee,string[] dataCategories,bytes32 salt)"),
                keccak256("treatment"),
                keccak256("Dr. Bo"),
                keccak256(abi.encodePacked(categories)),
                keccak256("salt")
            )
        );
    }

    function test_Grant_WhenAWalletSignedTheJson() external {
        bytes32 digest = _hash(
            "ConsentGrant",
            '{"name":"expiresAt","type":"uint40"},',
            string.concat('"expiresAt":', vm.toString(expiresAt), ",")
        );

        consents.grant(patient, _detailsHash, expiresAt, deadline, _sign(key, digest));

        _assertConsent(patient, _detailsHash, IConsentRegistry.ConsentStatus.Granted, expiresAt, vm.getBlockTimestamp());
    }

    function test_Withdraw_WhenAWalletSignedTheJson() external {
        bytes32 digest = _hash("ConsentWithdrawal", "", "");

        consents.withdraw(patient, _detailsHash, deadline, _sign(key, digest));

        _assertConsent(patient, _detailsHash, IConsentRegistry.ConsentStatus.Withdrawn, 0, vm.getBlockTimestamp());
    }

    function test_Eip712Domain_SaysWhatAWalletNeeds() external view {
        (bytes1 fields, string memory name, string memory version, uint256 chainId, address verifier, bytes32 salt,) =
            IERC5267(address(consents)).eip712Domain();

        assertEq(fields, hex"0f");
        assertEq(name, "MediTrustAl Consent");
        assertEq(version, "1");
        assertEq(chainId, block.chainid);
        assertEq(verifier, address(consents));
        assertEq(salt, 0);
    }

    function test_SupportsInterface_KnowsTheOwn() external view {
        assertTrue(consents.supportsInterface(type(IERC165).interfaceId));
        assertTrue(consents.supportsInterface(type(IChainedEvents).interfaceId));
        assertTrue(consents.supportsInterface(type(IConsentRegistry).interfaceId));
        assertFalse(consents.supportsInterface(0xffffffff));
    }

    function test_ConsentOf_WhenUnknown() external view {
        _assertConsent(patient, DETAILS, IConsentRegistry.ConsentStatus.None, 0, 0);
    }

    function test_SetPaused_StopsAndReleasesGrants() external {
        bytes memory sig = _signedGrant();
        _pause();
        vm.expectRevert(IChainedEvents.IsPaused.selector);
        _grant(sig);

        vm.prank(admin);
        consents.setPaused(false);

        _grant(sig);
        (, uint40 seq,) = consents.head();
        assertEq(seq, 5);
    }

    function _hash(string memory primary, string memory extraType, string memory extraValue)
        private
        view
        returns (bytes32)
    {
        string memory types = string.concat(
            '{"types":{',
            DOMAIN_AND_DETAILS,
            ',"',
            primary,
            '":[{"name":"patient","type":"address"},{"name":"details","type":"ConsentDetails"},'
        );
        types = string.concat(types, extraType, '{"name":"deadline","type":"uint256"}]},"primaryType":"', primary);
        string memory domain = string.concat(
            '","domain":{"name":"MediTrustAl Consent","version":"1","chainId":',
            vm.toString(block.chainid),
            ',"verifyingContract":"',
            vm.toString(address(consents))
        );
        string memory details = string.concat(
            '"},"message":{"patient":"',
            vm.toString(patient),
            '","details":{"purpose":"treatment","grantee":"Dr. Bo","dataCategories":["LAB_RESULT","IMAGING"],"salt":"',
            vm.toString(keccak256("salt"))
        );
        string memory rest = string.concat('"},', extraValue, '"deadline":', vm.toString(deadline), "}}");
        return vm.eip712HashTypedData(string.concat(types, domain, details, rest));
    }
}
