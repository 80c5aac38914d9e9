// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConsentRegistry} from "../../src/IConsentRegistry.sol";
import {ConsentTest} from "../consent/ConsentTest.sol";

/// @notice Plays four patients, relayers and thieves against a consent registry; remembers what must be true of it.
contract ConsentHandler is ConsentTest {
    struct Consent {
        IConsentRegistry.ConsentStatus status;
        uint40 expiresAt;
        uint256 changedAt;
    }

    /// @dev A signature that has been on the chain, for anybody to send again.
    struct Used {
        bool grant;
        uint256 who;
        bytes32 details;
        uint40 expiresAt;
        bytes sig;
    }

    uint256 private constant FOREVER = type(uint256).max;

    mapping(uint256 who => mapping(bytes32 details => Consent)) private _known;
    Used[] private _used;
    bytes25 public head;
    uint40 public seq;

    constructor() {
        setUp();
        (head, seq,) = consents.head();
    }

    function grant(uint256 who, uint256 what, uint40 expiry, address by, uint256 twist) external {
        bytes32 details;
        (who, details) = (1 + who % 4, bytes32(what % 32));
        // A thief signs for the patient, now and then.
        uint256 signer = twist % 4 == 0 ? who + 100 : who;
        bytes memory sig = _sign(signer, _grantDigest(vm.addr(who), details, expiry, FOREVER));
        bool may = signer == who && _known[who][details].status == IConsentRegistry.ConsentStatus.None
            && (expiry == 0 || expiry > vm.getBlockTimestamp()) && !_isPaused();

        if (!_try(by, abi.encodeCall(consents.grant, (vm.addr(who), details, expiry, FOREVER, sig)), may)) return;

        _used.push(Used(true, who, details, expiry, sig));
        _saw(who, details, IConsentRegistry.ConsentStatus.Granted, expiry);
    }

    function withdraw(uint256 who, uint256 what, address by, uint256 twist) external {
        bytes32 details;
        (who, details) = (1 + who % 4, bytes32(what % 32));
        uint256 signer = twist % 4 == 0 ? who + 100 : who;
        // The patient needs no signature.
        bool direct = twist % 3 == 0 || by == vm.addr(who);
        if (direct) by = vm.addr(who);
        bytes memory sig = _sign(signer, _withdrawalDigest(vm.addr(who), details, FOREVER));
        bool may = (direct || signer == who) && _known[who][details].status != IConsentRegistry.ConsentStatus.Withdrawn;

        if (!_try(by, abi.encodeCall(consents.withdraw, (vm.addr(who), details, FOREVER, sig)), may)) return;

        _used.push(Used(false, who, details, 0, sig));
        _saw(who, details, IConsentRegistry.ConsentStatus.Withdrawn, _known[who][details].expiresAt);
    }

    /// @dev Whatever was on the chain once does nothing a second time, whoever sends it.
    function replay(uint256 which, address by) external {
        if (_used.length == 0) return;
        Used memory used = _used[which % _used.length];
        address who = vm.addr(used.who);
        _try(
            by,
            used.grant
                ? abi.encodeCall(consents.grant, (who, used.details, used.expiresAt, FOREVER, used.sig))
                : abi.encodeCall(consents.withdraw, (who, used.details, FOREVER, used.sig)),
            false
        );
    }

    function setPaused(bool to, uint256 twist) external {
        if (to && twist % 4 != 0) return;
        if (!_try(to ? pauser : admin, abi.encodeCall(consents.setPaused, (to)), true)) return;
        _chained(abi.encode(keccak256("PausedSet(bool,address,uint40,bytes25)"), to ? pauser : admin, to));
    }

    function passTime(uint256 time) external {
        vm.warp(vm.getBlockTimestamp() + bound(time, 1, 30 days));
    }

    /// @dev Fails unless every consent of every patient is as it was left.
    function assertKnown() external view {
        for (uint256 who = 1; who <= 4; ++who) {
            for (uint256 what; what < 32; ++what) {
                Consent storage known = _known[who][bytes32(what)];
                _assertConsent(vm.addr(who), bytes32(what), known.status, known.expiresAt, known.changedAt);
            }
        }
    }

    function assertHead() external view {
        _assertHead(seq, head);
    }

    function _try(address by, bytes memory call, bool may) private returns (bool ok) {
        vm.prank(by);
        (ok,) = address(consents).call(call);
        assertEq(ok, may, may ? "what may be done was refused" : "what may not be done was done");
    }

    function _saw(uint256 who, bytes32 details, IConsentRegistry.ConsentStatus status, uint40 expiry) private {
        _known[who][details] = Consent(status, expiry, vm.getBlockTimestamp());
        _chained(
            abi.encode(
                keccak256("ConsentChanged(address,bytes32,uint8,uint40,uint40,bytes25)"),
                vm.addr(who),
                details,
                status,
                expiry
            )
        );
    }

    function _chained(bytes memory topicsAndData) private {
        head = bytes25(keccak256(bytes.concat(head, bytes7(uint56(block.chainid)), keccak256(topicsAndData))));
        ++seq;
    }

    function _isPaused() private view returns (bool paused) {
        (,, paused) = consents.head();
    }
}
