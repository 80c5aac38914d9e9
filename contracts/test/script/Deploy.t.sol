// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {Deploy} from "../../script/Deploy.s.sol";
import {ConsentRegistry} from "../../src/ConsentRegistry.sol";
import {MedicalRecordRegistry} from "../../src/MedicalRecordRegistry.sol";

contract DeployTest is Test {
    Deploy private _script;
    Deploy.Plan private _plan;

    function setUp() external {
        _script = new Deploy();
        _plan = Deploy.Plan({
            deployer: address(_script),
            admin: address(_script),
            adminDelay: 2 days,
            registrar: makeAddr("registrar"),
            steward: makeAddr("steward"),
            checkpointer: makeAddr("checkpointer"),
            pauser: makeAddr("pauser"),
            withConsents: false
        });
    }

    function test_Deploy_GrantsEveryRoleWhenTheDeployerIsAdmin() external {
        (MedicalRecordRegistry registry,) = _script.deploy(_plan);

        assertEq(registry.defaultAdmin(), _plan.admin);
        assertEq(registry.defaultAdminDelay(), 2 days);
        assertTrue(registry.hasRole(registry.REGISTRAR_ROLE(), _plan.registrar));
        assertTrue(registry.hasRole(registry.STEWARD_ROLE(), _plan.steward));
        assertTrue(registry.hasRole(registry.CHECKPOINT_ROLE(), _plan.checkpointer));
        assertTrue(registry.hasRole(registry.PAUSER_ROLE(), _plan.pauser));
        assertFalse(registry.hasRole(registry.REGISTRAR_ROLE(), _plan.deployer));
    }

    function test_Deploy_GrantsNothingWhenTheAdminIsSomebodyElse() external {
        _plan.admin = makeAddr("multisig");

        (MedicalRecordRegistry registry,) = _script.deploy(_plan);

        assertEq(registry.defaultAdmin(), _plan.admin);
        assertFalse(registry.hasRole(registry.DEFAULT_ADMIN_ROLE(), _plan.deployer));
        assertFalse(registry.hasRole(registry.REGISTRAR_ROLE(), _plan.registrar));
    }

    function test_Deploy_LeavesConsentsOutByDefault() external {
        (MedicalRecordRegistry registry, ConsentRegistry consents) = _script.deploy(_plan);

        assertEq(address(consents), address(0));
        string memory json = _script.describe(_plan, registry, consents, 7);
        assertTrue(vm.contains(json, '"consentRegistry": null'));
    }

    function test_Deploy_DeploysConsentsWhenAsked() external {
        _plan.withConsents = true;

        (MedicalRecordRegistry registry, ConsentRegistry consents) = _script.deploy(_plan);

        assertEq(consents.defaultAdmin(), _plan.admin);
        assertTrue(consents.hasRole(consents.PAUSER_ROLE(), _plan.pauser));
        string memory json = _script.describe(_plan, registry, consents, 7);
        assertEq(vm.parseJsonAddress(json, ".consentRegistry"), address(consents));
    }

    function test_Describe_SaysWhereTheRegistryIs() external {
        (MedicalRecordRegistry registry, ConsentRegistry consents) = _script.deploy(_plan);

        string memory json = _script.describe(_plan, registry, consents, 7);

        assertEq(vm.parseJsonUint(json, ".chainId"), block.chainid);
        assertEq(vm.parseJsonAddress(json, ".registry"), address(registry));
        assertEq(vm.parseJsonUint(json, ".block"), 7);
        assertEq(vm.parseJsonBytes32(json, ".codeHash"), keccak256(address(registry).code));
        assertEq(vm.parseJsonAddress(json, ".deployer"), _plan.deployer);
        assertEq(vm.parseJsonAddress(json, ".registrar"), _plan.registrar);
    }
}
