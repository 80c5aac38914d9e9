// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Script} from "forge-std/Script.sol";
import {console} from "forge-std/console.sol";
import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {ConsentRegistry} from "../src/ConsentRegistry.sol";
import {MedicalRecordRegistry} from "../src/MedicalRecordRegistry.sol";

/// @title Deploys the registry and records where it is
/// @author MediTrustAl
/// @notice Run with `forge script contracts/script/Deploy.s.sol --rpc-url … --broadcast --private-key …`. The
/// environment says the rest; all of it is optional:
/// DEPLOYMENT_FILE, where the deployment is recorded for api and indexer (a JSON file inside this repository);
/// ADMIN_ADDRESS, the deployer if not given; ADMIN_DELAY, seconds between the two steps of an admin change, 0;
/// REGISTRAR_ADDRESS, STEWARD_ADDRESS, CHECKPOINT_ADDRESS, PAUSER_ADDRESS, each the admin if not given;
/// DEPLOY_CONSENT_REGISTRY, true to deploy the ConsentRegistry as well, false.
/// @dev An admin that is not the deployer never shares its power, not even for a block: the deployer then grants
/// nothing, and the script prints the calls that the admin must send.
contract Deploy is Script {
    address private _deployer;
    address private _admin;

    function run() external {
        _deployer = msg.sender;
        _admin = vm.envOr("ADMIN_ADDRESS", _deployer);
        address registrar = vm.envOr("REGISTRAR_ADDRESS", _admin);
        address pauser = vm.envOr("PAUSER_ADDRESS", _admin);
        uint256 delay = vm.envOr("ADMIN_DELAY", uint256(0));
        require(delay <= type(uint48).max, "ADMIN_DELAY is longer than 48 bits of seconds");
        // The first block that can hold a transaction sent from now on.
        uint256 fromBlock = block.number + 1;

        vm.startBroadcast();
        MedicalRecordRegistry registry = new MedicalRecordRegistry(uint48(delay), _admin);
        _grant(registry, registry.REGISTRAR_ROLE(), registrar);
        _grant(registry, registry.STEWARD_ROLE(), vm.envOr("STEWARD_ADDRESS", _admin));
        _grant(registry, registry.CHECKPOINT_ROLE(), vm.envOr("CHECKPOINT_ADDRESS", _admin));
        _grant(registry, registry.PAUSER_ROLE(), pauser);

        string memory consents = "null";
        if (vm.envOr("DEPLOY_CONSENT_REGISTRY", false)) {
            ConsentRegistry consentRegistry = new ConsentRegistry(uint48(delay), _admin);
            _grant(consentRegistry, consentRegistry.PAUSER_ROLE(), pauser);
            consents = _quoted(vm.toString(address(consentRegistry)));
        }
        vm.stopBroadcast();

        string memory json = string.concat("{\n", _field("chainId", vm.toString(block.chainid)));
        json = string.concat(json, _field("registry", _quoted(vm.toString(address(registry)))));
        json = string.concat(json, _field("consentRegistry", consents));
        json = string.concat(json, _field("block", vm.toString(fromBlock)));
        json = string.concat(json, _field("codeHash", _quoted(vm.toString(address(registry).codehash))));
        json = string.concat(json, _field("deployer", _quoted(vm.toString(_deployer))));
        json = string.concat(json, "  \"registrar\": ", _quoted(vm.toString(registrar)), "\n}\n");
        string memory file = vm.envOr("DEPLOYMENT_FILE", string(""));
        if (bytes(file).length != 0) vm.writeFile(file, json);
        console.log(json);
    }

    function _grant(AccessControl target, bytes32 role, address account) private {
        if (_admin == _deployer) {
            target.grantRole(role, account);
        } else {
            console.log("The admin must still call", address(target));
            console.log(vm.toString(abi.encodeCall(target.grantRole, (role, account))));
        }
    }

    function _field(string memory name, string memory value) private pure returns (string memory) {
        return string.concat("  ", _quoted(name), ": ", value, ",\n");
    }

    function _quoted(string memory text) private pure returns (string memory) {
        return string.concat("\"", text, "\"");
    }
}
