// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The least gas in which one record can be anchored
/// @notice In Yul, with the effects of MedicalRecordRegistry.anchor and nothing else: the transaction lock, one role,
/// the pause, one record slot, one head slot (rolling hash and sequence), one LOG4 with 64 bytes. There is no other
/// function, no checked arithmetic and no reason for a refusal. The yardstick of the gas test; never deployed.
contract Floor {
    constructor() {
        assembly ("memory-safe") {
            mstore(0, caller())
            mstore(32, 0)
            sstore(keccak256(0, 64), 1) // the caller's role and number
            sstore(1, shl(56, 1)) // the first head
        }
    }

    fallback() external payable {
        bytes4 selector = bytes4(keccak256("anchor(bytes32)"));
        bytes32 topic = keccak256("RecordAnchored(bytes32,bytes32,address,uint40,bytes25)");
        assembly {
            if iszero(eq(shr(224, calldataload(0)), shr(224, selector))) { revert(0, 0) }
            // One record per transaction.
            if tload(0) { revert(0, 0) }
            tstore(0, 1)
            // The role, and the caller's number.
            mstore(0, caller())
            let actor := sload(keccak256(0, 64))
            if iszero(actor) { revert(0, 0) }
            // The pause.
            let word := sload(1)
            if and(word, 1) { revert(0, 0) }
            // The record: seq | registrar | block | time | status.
            let hash := calldataload(4)
            if iszero(hash) { revert(0, 0) }
            mstore(0, hash)
            let slot := keccak256(0, 64)
            if sload(slot) { revert(0, 0) }
            let seq := and(add(word, 0x10000), 0xffffffffff0000)
            let anchored := or(shl(184, seq), or(shl(176, actor), or(shl(128, number()), shl(88, timestamp()))))
            sstore(slot, or(anchored, 1))
            // The head: hash | sequence | flags.
            mstore(0, topic)
            mstore(32, hash)
            mstore(64, 0)
            mstore(96, caller())
            mstore(32, keccak256(0, 128))
            mstore(0, or(and(word, not(0xffffffffffffff)), chainid()))
            let next := and(keccak256(0, 64), not(0xffffffffffffff))
            sstore(1, or(next, seq))
            mstore(0, shr(16, seq))
            mstore(32, next)
            log4(0, 64, topic, hash, 0, caller())
        }
    }
}
