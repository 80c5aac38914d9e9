// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IChainedEvents} from "../../src/IChainedEvents.sol";
import {IMedicalRecordRegistry} from "../../src/IMedicalRecordRegistry.sol";
import {MedicalRecordRegistry} from "../../src/MedicalRecordRegistry.sol";
import {ChainedTest} from "../ChainedTest.sol";

/// @notice A registry with one holder of each role, and what it should say.
abstract contract RegistryTest is ChainedTest {
    bytes32 internal constant REGISTRAR_ROLE = keccak256("REGISTRAR_ROLE");
    bytes32 internal constant STEWARD_ROLE = keccak256("STEWARD_ROLE");
    bytes32 internal constant CHECKPOINT_ROLE = keccak256("CHECKPOINT_ROLE");
    bytes32 internal constant PAUSER_ROLE = keccak256("PAUSER_ROLE");

    bytes32 internal constant LAB = keccak256("a lab result");
    bytes32 internal constant LAB_2 = keccak256("the lab result, corrected");
    bytes32 internal constant LAB_3 = keccak256("the lab result, corrected twice");

    address internal immutable registrar = makeAddr("registrar");
    address internal immutable colleague = makeAddr("colleague");
    address internal immutable steward = makeAddr("steward");
    address internal immutable checkpointer = makeAddr("checkpointer");

    MedicalRecordRegistry internal registry;

    function setUp() public virtual {
        vm.warp(1_790_000_000);
        vm.roll(22_000_000);
        registry = new MedicalRecordRegistry(1 days, admin);
        vm.startPrank(admin);
        registry.grantRole(REGISTRAR_ROLE, registrar);
        registry.grantRole(REGISTRAR_ROLE, colleague);
        registry.grantRole(STEWARD_ROLE, steward);
        registry.grantRole(CHECKPOINT_ROLE, checkpointer);
        registry.grantRole(PAUSER_ROLE, pauser);
        vm.stopPrank();
    }

    function _chain() internal view virtual override returns (IChainedEvents) {
        return registry;
    }

    function _one(bytes32 recordHash) internal pure returns (bytes32[] memory records) {
        records = new bytes32[](1);
        records[0] = recordHash;
    }

    function _anchor(bytes32 recordHash) internal {
        vm.prank(registrar);
        registry.anchor(recordHash);
    }

    function _expectAnchored(bytes32 recordHash, bytes32 predecessor, address by)
        internal
        returns (uint40 seq, bytes25 head)
    {
        (seq, head) = _next(
            abi.encode(keccak256("RecordAnchored(bytes32,bytes32,address,uint40,bytes25)"), recordHash, predecessor, by)
        );
        vm.expectEmit(address(registry));
        emit IMedicalRecordRegistry.RecordAnchored(recordHash, predecessor, by, seq, head);
    }

    function _expectClosed(bytes32 recordHash, IMedicalRecordRegistry.Status status, address by, uint8 reason)
        internal
        returns (uint40 seq, bytes25 head)
    {
        (seq, head) = _next(
            abi.encode(
                keccak256("RecordClosed(bytes32,uint8,address,uint8,uint40,bytes25)"), recordHash, status, by, reason
            )
        );
        vm.expectEmit(address(registry));
        emit IMedicalRecordRegistry.RecordClosed(recordHash, status, by, reason, seq, head);
    }

    function _assertRecord(
        bytes32 recordHash,
        IMedicalRecordRegistry.Status status,
        address by,
        uint256 blockNumber,
        uint256 timestamp
    ) internal view {
        IMedicalRecordRegistry.Record memory record = registry.anchorOf(recordHash);
        assertEq(uint8(record.status), uint8(status), "status");
        assertEq(record.registrar, by, "registrar");
        assertEq(record.blockNumber, blockNumber, "block");
        assertEq(record.anchoredAt, timestamp, "timestamp");
        if (status == IMedicalRecordRegistry.Status.None || status == IMedicalRecordRegistry.Status.Active) {
            _assertEnded(recordHash, address(0), false, 0, 0);
        }
    }

    /// @dev Who ended a record, as what, when and why.
    function _assertEnded(bytes32 recordHash, address by, bool asRegistrar, uint256 timestamp, uint8 reason)
        internal
        view
    {
        IMedicalRecordRegistry.Record memory record = registry.anchorOf(recordHash);
        assertEq(record.endedBy, by, "ended by");
        assertEq(record.endedByRegistrar, asRegistrar, "as a registrar");
        assertEq(record.endedAt, timestamp, "ended at");
        assertEq(record.reason, reason, "reason");
    }
}
