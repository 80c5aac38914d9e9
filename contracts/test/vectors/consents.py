#!/usr/bin/env python3
"""Prints the vectors of crates/chain/src/consents/tests.rs: hashes and signatures of consents by EIP-712.

An independent model: Keccak-256, the curve secp256k1, signatures by RFC 6979 and the encoding of EIP-712, each written
from its definition, with nothing but Python's own SHA-256 and HMAC.

Run: python3 contracts/test/vectors/consents.py
"""
import hmac
from hashlib import sha256

MASK = (1 << 64) - 1
ROTATIONS = [[0, 36, 3, 41, 18], [1, 44, 10, 45, 2], [62, 6, 43, 15, 61], [28, 55, 25, 21, 56], [27, 20, 39, 8, 14]]


def round_constants():
    state, constants = 1, []
    for _ in range(24):
        constant = 0
        for j in range(7):
            if state & 1:
                constant ^= 1 << ((1 << j) - 1)
            state = ((state << 1) ^ ((state >> 7) * 0x171)) & 0x1FF
        constants.append(constant)
    return constants


def rotated(value, by):
    return ((value << by) | (value >> (64 - by))) & MASK if by else value


def keccak(data):
    if isinstance(data, str):
        data = data.encode()
    rate = 136
    padded = bytearray(data) + bytearray(rate - len(data) % rate)
    padded[len(data)] |= 0x01
    padded[-1] |= 0x80
    lanes = [[0] * 5 for _ in range(5)]
    for offset in range(0, len(padded), rate):
        for i in range(rate // 8):
            lanes[i % 5][i // 5] ^= int.from_bytes(padded[offset + 8 * i : offset + 8 * i + 8], "little")
        for constant in round_constants():
            columns = [lanes[x][0] ^ lanes[x][1] ^ lanes[x][2] ^ lanes[x][3] ^ lanes[x][4] for x in range(5)]
            mixed = [columns[(x - 1) % 5] ^ rotated(columns[(x + 1) % 5], 1) for x in range(5)]
            moved = [[0] * 5 for _ in range(5)]
            for x in range(5):
                for y in range(5):
                    moved[y][(2 * x + 3 * y) % 5] = rotated(lanes[x][y] ^ mixed[x], ROTATIONS[x][y])
            lanes = [
                [moved[x][y] ^ (~moved[(x + 1) % 5][y] & moved[(x + 2) % 5][y]) for y in range(5)] for x in range(5)
            ]
            lanes[0][0] ^= constant
    return b"".join(lanes[i % 5][i // 5].to_bytes(8, "little") for i in range(4))


assert keccak("").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def added(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, P) % P
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return (x, (slope * (a[0] - x) - a[1]) % P)


def times(n, point):
    total = None
    while n:
        if n & 1:
            total = added(total, point)
        point, n = added(point, point), n >> 1
    return total


def word(number):
    return number.to_bytes(32, "big")


def address_of(key):
    x, y = times(key, G)
    return keccak(word(x) + word(y))[12:]


def sign(key, digest):
    def mac(k, data):
        return hmac.new(k, data, sha256).digest()

    h = word(int.from_bytes(digest, "big") % N)
    v, k = b"\1" * 32, bytes(32)
    for byte in (b"\0", b"\1"):
        k = mac(k, v + byte + word(key) + h)
        v = mac(k, v)
    v = mac(k, v)
    nonce = int.from_bytes(v, "big")
    x, y = times(nonce, G)
    r = x % N
    s = pow(nonce, -1, N) * (int.from_bytes(digest, "big") + r * key) % N
    parity = 27 + (y & 1)
    if s > N // 2:
        s, parity = N - s, 55 - parity
    return word(r) + word(s) + bytes([parity])


DETAILS = "ConsentDetails(string purpose,string grantee,string[] dataCategories,bytes32 salt)"
GRANT = "ConsentGrant(address patient,ConsentDetails details,uint40 expiresAt,uint256 deadline)" + DETAILS
WITHDRAWAL = "ConsentWithdrawal(address patient,ConsentDetails details,uint256 deadline)" + DETAILS
DOMAIN = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"

# anvil's account 0, known to everybody.
KEY = 0xAC0974BEC39A17E36BA4A6B4D238FF944BACB478CBED5EFCAE784D7BF4F2FF80
WALLET = bytes(12) + address_of(KEY)
CONTRACT = bytes(12) + bytes.fromhex("5FbDB2315678afecb367f032d93F642f64180aa3")
SEPARATOR = keccak(keccak(DOMAIN) + keccak("MediTrustAl Consent") + keccak("1") + word(31337) + CONTRACT)

CASES = [
    (7, "TREAT: READ, SEARCH", "role DOCTOR", ["LABORATORY_RESULT", "IMAGING"], 1798761600, 1798848000),
    (0, "HRESCH: DENY", "everybody", [], 0, 1),
    (255, "TREAT: READ", "organisation ü in ID", ["ALL_RECORDS"], 2**40 - 1, 2**63),
]

if __name__ == "__main__":
    for salt, purpose, grantee, categories, expires_at, deadline in CASES:
        listed = keccak(b"".join(keccak(category) for category in categories))
        details = keccak(keccak(DETAILS) + keccak(purpose) + keccak(grantee) + listed + bytes([salt]) * 32)
        grant = keccak(keccak(GRANT) + WALLET + details + word(expires_at) + word(deadline))
        withdrawal = keccak(keccak(WITHDRAWAL) + WALLET + details + word(deadline))
        print("details   ", details.hex())
        for name, struct in (("grant     ", grant), ("withdrawal", withdrawal)):
            digest = keccak(b"\x19\x01" + SEPARATOR + struct)
            print(name, digest.hex(), "0x" + sign(KEY, digest).hex())
