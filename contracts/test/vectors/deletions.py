#!/usr/bin/env python3
"""Prints the vectors of crates/chain/src/deletions.rs: what a wallet signs to verify a deletion request, by EIP-712.

By the independent model of consents.py.

Run: python3 contracts/test/vectors/deletions.py
"""
from consents import CONTRACT, DOMAIN, KEY, WALLET, keccak, sign, word

TYPE = (
    "DeletionVerification(address wallet,string request,string subject,string requestType,string[] dataCategories,"
    "uint256 records,bytes32 scope,bytes32 nonce,uint256 deadline)"
)
SEPARATOR = keccak(keccak(DOMAIN) + keccak("MediTrustAl Deletion") + keccak("1") + word(31337) + CONTRACT)

REQUEST = "00000000-0000-0000-0000-000000000001"
SUBJECT = "00000000-0000-0000-0000-000000000002"
CASES = [
    ("ACCOUNT_ERASURE", ["ALL_RECORDS"], 0, 7, 9, 1798761600),
    ("RECORD_ERASURE", [], 2, 255, 0, 2**63),
]

for kind, categories, records, scope, nonce, deadline in CASES:
    listed = keccak(b"".join(keccak(category) for category in categories))
    struct = keccak(
        keccak(TYPE)
        + WALLET
        + keccak(REQUEST)
        + keccak(SUBJECT)
        + keccak(kind)
        + listed
        + word(records)
        + bytes([scope]) * 32
        + bytes([nonce]) * 32
        + word(deadline)
    )
    digest = keccak(b"\x19\x01" + SEPARATOR + struct)
    print(kind, digest.hex(), "0x" + sign(KEY, digest).hex())
