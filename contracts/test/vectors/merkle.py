#!/usr/bin/env python3
"""Writes merkle.json, every valid proof of every RFC 9162 tree of up to 128 leaves; and large.json, a few proofs
about trees as large as a real audit log.

An independent model: it follows the recursive definitions of RFC 9162 (2.1.1 tree hash, 2.1.3.1 inclusion proof,
2.1.4.1 consistency proof), whereas the contract follows the iterative verification of 2.1.3.2 and 2.1.4.2. The model
itself is held against the tree heads that the Certificate Transparency project publishes for its eight test leaves.

Shape of merkle.json, all hex:
  nodes         every hash that occurs, 32 bytes each
  leaves        for each leaf, the number of its node, 2 bytes each
  roots         for each size from 1, the number of its node, 2 bytes each
  inclusion     for each size from 1 and each index from 0: a byte with the length, then the nodes' numbers
  consistency   for each new size from 2 and each old size from 1: a byte with the length, then the nodes' numbers

Shape of large.json: the roots at some sizes; `growth`, the consistency proof from each size to the next; `leap`, the
one from the first size to the last; and one leaf of the last tree with its inclusion proof.

Run: python3 contracts/test/vectors/merkle.py [--check]
"""
import functools
import json
import pathlib
import sys
from hashlib import sha256

SIZES = 128


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def split(n: int) -> int:
    """The largest power of two smaller than n."""
    return 1 << ((n - 1).bit_length() - 1)


class Tree:
    def __init__(self, entries: list[bytes]):
        self.leaves = [leaf_hash(entry) for entry in entries]
        self.root = functools.cache(self._root)

    def _root(self, start: int, end: int) -> bytes:
        """MTH(D[start:end])"""
        if end - start == 1:
            return self.leaves[start]
        k = start + split(end - start)
        return node_hash(self.root(start, k), self.root(k, end))

    def path(self, m: int, start: int, end: int) -> list[bytes]:
        """PATH(m, D[start:end])"""
        n = end - start
        if n == 1:
            return []
        k = split(n)
        if m < k:
            return self.path(m, start, start + k) + [self.root(start + k, end)]
        return self.path(m - k, start + k, end) + [self.root(start, start + k)]

    def proof(self, m: int, n: int) -> list[bytes]:
        """PROOF(m, D[0:n])"""
        return self.subproof(m, 0, n, True)

    def subproof(self, m: int, start: int, end: int, known: bool) -> list[bytes]:
        """SUBPROOF(m, D[start:end], known)"""
        n = end - start
        if m == n:
            return [] if known else [self.root(start, end)]
        k = split(n)
        if m <= k:
            return self.subproof(m, start, start + k, known) + [self.root(start + k, end)]
        return self.subproof(m - k, start + k, end, False) + [self.root(start, start + k)]


def check_against_certificate_transparency() -> None:
    entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    heads = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    tree = Tree([bytes.fromhex(entry) for entry in entries])
    for size, head in enumerate(heads, 1):
        assert tree.root(0, size).hex() == head, f"the model is wrong at size {size}"


def record(i: int) -> bytes:
    """An entry as long as a record's hash, so that the same trees serve as batches."""
    return sha256(f"leaf {i}".encode()).digest()


def vectors() -> str:
    tree = Tree([record(i) for i in range(SIZES)])
    numbers: dict[bytes, int] = {}

    def number(node: bytes) -> bytes:
        return numbers.setdefault(node, len(numbers)).to_bytes(2, "big")

    def numbered(proof: list[bytes]) -> bytes:
        return bytes([len(proof)]) + b"".join(map(number, proof))

    leaves = b"".join(map(number, tree.leaves))
    roots = b"".join(number(tree.root(0, n)) for n in range(1, SIZES + 1))
    inclusion = b"".join(numbered(tree.path(i, 0, n)) for n in range(1, SIZES + 1) for i in range(n))
    consistency = b"".join(numbered(tree.proof(m, n)) for n in range(2, SIZES + 1) for m in range(1, n))
    fields = {
        "nodes": b"".join(numbers),
        "leaves": leaves,
        "roots": roots,
        "inclusion": inclusion,
        "consistency": consistency,
    }
    return json.dumps({name: "0x" + value.hex() for name, value in fields.items()}, indent=0) + "\n"


def large() -> str:
    sizes = [1, 1000, 65_536, 199_999, 200_000]
    tree = Tree([record(i) for i in range(sizes[-1])])
    last = sizes[-1]
    index = 123_456

    def hexes(proof: list[bytes]) -> list[str]:
        return ["0x" + node.hex() for node in proof]

    fields = {
        "sizes": sizes,
        "roots": hexes([tree.root(0, size) for size in sizes]),
        "growth": [hexes(tree.proof(old, new)) for old, new in zip(sizes, sizes[1:])],
        "leap": hexes(tree.proof(1, last)),
        "index": index,
        "leaf": hexes([tree.leaves[index]])[0],
        "inclusion": hexes(tree.path(index, 0, last)),
    }
    return json.dumps(fields, indent=1) + "\n"


if __name__ == "__main__":
    check_against_certificate_transparency()
    for name, text in {"merkle.json": vectors(), "large.json": large()}.items():
        file = pathlib.Path(__file__).with_name(name)
        if "--check" not in sys.argv:
            file.write_text(text)
        elif file.read_text() != text:
            sys.exit(f"{name} is not what merkle.py writes")
