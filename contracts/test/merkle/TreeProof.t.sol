// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TreeProofHarness} from "./TreeProofHarness.sol";
import {Vectors} from "./Vectors.sol";

/// @notice Every valid proof is accepted and every forged one refused, by vectors of an independent model.
/// @dev A tree has exactly one proof for each question, and no two of its hashes are equal. So whatever differs from
/// the model's proof anywhere is a forgery.
contract TreeProofTest is Vectors {
    uint256 private constant FORGERIES = 5000;

    TreeProofHarness private _proofs;
    uint256 private _seed;

    function setUp() external {
        _load();
        _proofs = new TreeProofHarness();
    }

    function test_IsIncluded_AcceptsEveryValidProof() external view {
        uint256 accepted;
        for (uint64 size = 1; size <= SIZES; ++size) {
            for (uint64 index; index < size; ++index) {
                assertTrue(
                    _proofs.isIncluded(_roots[size], size, _leaves[index], index, _inclusionProof(size, index)),
                    string.concat("leaf ", vm.toString(index), " of ", vm.toString(size))
                );
                ++accepted;
            }
        }
        assertEq(accepted, 8256);
    }

    function test_IsConsistent_AcceptsEveryValidProof() external view {
        uint256 accepted;
        for (uint64 size = 2; size <= SIZES; ++size) {
            for (uint64 oldSize = 1; oldSize < size; ++oldSize) {
                assertTrue(
                    _proofs.isConsistent(
                        oldSize, _roots[oldSize], size, _roots[size], _consistencyProof(oldSize, size)
                    ),
                    string.concat(vm.toString(oldSize), " to ", vm.toString(size))
                );
                ++accepted;
            }
        }
        assertEq(accepted, 8128);
    }

    function test_IsIncluded_RefusesEveryForgery() external {
        uint256 forged;
        while (forged < FORGERIES) {
            uint64 size = uint64(1 + _random(SIZES));
            uint64 index = uint64(_random(size));
            if (_forgeInclusion(size, index, _random(8))) ++forged;
        }
    }

    function test_IsConsistent_RefusesEveryForgery() external {
        uint256 forged;
        while (forged < FORGERIES) {
            uint64 size = uint64(2 + _random(SIZES - 1));
            uint64 oldSize = uint64(1 + _random(size - 1));
            if (_forgeConsistency(oldSize, size, _random(7))) ++forged;
        }
    }

    function test_IsIncluded_WhenTheTreeIsOneLeaf() external view {
        assertTrue(_proofs.isIncluded(_leaves[0], 1, _leaves[0], 0, new bytes32[](0)));
        assertFalse(_proofs.isIncluded(_leaves[0], 1, _leaves[1], 0, new bytes32[](0)));
    }

    function test_IsIncluded_WhenTheTreeIsEmpty() external view {
        assertFalse(_proofs.isIncluded(_leaves[0], 0, _leaves[0], 0, new bytes32[](0)));
    }

    function test_IsIncluded_WhenTheIndexIsBehindTheTree() external view {
        // The last leaf, and its own proof: only the index is wrong.
        assertTrue(_proofs.isIncluded(_roots[4], 4, _leaves[3], 3, _inclusionProof(4, 3)));
        assertFalse(_proofs.isIncluded(_roots[4], 4, _leaves[3], 4, _inclusionProof(4, 3)));
        assertFalse(_proofs.isIncluded(_roots[4], 4, _leaves[3], 7, _inclusionProof(4, 3)));
        assertFalse(_proofs.isIncluded(_roots[4], 4, _leaves[3], type(uint64).max, _inclusionProof(4, 3)));
    }

    /// @dev Root and proof are honest and of another tree than the size says.
    function test_IsIncluded_WhenTheSizeIsAnother() external view {
        assertFalse(_proofs.isIncluded(_roots[128], 8, _leaves[127], 7, _inclusionProof(128, 127)));
        assertFalse(_proofs.isIncluded(_roots[8], 128, _leaves[7], 7, _inclusionProof(8, 7)));
    }

    function test_IsConsistent_WhenTheSizesAreOthers() external view {
        assertFalse(_proofs.isConsistent(4, _roots[4], 100, _roots[5], _consistencyProof(4, 5)));
        assertFalse(_proofs.isConsistent(4, _roots[4], 5, _roots[100], _consistencyProof(4, 100)));
        assertFalse(_proofs.isConsistent(3, _roots[7], 4, _roots[8], _consistencyProof(7, 8)));
    }

    function test_IsConsistent_WhenTheOldTreeIsEmpty() external view {
        assertTrue(_proofs.isConsistent(0, 0, 7, _roots[7], new bytes32[](0)));
        assertFalse(_proofs.isConsistent(0, 0, 7, _roots[7], new bytes32[](1)));
    }

    function test_IsConsistent_WhenTheProofIsEmpty() external view {
        assertFalse(_proofs.isConsistent(4, _roots[4], 7, _roots[7], new bytes32[](0)));
        assertFalse(_proofs.isConsistent(3, _roots[3], 7, _roots[7], new bytes32[](0)));
        assertFalse(_proofs.isConsistent(4, _roots[4], 7, _roots[4], new bytes32[](0)));
    }

    function test_IsConsistent_WhenTheLogWasRewritten() external view {
        // The new tree is honest about itself and has another third leaf than the old tree.
        bytes32 other = sha256(abi.encodePacked(bytes1(0), "rewritten"));
        bytes32 oldRoot = _parent(_parent(_leaves[0], _leaves[1]), other);
        bytes32[] memory proof = _consistencyProof(3, 4);
        assertTrue(_proofs.isConsistent(3, _roots[3], 4, _roots[4], proof));
        assertFalse(_proofs.isConsistent(3, oldRoot, 4, _roots[4], proof));
        // And with the old tree's own third leaf in the proof, the new root is the one that does not fit.
        proof[0] = other;
        assertFalse(_proofs.isConsistent(3, oldRoot, 4, _roots[4], proof));
    }

    /// @dev 64 bits count, not 32: every size and index here ends in the same 32 bits as a small one.
    function test_IsIncluded_WhenTheTreeIsLargerThan32Bits() external view {
        uint64[3] memory sizes = [uint64(1 << 32) + 5, (1 << 33) + 5, (1 << 40) + (1 << 35) + 5];
        for (uint256 i; i < sizes.length; ++i) {
            uint64 size = sizes[i];
            uint64 base = size - 5;
            uint64[5] memory indexes = [uint64(0), 2, base - 1, base + 2, base + 4];
            for (uint256 j; j < indexes.length; ++j) {
                assertTrue(
                    _proofs.isIncluded(_vastRoot(size), size, _leaves[0], indexes[j], _vastPath(indexes[j], size)),
                    string.concat("leaf ", vm.toString(indexes[j]), " of ", vm.toString(size))
                );
            }
            assertFalse(_proofs.isIncluded(_vastRoot(5), size, _leaves[0], 2, _vastPath(2, 5)));
            assertFalse(_proofs.isIncluded(_vastRoot(5), 5, _leaves[0], base + 2, _vastPath(2, 5)));
            assertFalse(_proofs.isIncluded(_vastRoot(size), size, _leaves[0], base + 2, _vastPath(2, size)));
            assertFalse(_proofs.isIncluded(_vastRoot(size), 5, _leaves[0], 2, _vastPath(base + 2, size)));
        }
    }

    /// @dev As above, for two trees.
    function test_IsConsistent_WhenTheTreesAreLargerThan32Bits() external view {
        uint64[3] memory bases = [uint64(1 << 32), 1 << 33, (1 << 40) + (1 << 35)];
        for (uint256 i; i < bases.length; ++i) {
            uint64 base = bases[i];
            uint64[4] memory olds = [uint64(3), base - 1, base, base + 3];
            for (uint256 j; j < olds.length; ++j) {
                assertTrue(
                    _proofs.isConsistent(
                        olds[j],
                        _vastRoot(olds[j]),
                        base + 5,
                        _vastRoot(base + 5),
                        _vastSubproof(olds[j], base + 5, true)
                    ),
                    string.concat(vm.toString(olds[j]), " to ", vm.toString(base + 5))
                );
            }
            bytes32[] memory small = _vastSubproof(3, 5, true);
            assertFalse(_proofs.isConsistent(3, _vastRoot(3), base + 5, _vastRoot(5), small));
            assertFalse(_proofs.isConsistent(base + 3, _vastRoot(3), base + 5, _vastRoot(5), small));
        }
    }

    /// @dev The root of a tree of this size whose leaves are all the first one, by the definitions of RFC 9162.
    function _vastRoot(uint64 size) private view returns (bytes32) {
        uint64 k = _split(size);
        if (k == 0) return _leaves[0];
        bytes32 left = _leaves[0];
        for (uint64 width = 1; width < k; width <<= 1) {
            left = _parent(left, left);
        }
        return _parent(left, k << 1 == size ? left : _vastRoot(size - k));
    }

    /// @dev PATH(m, D[0:n]).
    function _vastPath(uint64 index, uint64 size) private view returns (bytes32[] memory) {
        uint64 k = _split(size);
        if (k == 0) return new bytes32[](0);
        bytes32[] memory path = index < k ? _vastPath(index, k) : _vastPath(index - k, size - k);
        return _with(path, path.length, _vastRoot(index < k ? size - k : k));
    }

    /// @dev SUBPROOF(m, D[0:n], known).
    function _vastSubproof(uint64 old, uint64 size, bool known) private view returns (bytes32[] memory) {
        if (old == size) return known ? new bytes32[](0) : _with(new bytes32[](0), 0, _vastRoot(size));
        uint64 k = _split(size);
        bytes32[] memory proof = old <= k ? _vastSubproof(old, k, known) : _vastSubproof(old - k, size - k, false);
        return _with(proof, proof.length, _vastRoot(old <= k ? size - k : k));
    }

    /// @dev The largest power of two smaller than `size`; zero where there is none.
    function _split(uint64 size) private pure returns (uint64 k) {
        if (size < 2) return 0;
        k = 1;
        while (k << 1 < size) k <<= 1;
    }

    /// @dev Says whether there was something to forge; then it was refused.
    function _forgeInclusion(uint64 size, uint64 index, uint256 kind) private returns (bool) {
        bytes32[] memory proof = _inclusionProof(size, index);
        bytes32 root = _roots[size];
        bytes32 leaf = _leaves[index];
        uint64 at = index;
        if (kind < 4) {
            proof = _forgeProof(proof, kind);
            if (proof.length == 0 && size == 1) return false;
        } else if (kind == 4) {
            at = uint64(_random(2) == 0 ? _random(size) : size + _random(1000));
            if (at == index) return false;
        } else if (kind == 5) {
            leaf ^= bytes32(2 ** _random(256));
        } else if (kind == 6) {
            root = _roots[1 + _random(SIZES)];
            if (root == _roots[size]) return false;
        } else {
            // A node in place of a leaf, with the rest of the leaf's proof.
            if (proof.length == 0) return false;
            leaf = index & 1 == 1 || index == size - 1 ? _parent(proof[0], leaf) : _parent(leaf, proof[0]);
            at = index >> 1;
            proof = _without(proof, 0);
        }
        assertFalse(
            _proofs.isIncluded(root, size, leaf, at, proof),
            string.concat("kind ", vm.toString(kind), ", leaf ", vm.toString(index), " of ", vm.toString(size))
        );
        return true;
    }

    /// @dev Says whether there was something to forge; then it was refused.
    function _forgeConsistency(uint64 oldSize, uint64 size, uint256 kind) private returns (bool) {
        bytes32[] memory proof = _consistencyProof(oldSize, size);
        bytes32 oldRoot = _roots[oldSize];
        bytes32 root = _roots[size];
        uint64 from = oldSize;
        if (kind < 4) {
            proof = _forgeProof(proof, kind);
        } else if (kind == 4) {
            oldRoot ^= bytes32(2 ** _random(256));
        } else if (kind == 5) {
            root ^= bytes32(2 ** _random(256));
        } else {
            // The honest proof of another old tree.
            from = uint64(1 + _random(size - 1));
            oldRoot = _roots[from];
            if (from == oldSize) return false;
        }
        assertFalse(
            _proofs.isConsistent(from, oldRoot, size, root, proof),
            string.concat("kind ", vm.toString(kind), ", ", vm.toString(oldSize), " to ", vm.toString(size))
        );
        return true;
    }

    /// @dev Another proof than the given one, always.
    function _forgeProof(bytes32[] memory proof, uint256 kind) private returns (bytes32[] memory) {
        if (proof.length == 0 || kind == 0) return _with(proof, _random(proof.length + 1), bytes32(_random(0)));
        uint256 at = _random(proof.length);
        if (kind == 1) return _without(proof, at);
        if (kind == 2 && proof.length > 1) {
            uint256 other = (at + 1) % proof.length;
            (proof[at], proof[other]) = (proof[other], proof[at]);
        } else {
            proof[at] ^= bytes32(2 ** _random(256));
        }
        return proof;
    }

    function _with(bytes32[] memory proof, uint256 at, bytes32 node) private pure returns (bytes32[] memory longer) {
        longer = new bytes32[](proof.length + 1);
        for (uint256 i; i < longer.length; ++i) {
            longer[i] = i < at ? proof[i] : i == at ? node : proof[i - 1];
        }
    }

    function _without(bytes32[] memory proof, uint256 at) private pure returns (bytes32[] memory shorter) {
        shorter = new bytes32[](proof.length - 1);
        for (uint256 i; i < shorter.length; ++i) {
            shorter[i] = i < at ? proof[i] : proof[i + 1];
        }
    }

    function _parent(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }

    /// @dev The next of a fixed sequence of numbers, below `limit` if there is one.
    function _random(uint256 limit) private returns (uint256 number) {
        number = uint256(keccak256(abi.encode(_seed++)));
        if (limit != 0) number %= limit;
    }
}
