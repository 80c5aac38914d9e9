// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IChainedEvents} from "../../src/IChainedEvents.sol";
import {RegistryTest} from "./RegistryTest.sol";

contract PauseTest is RegistryTest {
    function test_SetPaused_RevertWhen_StrangerPauses() external {
        _expectUnauthorized(stranger, PAUSER_ROLE);
        _set(stranger, true);
    }

    function test_SetPaused_RevertWhen_AdminPauses() external {
        _expectUnauthorized(admin, PAUSER_ROLE);
        _set(admin, true);
    }

    function test_SetPaused_RevertWhen_PauserUnpauses() external {
        _pause();

        _expectUnauthorized(pauser, registry.DEFAULT_ADMIN_ROLE());
        _set(pauser, false);
    }

    function test_SetPaused_PausesForThePauser() external {
        (uint40 seq, bytes25 head) = _expect(pauser, true);
        _set(pauser, true);

        _assertHead(seq, head);
        _assertPaused(true);
    }

    function test_SetPaused_UnpausesForTheAdmin() external {
        _pause();

        (uint40 seq, bytes25 head) = _expect(admin, false);
        _set(admin, false);

        _assertHead(seq, head);
        _assertPaused(false);
        _anchor(LAB);
    }

    function test_SetPaused_WhenPausedAlready() external {
        _pause();

        (uint40 seq, bytes25 head) = _expect(pauser, true);
        _set(pauser, true);

        _assertHead(seq, head);
        _assertPaused(true);
    }

    function test_SetPaused_WhenNotPaused() external {
        (uint40 seq, bytes25 head) = _expect(admin, false);
        _set(admin, false);

        _assertHead(seq, head);
        _assertPaused(false);
    }

    function _set(address by, bool paused) private {
        vm.prank(by);
        registry.setPaused(paused);
    }

    function _expect(address by, bool paused) private returns (uint40 seq, bytes25 head) {
        (seq, head) = _next(abi.encode(keccak256("PausedSet(bool,address,uint40,bytes25)"), by, paused));
        vm.expectEmit(address(registry));
        emit IChainedEvents.PausedSet(paused, by, seq, head);
    }
}
