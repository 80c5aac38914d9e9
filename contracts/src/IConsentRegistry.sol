// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IChainedEvents} from "./IChainedEvents.sol";

/// @title The registry of patients' own consent signatures
/// @author MediTrustAl
/// @notice Off by default: a patient's address is a pseudonym that may lead to a public wallet. A patient signs
/// EIP-712 typed data in which the wallet shows every detail; the chain sees the details only as one salted hash.
/// A consent goes from `None` to `Granted` to `Withdrawn` and never back, so no signature works twice and none needs
/// a nonce. To grant again is to sign fresh details with a fresh salt.
///
/// What is signed, domain name "MediTrustAl Consent", version "1":
///
///     ConsentGrant(address patient,ConsentDetails details,uint40 expiresAt,uint256 deadline)
///     ConsentWithdrawal(address patient,ConsentDetails details,uint256 deadline)
///     ConsentDetails(string purpose,string grantee,string[] dataCategories,bytes32 salt)
interface IConsentRegistry is IChainedEvents {
    /// @notice Where a consent stands.
    /// @custom:variant None Never granted, never withdrawn.
    /// @custom:variant Granted Given. Whether it is still in force depends on its expiry, too.
    /// @custom:variant Withdrawn Taken back, for ever.
    enum ConsentStatus {
        None,
        Granted,
        Withdrawn
    }

    /// @notice A consent was granted or withdrawn.
    /// @param patient The patient's address.
    /// @param detailsHash The EIP-712 hash of the ConsentDetails.
    /// @param status `Granted` or `Withdrawn`.
    /// @param expiresAt When the grant ends by itself, or zero for never. Unit: seconds since 1970.
    /// @param seq The number of this event.
    /// @param head The rolling hash after this event.
    event ConsentChanged(
        address indexed patient,
        bytes32 indexed detailsHash,
        ConsentStatus indexed status,
        uint40 expiresAt,
        uint40 seq,
        bytes25 head
    );

    /// @notice Thrown when a signature came too late, or a consent would be over before it began.
    /// @param deadline The time that has passed. Unit: seconds since 1970.
    error Expired(uint256 deadline);

    /// @notice Thrown when the signature is not the patient's, neither by key nor by EIP-1271.
    error BadSignature();

    /// @notice Thrown when the consent cannot change in this way. A relayer whose change is already there has won.
    /// @param status Where the consent stands.
    error ConsentState(ConsentStatus status);

    /// @notice Records a consent. Anyone may relay the patient's signature.
    /// @param patient The patient, who signed.
    /// @param detailsHash The EIP-712 hash of the ConsentDetails.
    /// @param expiresAt When the consent ends by itself, or zero for never. Unit: seconds since 1970.
    /// @param deadline The last second in which the signature may be used. Unit: seconds since 1970.
    /// @param sig The patient's signature of the ConsentGrant: 65 bytes, or what their EIP-1271 wallet accepts.
    function grant(address patient, bytes32 detailsHash, uint40 expiresAt, uint256 deadline, bytes calldata sig)
        external;

    /// @notice Takes a consent back, for ever; also one whose grant nobody has relayed yet. Works while paused.
    /// @param patient The patient. Who sends this themselves needs neither signature nor deadline.
    /// @param detailsHash The EIP-712 hash of the ConsentDetails.
    /// @param deadline The last second in which the signature may be used. Unit: seconds since 1970.
    /// @param sig The patient's signature of the ConsentWithdrawal: 65 bytes, or what their EIP-1271 wallet accepts.
    function withdraw(address patient, bytes32 detailsHash, uint256 deadline, bytes calldata sig) external;

    /// @notice Where a consent stands. A consent is in force while `Granted` and `expiresAt` is zero or to come.
    /// @param patient The patient.
    /// @param detailsHash The EIP-712 hash of the ConsentDetails.
    /// @return status Where it stands.
    /// @return expiresAt When the grant ends by itself, or zero for never. Unit: seconds since 1970.
    /// @return changedAt When it last changed. Unit: seconds since 1970.
    function consentOf(address patient, bytes32 detailsHash)
        external
        view
        returns (ConsentStatus status, uint40 expiresAt, uint40 changedAt);
}
