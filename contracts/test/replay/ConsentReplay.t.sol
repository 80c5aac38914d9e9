// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ConsentRegistry} from "../../src/ConsentRegistry.sol";
import {IConsentRegistry} from "../../src/IConsentRegistry.sol";
import {IChainedEvents} from "../../src/IChainedEvents.sol";
import {ChainedTest} from "../ChainedTest.sol";
import {ConsentTest} from "../consent/ConsentTest.sol";
import {ReplayTest} from "./ReplayTest.sol";

/// @notice The complete state of the consent registry comes back from its events.
contract ConsentReplayTest is ReplayTest, ConsentTest {
    uint256 private _seed;

    function setUp() public override {
        vm.warp(1_790_000_000);
        vm.roll(22_000_000);
        _startRecording();
        consents = new ConsentRegistry(DELAY, admin);
        vm.prank(admin);
        consents.grantRole(PAUSER_ROLE, pauser);
        _collect();
    }

    function _chain() internal view override(ChainedTest, ConsentTest) returns (IChainedEvents) {
        return consents;
    }

    /// forge-config: default.fuzz.runs = 64
    /// forge-config: deep.fuzz.runs = 1024
    function testFuzz_State_IsRebuiltFromEvents(uint256 seed) external {
        _play(seed, 40);
        _assertRebuilt();
    }

    /// forge-config: default.fuzz.runs = 8
    /// forge-config: deep.fuzz.runs = 64
    function testFuzz_Logs_CannotBeTamperedWithUnnoticed(uint256 seed) external {
        _play(seed, 14);
        _assertEveryTamperingIsNoticed();
        _assertEverySwapIsNoticed();
    }

    /// @dev Steps that always succeed, by three patients about four consents each.
    function _play(uint256 seed, uint256 steps) private {
        _seed = seed;
        for (uint256 i; i < steps; ++i) {
            uint256 who = 1 + _random(3);
            bytes32 details = bytes32(_random(4));
            (IConsentRegistry.ConsentStatus status,,) = consents.consentOf(vm.addr(who), details);
            (,, bool paused) = consents.head();
            if (status == IConsentRegistry.ConsentStatus.None && !paused && _random(4) != 0) {
                uint40 expiry = _random(2) == 0 ? 0 : uint40(vm.getBlockTimestamp() + 1 + _random(1 << 30));
                bytes memory sig = _sign(who, _grantDigest(vm.addr(who), details, expiry, type(uint256).max));
                consents.grant(vm.addr(who), details, expiry, type(uint256).max, sig);
            } else if (status != IConsentRegistry.ConsentStatus.Withdrawn && _random(2) == 0) {
                vm.prank(vm.addr(who));
                consents.withdraw(vm.addr(who), details, 0, "");
            } else {
                vm.prank(paused ? admin : pauser);
                consents.setPaused(!paused);
            }
            _collect();
            vm.roll(vm.getBlockNumber() + 1 + _random(9));
            vm.warp(vm.getBlockTimestamp() + 12 * (1 + _random(9)));
        }
    }

    function _random(uint256 limit) private returns (uint256 number) {
        _seed = uint256(keccak256(abi.encode(_seed)));
        number = _seed % limit;
    }
}
