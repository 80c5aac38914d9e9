// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

/// @notice Reads vectors/merkle.json: every valid proof up to 128 leaves, by the Python model.
abstract contract Vectors is Test {
    uint64 internal constant SIZES = 128;

    bytes32[] internal _nodes;
    bytes32[] internal _leaves;

    /// @dev _roots[size], from size 1.
    bytes32[] internal _roots;

    bytes private _inclusion;
    bytes private _consistency;

    /// @dev Where the proofs about each size begin, in `_inclusion` and `_consistency`.
    mapping(uint64 size => mapping(uint64 at => uint256)) private _inclusionAt;
    mapping(uint64 size => mapping(uint64 at => uint256)) private _consistencyAt;

    function _load() internal {
        string memory json = vm.readFile("contracts/test/vectors/merkle.json");
        bytes memory nodes = vm.parseJsonBytes(json, ".nodes");
        for (uint256 i = 32; i <= nodes.length; i += 32) {
            bytes32 node;
            assembly ("memory-safe") {
                node := mload(add(nodes, i))
            }
            _nodes.push(node);
        }
        bytes memory leaves = vm.parseJsonBytes(json, ".leaves");
        bytes memory roots = vm.parseJsonBytes(json, ".roots");
        _roots.push(0);
        for (uint64 i; i < SIZES; ++i) {
            _leaves.push(_nodes[_number(leaves, 2 * i)]);
            _roots.push(_nodes[_number(roots, 2 * i)]);
        }
        bytes memory inclusion = vm.parseJsonBytes(json, ".inclusion");
        bytes memory consistency = vm.parseJsonBytes(json, ".consistency");
        (uint256 atInclusion, uint256 atConsistency) = (0, 0);
        for (uint64 size = 1; size <= SIZES; ++size) {
            for (uint64 at; at < size; ++at) {
                _inclusionAt[size][at] = atInclusion;
                atInclusion += 1 + 2 * uint256(uint8(inclusion[atInclusion]));
                if (at == 0) continue;
                _consistencyAt[size][at] = atConsistency;
                atConsistency += 1 + 2 * uint256(uint8(consistency[atConsistency]));
            }
        }
        assertEq(atInclusion, inclusion.length, "inclusion proofs left over");
        assertEq(atConsistency, consistency.length, "consistency proofs left over");
        (_inclusion, _consistency) = (inclusion, consistency);
    }

    /// @dev The proof that leaf `index` is in the tree of `size` leaves.
    function _inclusionProof(uint64 size, uint64 index) internal view returns (bytes32[] memory) {
        return _decode(_inclusion, _inclusionAt[size][index]);
    }

    /// @dev The proof that the tree of `size` leaves extends that of `oldSize`, which is smaller and not zero.
    function _consistencyProof(uint64 oldSize, uint64 size) internal view returns (bytes32[] memory) {
        return _decode(_consistency, _consistencyAt[size][oldSize]);
    }

    /// @dev The first records of the trees: what their leaves are the hashes of.
    function _firstRecords(uint64 size) internal pure returns (bytes32[] memory records) {
        records = new bytes32[](size);
        for (uint64 i; i < size; ++i) {
            records[i] = sha256(bytes(string.concat("leaf ", vm.toString(i))));
        }
    }

    function _decode(bytes storage packed, uint256 at) private view returns (bytes32[] memory proof) {
        proof = new bytes32[](uint8(packed[at]));
        for (uint256 i; i < proof.length; ++i) {
            proof[i] = _nodes[uint256(uint8(packed[at + 1 + 2 * i])) << 8 | uint8(packed[at + 2 + 2 * i])];
        }
    }

    function _number(bytes memory packed, uint256 at) private pure returns (uint256) {
        return uint256(uint8(packed[at])) << 8 | uint8(packed[at + 1]);
    }
}
