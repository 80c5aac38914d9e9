#!/usr/bin/env python3
"""Proves the properties of this folder with halmos 0.3.3, with one of its errors put right.

halmos 0.3.3 declares SHA-256 of n symbolic bytes as a function of n bits, and so stops at the first hash of a Merkle
node. Here it is a function of 8n bits, uninterpreted as before.

Run in the root of the repository, with halmos installed and forge on the PATH, as analyse.mjs does:
    node contracts/test/analyse.mjs halmos
"""
import sys

import halmos.sevm as sevm
from halmos.__main__ import main

declare = sevm.Function


def declare_with_bits(name, *sorts):
    if name.startswith("f_sha256_"):
        size = int(name.removeprefix("f_sha256_"))
        sorts = (sevm.BitVecSorts[8 * size], sorts[1])
    return declare(name, *sorts)


sevm.Function = declare_with_bits
sys.argv = ["halmos", "--forge-build-out", "contracts/out", "--match-contract", "Properties$", *sys.argv[1:]]
sys.exit(main())
