// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMedicalRecordRegistry} from "../../src/IMedicalRecordRegistry.sol";
import {RegistryTest} from "../registry/RegistryTest.sol";
import {Floor} from "./Floor.sol";
import {StringsRegistry} from "./StringsRegistry.sol";

/// @notice The whole price of a transaction, held in snapshots/registry.json. `forge test` fails when one moves;
/// FORGE_SNAPSHOT_CHECK=false FORGE_SNAPSHOT_EMIT=true writes them anew.
contract RegistryGasTest is RegistryTest {
    string private constant GROUP = "registry";

    function setUp() public override {
        super.setUp();
        _anchor(LAB);
        _anchor(LAB_2);
    }

    /// @dev At most 1.06 times the same effects in Yul; at least 3 times cheaper than strings and several slots, even
    /// with a short identifier that the patient's list knows already.
    function test_Gas_Anchor() external {
        Floor floor = new Floor();
        (bool ok,) = address(floor).call(abi.encodeCall(registry.anchor, (LAB)));
        assertTrue(ok);
        (ok,) = address(floor).call(abi.encodeCall(registry.anchor, (LAB_3)));
        assertTrue(ok);
        uint256 least = vm.snapshotGasLastCall(GROUP, "anchor: floor in Yul");

        StringsRegistry strings = new StringsRegistry();
        strings.addRecord(LAB, "did:web:ana.example.org", "LAB_RESULT");
        strings.addRecord(LAB_3, "did:web:ana.example.org", "LAB_RESULT");
        uint256 most = vm.snapshotGasLastCall(GROUP, "anchor: with strings");

        _anchor(LAB_3);
        uint256 gas = vm.snapshotGasLastCall(GROUP, "anchor");

        assertLe(gas * 100, least * 106, "more than 1.06 times the floor");
        assertGe(most, 3 * gas, "less than 3 times cheaper than strings");
    }

    function test_Gas_Supersede() external {
        vm.prank(registrar);
        registry.supersede(LAB, LAB_3);
        assertLe(vm.snapshotGasLastCall(GROUP, "supersede"), 84_500);
    }

    function test_Gas_Close() external {
        vm.prank(registrar);
        registry.close(LAB, IMedicalRecordRegistry.Status.Revoked, 1);
        assertLe(vm.snapshotGasLastCall(GROUP, "close: by the registrar"), 40_000);

        vm.prank(steward);
        registry.close(LAB_2, IMedicalRecordRegistry.Status.Revoked, 1);
        assertLe(vm.snapshotGasLastCall(GROUP, "close: by a steward"), 40_000);
    }

    function test_Gas_AnchorBatch() external {
        bytes32[] memory records = new bytes32[](1000);
        for (uint256 i; i < records.length; ++i) {
            records[i] = keccak256(abi.encode(i));
        }
        vm.prank(registrar);
        registry.anchorBatch(records);
        // Of one transaction, EIP-7825 allows 16,777,216.
        assertLe(vm.snapshotGasLastCall(GROUP, "anchorBatch: 1,000 records"), 5_000_000);
    }

    function test_Gas_Annul() external {
        vm.prank(registrar);
        registry.supersede(LAB, LAB_3);
        vm.prank(steward);
        registry.annul(LAB);
        assertLe(vm.snapshotGasLastCall(GROUP, "annul: with a successor"), 50_000);
    }

    function test_Gas_SetPaused() external {
        _pause();
        assertLe(vm.snapshotGasLastCall(GROUP, "setPaused"), 35_000);
    }

    /// @dev A log that grows from 1 to 200,000 leaves, step by step and in one leap.
    function test_Gas_AnchorCheckpoint() external {
        string memory json = vm.readFile("contracts/test/vectors/large.json");
        uint256[] memory sizes = vm.parseJsonUintArray(json, ".sizes");
        bytes32[] memory roots = vm.parseJsonBytes32Array(json, ".roots");
        uint256 last = sizes.length - 1;
        vm.startPrank(checkpointer);
        registry.anchorCheckpoint(uint64(sizes[0]), roots[0], new bytes32[](0));
        uint256 beforeGrowth = vm.snapshotState();
        for (uint256 i = 1; i <= last; ++i) {
            bytes32[] memory proof = vm.parseJsonBytes32Array(json, string.concat(".growth[", vm.toString(i - 1), "]"));
            registry.anchorCheckpoint(uint64(sizes[i]), roots[i], proof);
            vm.snapshotGasLastCall(
                GROUP,
                string.concat("anchorCheckpoint: ", vm.toString(sizes[i - 1]), " to ", vm.toString(sizes[i]), " leaves")
            );
        }

        bytes32[] memory inclusion = vm.parseJsonBytes32Array(json, ".inclusion");
        bytes32 leaf = vm.parseJsonBytes32(json, ".leaf");
        uint64 index = uint64(vm.parseJsonUint(json, ".index"));
        // A view is free; this is its price inside a transaction.
        (bool ok, bytes memory answer) = address(registry)
            .call(abi.encodeCall(registry.verifyAuditInclusion, (0, uint64(sizes[last]), leaf, index, inclusion)));
        assertTrue(ok && abi.decode(answer, (bool)));
        assertLe(vm.snapshotGasLastCall(GROUP, "verifyAuditInclusion: 200,000 leaves"), 47_300);

        vm.revertToState(beforeGrowth);
        registry.anchorCheckpoint(uint64(sizes[last]), roots[last], vm.parseJsonBytes32Array(json, ".leap"));
        assertLe(vm.snapshotGasLastCall(GROUP, "anchorCheckpoint: 1 to 200000 leaves"), 88_000);
    }
}
