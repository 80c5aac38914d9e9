// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {ChainedEvents} from "./ChainedEvents.sol";
import {IConsentRegistry} from "./IConsentRegistry.sol";

/// @title The registry of patients' own consent signatures
/// @author MediTrustAl
/// @notice See IConsentRegistry. Its only privileged acts are the pause and the roles: nobody but the patient, not
/// even the admin, can change a consent.
contract ConsentRegistry is IConsentRegistry, ChainedEvents, EIP712 {
    bytes32 private constant _GRANT_TYPEHASH = keccak256(
        "ConsentGrant(address patient,ConsentDetails details,uint40 expiresAt,uint256 deadline)"
        "ConsentDetails(string purpose,string grantee,string[] dataCategories,bytes32 salt)"
    );

    bytes32 private constant _WITHDRAWAL_TYPEHASH = keccak256(
        "ConsentWithdrawal(address patient,ConsentDetails details,uint256 deadline)"
        "ConsentDetails(string purpose,string grantee,string[] dataCategories,bytes32 salt)"
    );

    /// @dev expiresAt (40 bits) | changedAt (40) | status (8)
    mapping(address patient => mapping(bytes32 detailsHash => uint256 word)) private _consents;

    /// @param adminDelay How long the two steps that change the admin take. Unit: seconds.
    /// @param admin The first admin.
    constructor(uint48 adminDelay, address admin) ChainedEvents(adminDelay, admin) EIP712("MediTrustAl Consent", "1") {}

    /// @inheritdoc IConsentRegistry
    function grant(address patient, bytes32 detailsHash, uint40 expiresAt, uint256 deadline, bytes calldata sig)
        external
    {
        uint256 word = _openWord();
        if (block.timestamp > deadline) revert Expired(deadline);
        if (expiresAt != 0 && block.timestamp >= expiresAt) revert Expired(expiresAt);
        ConsentStatus status = _status(_consents[patient][detailsHash]);
        if (status != ConsentStatus.None) revert ConsentState(status);
        _checkSigned(patient, keccak256(abi.encode(_GRANT_TYPEHASH, patient, detailsHash, expiresAt, deadline)), sig);

        _write(word, patient, detailsHash, ConsentStatus.Granted, expiresAt);
    }

    /// @inheritdoc IConsentRegistry
    function withdraw(address patient, bytes32 detailsHash, uint256 deadline, bytes calldata sig) external {
        uint256 consent = _consents[patient][detailsHash];
        if (_status(consent) == ConsentStatus.Withdrawn) revert ConsentState(ConsentStatus.Withdrawn);
        if (msg.sender != patient) {
            if (block.timestamp > deadline) revert Expired(deadline);
            _checkSigned(patient, keccak256(abi.encode(_WITHDRAWAL_TYPEHASH, patient, detailsHash, deadline)), sig);
        }

        _write(_word(), patient, detailsHash, ConsentStatus.Withdrawn, uint40(consent >> 48));
    }

    /// @inheritdoc IConsentRegistry
    function consentOf(address patient, bytes32 detailsHash) external view returns (ConsentStatus, uint40, uint40) {
        uint256 consent = _consents[patient][detailsHash];
        return (_status(consent), uint40(consent >> 48), uint40(consent >> 8));
    }

    /// @notice Whether the contract has an interface, by ERC-165.
    /// @param interfaceId The interface's id.
    /// @return supported Whether it has it.
    function supportsInterface(bytes4 interfaceId) public view override returns (bool supported) {
        return interfaceId == type(IConsentRegistry).interfaceId || super.supportsInterface(interfaceId);
    }

    /// @dev Writes what a consent is from now on, and says so.
    /// @param word The head word.
    /// @param patient The patient.
    /// @param detailsHash What the patient agreed to.
    /// @param status Whether it is granted or withdrawn.
    /// @param expiresAt Until when it was granted, or zero. Unit: seconds since 1970.
    function _write(uint256 word, address patient, bytes32 detailsHash, ConsentStatus status, uint40 expiresAt)
        private
    {
        _consents[patient][detailsHash] =
            uint256(expiresAt) << 48 | uint256(uint40(block.timestamp)) << 8 | uint256(status);
        (uint40 seq, bytes25 next) =
            _advance(word, keccak256(abi.encode(ConsentChanged.selector, patient, detailsHash, status, expiresAt)));
        emit ConsentChanged(patient, detailsHash, status, expiresAt, seq, next);
    }

    /// @dev The key is tried before the code: an account with EIP-7702 code still signs with its key.
    /// @param patient Who must have signed.
    /// @param structHash What, as EIP-712 hashes it.
    /// @param sig The signature.
    function _checkSigned(address patient, bytes32 structHash, bytes calldata sig) private view {
        bytes32 digest = _hashTypedDataV4(structHash);
        (address signer, ECDSA.RecoverError err,) = ECDSA.tryRecoverCalldata(digest, sig);
        if (err == ECDSA.RecoverError.NoError && signer == patient) return;
        if (!SignatureChecker.isValidERC1271SignatureNowCalldata(patient, digest, sig)) revert BadSignature();
    }

    /// @dev How a consent stands.
    /// @param consent The consent's word.
    /// @return status The status.
    function _status(uint256 consent) private pure returns (ConsentStatus status) {
        return ConsentStatus(uint8(consent));
    }
}
