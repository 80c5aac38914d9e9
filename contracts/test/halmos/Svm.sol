// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What halmos makes symbolic.
interface Svm {
    function createCalldata(string calldata contractName) external pure returns (bytes memory);
    function createBytes(uint256 size, string calldata name) external pure returns (bytes memory);
}

/// @dev Where halmos answers.
Svm constant SVM = Svm(0xF3993A62377BCd56AE39D773740A5390411E8BC9);
