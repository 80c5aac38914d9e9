// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a registry looks like that stores strings and several slots
/// @notice The yardstick of the gas test: the same job as `anchor`, with the patient's identifier, a type and a
/// list for each patient on the chain. Never deployed.
contract StringsRegistry {
    struct Record {
        bytes32 dataHash;
        string patientDid;
        string recordType;
        address registrar;
        uint256 timestamp;
    }

    mapping(bytes32 dataHash => Record) private _records;
    mapping(string patientDid => bytes32[]) private _ofPatient;

    event RecordAdded(bytes32 indexed dataHash, string patientDid, string recordType, address registrar);

    function addRecord(bytes32 dataHash, string calldata patientDid, string calldata recordType) external {
        require(_records[dataHash].timestamp == 0, "record exists");
        _records[dataHash] = Record(dataHash, patientDid, recordType, msg.sender, block.timestamp);
        _ofPatient[patientDid].push(dataHash);
        emit RecordAdded(dataHash, patientDid, recordType, msg.sender);
    }
}
