// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {Script} from "forge-std/Script.sol";
import {VmSafe} from "forge-std/Vm.sol";
import {console} from "forge-std/console.sol";
import {ConsentRegistry} from "../src/ConsentRegistry.sol";
import {MedicalRecordRegistry} from "../src/MedicalRecordRegistry.sol";

/// @title Deploys the registry and records where it is
/// @author MediTrustAl
/// @notice Run with `forge script contracts/script/Deploy.s.sol --rpc-url … --broadcast --private-key …`. The
/// environment says the rest:
/// DEPLOYMENT_FILE, where the deployment is recorded for api and indexer (a JSON file inside this repository, written
/// with --broadcast alone);
/// ADMIN_ADDRESS, a contract such as a multisig; ADMIN_DELAY, seconds between the two steps of an admin change, 2 days;
/// REGISTRAR_ADDRESS, STEWARD_ADDRESS, CHECKPOINT_ADDRESS, PAUSER_ADDRESS, each an account of its own;
/// ENDING_LIMIT, how many records registrars may end in an hour, 100;
/// DEPLOY_CONSENT_REGISTRY, true to deploy the ConsentRegistry as well, false;
/// DEPLOYMENT_BLOCK, the newest block, on a chain whose `block.number` is another chain's (Arbitrum);
/// DEVELOPMENT, true for a chain of one's own: then whoever is not named is the deployer, and the delay is 0.
/// @dev An admin that is not the deployer never shares its power, not even for a block: the deployer then grants
/// nothing, and the script prints the calls that the admin must send.
contract Deploy is Script {
    /// @notice Who will be what.
    struct Plan {
        address deployer;
        address admin;
        uint48 adminDelay;
        address registrar;
        address steward;
        address checkpointer;
        address pauser;
        uint16 endingLimit;
        bool withConsents;
        bool development;
    }

    function run() external {
        Plan memory plan = _planOfEnvironment();
        check(plan);
        // The first block that can hold a transaction sent from now on.
        uint256 fromBlock = vm.envOr("DEPLOYMENT_BLOCK", block.number) + 1;

        vm.startBroadcast();
        (MedicalRecordRegistry registry, ConsentRegistry consents) = deploy(plan);
        vm.stopBroadcast();

        string memory json = describe(plan, registry, consents, fromBlock);
        string memory file = vm.envOr("DEPLOYMENT_FILE", string(""));
        // Without --broadcast nothing was sent, and a file would name a registry that is not there.
        if (bytes(file).length != 0 && _isSent()) vm.writeFile(file, json);
        console.log(json);
    }

    /// @notice Refuses a plan in which one key would hold more than one power, unless it is for development.
    function check(Plan memory plan) public view {
        if (plan.development) return;
        require(
            plan.admin.code.length != 0,
            "ADMIN_ADDRESS must be a contract, such as a multisig (for a chain of your own: DEVELOPMENT=true)"
        );
        require(plan.adminDelay != 0, "ADMIN_DELAY must not be zero");
        address[6] memory holders =
            [plan.deployer, plan.admin, plan.registrar, plan.steward, plan.checkpointer, plan.pauser];
        for (uint256 i; i < holders.length; ++i) {
            require(
                holders[i] != address(0),
                "REGISTRAR_ADDRESS, STEWARD_ADDRESS, CHECKPOINT_ADDRESS and PAUSER_ADDRESS must be given"
            );
            for (uint256 k; k < i; ++k) {
                require(holders[i] != holders[k], "deployer, admin and each role need an account of their own");
            }
        }
    }

    /// @notice Deploys, and grants the roles if the deployer is the admin.
    function deploy(Plan memory plan) public returns (MedicalRecordRegistry registry, ConsentRegistry consents) {
        registry = new MedicalRecordRegistry(plan.adminDelay, plan.admin);
        _grant(plan, registry, registry.REGISTRAR_ROLE(), plan.registrar);
        _grant(plan, registry, registry.STEWARD_ROLE(), plan.steward);
        _grant(plan, registry, registry.CHECKPOINT_ROLE(), plan.checkpointer);
        _grant(plan, registry, registry.PAUSER_ROLE(), plan.pauser);
        bytes memory limit = abi.encodeCall(registry.setEndingLimit, (plan.registrar, plan.endingLimit));
        if (plan.admin == plan.deployer) registry.setEndingLimit(plan.registrar, plan.endingLimit);
        else _tell(address(registry), limit);
        if (plan.withConsents) {
            consents = new ConsentRegistry(plan.adminDelay, plan.admin);
            _grant(plan, consents, consents.PAUSER_ROLE(), plan.pauser);
        }
    }

    /// @notice The deployment as api and indexer read it.
    function describe(Plan memory plan, MedicalRecordRegistry registry, ConsentRegistry consents, uint256 fromBlock)
        public
        view
        returns (string memory json)
    {
        bool none = address(consents) == address(0);
        json = string.concat("{\n", _field("chainId", vm.toString(block.chainid)));
        json = string.concat(json, _field("registry", _quoted(vm.toString(address(registry)))));
        json = string.concat(json, _field("version", vm.toString(registry.VERSION())));
        json = string.concat(json, _field("predecessor", _addressOrNull(registry.PREDECESSOR())));
        json = string.concat(json, _field("consentRegistry", _addressOrNull(address(consents))));
        json = string.concat(json, _field("consentVersion", none ? "null" : vm.toString(consents.VERSION())));
        json = string.concat(json, _field("consentPredecessor", none ? "null" : _addressOrNull(consents.PREDECESSOR())));
        json = string.concat(json, _field("block", vm.toString(fromBlock)));
        json = string.concat(json, _field("codeHash", _quoted(vm.toString(address(registry).codehash))));
        json = string.concat(json, _field("deployer", _quoted(vm.toString(plan.deployer))));
        json = string.concat(json, "  \"registrar\": ", _quoted(vm.toString(plan.registrar)), "\n}\n");
    }

    function _isSent() private view returns (bool) {
        return vm.isContext(VmSafe.ForgeContext.ScriptBroadcast) || vm.isContext(VmSafe.ForgeContext.ScriptResume);
    }

    function _planOfEnvironment() private view returns (Plan memory plan) {
        plan.deployer = msg.sender;
        plan.development = vm.envOr("DEVELOPMENT", false);
        address somebody = plan.development ? plan.deployer : address(0);
        plan.admin = vm.envOr("ADMIN_ADDRESS", somebody);
        uint256 delay = vm.envOr("ADMIN_DELAY", plan.development ? 0 : 2 days);
        require(delay <= type(uint48).max, "ADMIN_DELAY is longer than 48 bits of seconds");
        plan.adminDelay = uint48(delay);
        plan.registrar = vm.envOr("REGISTRAR_ADDRESS", somebody);
        plan.steward = vm.envOr("STEWARD_ADDRESS", somebody);
        plan.checkpointer = vm.envOr("CHECKPOINT_ADDRESS", somebody);
        plan.pauser = vm.envOr("PAUSER_ADDRESS", somebody);
        uint256 limit = vm.envOr("ENDING_LIMIT", uint256(100));
        require(limit <= 2047, "ENDING_LIMIT is at most 2047");
        plan.endingLimit = uint16(limit);
        plan.withConsents = vm.envOr("DEPLOY_CONSENT_REGISTRY", false);
    }

    function _grant(Plan memory plan, AccessControl target, bytes32 role, address account) private {
        if (plan.admin == plan.deployer) {
            target.grantRole(role, account);
        } else {
            _tell(address(target), abi.encodeCall(target.grantRole, (role, account)));
        }
    }

    function _tell(address target, bytes memory call) private pure {
        console.log("The admin must still call", target);
        console.log(vm.toString(call));
    }

    function _field(string memory name, string memory value) private pure returns (string memory) {
        return string.concat("  ", _quoted(name), ": ", value, ",\n");
    }

    function _addressOrNull(address account) private pure returns (string memory) {
        return account == address(0) ? "null" : _quoted(vm.toString(account));
    }

    function _quoted(string memory text) private pure returns (string memory) {
        return string.concat("\"", text, "\"");
    }
}
