// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";

/// @notice Makes two calls in one transaction: as a contract, or as the EIP-7702 code of an account.
contract TwoCalls {
    using Address for address;

    function both(address target, bytes calldata first, bytes calldata second) external {
        target.functionCall(first);
        target.functionCall(second);
    }

    /// @notice The first call must revert; the second must not.
    function firstMayFail(address target, bytes calldata first, bytes calldata second) external {
        (bool ok,) = target.call(first);
        require(!ok, "the first call was meant to fail");
        target.functionCall(second);
    }
}
