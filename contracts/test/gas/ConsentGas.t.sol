// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ConsentTest} from "../consent/ConsentTest.sol";

/// @notice The whole price of a transaction, held in snapshots/consent.json; see RegistryGasTest.
contract ConsentGasTest is ConsentTest {
    string private constant GROUP = "consent";

    function setUp() public override {
        super.setUp();
        // The first event pays for nothing that later ones do not, but be sure.
        vm.prank(stranger);
        consents.withdraw(stranger, DETAILS, 0, "");
    }

    function test_Gas_Grant() external {
        _grant(_signedGrant());
        assertLe(vm.snapshotGasLastCall(GROUP, "grant: relayed"), 63_000);
    }

    function test_Gas_Withdraw() external {
        _grant(_signedGrant());
        _withdraw(_signedWithdrawal());
        assertLe(vm.snapshotGasLastCall(GROUP, "withdraw: relayed"), 46_000);
    }

    function test_Gas_WithdrawByThePatient() external {
        _grant(_signedGrant());
        vm.prank(patient);
        consents.withdraw(patient, DETAILS, 0, "");
        assertLe(vm.snapshotGasLastCall(GROUP, "withdraw: by the patient"), 46_000);
    }
}
