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
            endingLimit: 7,
            withConsents: false,
            development: false
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
        (uint16 limit,) = registry.endingLimitOf(_plan.registrar);
        assertEq(limit, 7);
    }

    function test_Check_LetsSeparateKeysPass() external {
        _withMultisig();

        _script.check(_plan);
    }

    function test_Check_LetsAnythingPassInDevelopment() external {
        _plan.development = true;
        _plan.registrar = _plan.steward;

        _script.check(_plan);
    }

    function test_Check_RevertWhen_TheAdminIsNoContract() external {
        _plan.admin = makeAddr("a key");

        vm.expectRevert(
            bytes("ADMIN_ADDRESS must be a contract, such as a multisig (for a chain of your own: DEVELOPMENT=true)")
        );
        _script.check(_plan);
    }

    function test_Check_RevertWhen_TheDelayIsZero() external {
        _withMultisig();
        _plan.adminDelay = 0;

        vm.expectRevert(bytes("ADMIN_DELAY must not be zero"));
        _script.check(_plan);
    }

    function test_Check_RevertWhen_ARoleIsGivenToNobody() external {
        _withMultisig();
        _plan.pauser = address(0);

        vm.expectRevert(
            bytes("REGISTRAR_ADDRESS, STEWARD_ADDRESS, CHECKPOINT_ADDRESS and PAUSER_ADDRESS must be given")
        );
        _script.check(_plan);
    }

    function test_Check_RevertWhen_OneAccountHoldsTwoRoles() external {
        _withMultisig();
        _plan.steward = _plan.registrar;

        vm.expectRevert(bytes("deployer, admin and each role need an account of their own"));
        _script.check(_plan);
    }

    function _withMultisig() private {
        _plan.deployer = makeAddr("deployer");
        _plan.admin = makeAddr("multisig");
        vm.etch(_plan.admin, hex"00");
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
        assertEq(vm.parseJsonUint(json, ".consentVersion"), 2);
        assertTrue(vm.contains(json, '"consentPredecessor": null'));
    }

    function test_Describe_SaysWhereTheRegistryIs() external {
        (MedicalRecordRegistry registry, ConsentRegistry consents) = _script.deploy(_plan);

        string memory json = _script.describe(_plan, registry, consents, 7);

        assertEq(vm.parseJsonUint(json, ".chainId"), block.chainid);
        assertEq(vm.parseJsonAddress(json, ".registry"), address(registry));
        assertEq(vm.parseJsonUint(json, ".block"), 7);
        assertEq(vm.parseJsonUint(json, ".version"), 2);
        assertTrue(vm.contains(json, '"predecessor": null'));
        assertEq(vm.parseJsonBytes32(json, ".codeHash"), keccak256(address(registry).code));
        assertEq(vm.parseJsonAddress(json, ".deployer"), _plan.deployer);
        assertEq(vm.parseJsonAddress(json, ".registrar"), _plan.registrar);
    }
}
