// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TreeProof} from "../../src/TreeProof.sol";

/// @notice Gives the library the calldata that it wants.
contract TreeProofHarness {
    function isIncluded(bytes32 root, uint64 size, bytes32 leaf, uint64 index, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        return TreeProof.isIncluded(root, size, leaf, index, proof);
    }

    function isConsistent(uint64 oldSize, bytes32 oldRoot, uint64 newSize, bytes32 newRoot, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        return TreeProof.isConsistent(oldSize, oldRoot, newSize, newRoot, proof);
    }
}
