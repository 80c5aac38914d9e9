#!/usr/bin/env python3
"""Runs slither 0.11.6 over the contracts and passes only if it reports exactly what is argued for here.

A result that is not in the list fails, and so does a line of the list that slither reports no more: the list is what
was looked at. Run in the root of the repository, with slither and forge on the PATH, as analyse.mjs does:
    node contracts/test/analyse.mjs slither
"""
import collections
import json
import subprocess
import sys

TAINTED = (
    "No time is compared: slither takes a whole packed word for a time because some of its bits hold one. Compared "
    "are the status, the pause, a role, a number of an account, or whether there is a word at all."
)
DAYS = "Deadlines, expiries and the time to annul are of hours and days; a block producer can shift seconds."
WINDOW = (
    "The windows of the limit are hours. A block producer who shifts seconds at their edge moves an end from one "
    "window into the next; the limit holds in each."
)
CONSTANT = "The interface asks for what is a public constant in the contract, and those are written in capitals."
NAMED = "`head` names what the function returns in the frozen interface; none of these calls `head()`."

ARGUED = {
    ("timestamp", "ChainedEvents.head()"): TAINTED,
    ("timestamp", "ChainedEvents._openWord()"): TAINTED,
    ("timestamp", "ChainedEvents._grantRole(bytes32,address)"): TAINTED,
    ("timestamp", "ConsentRegistry.grant(address,bytes32,uint40,uint256,bytes)"): DAYS,
    ("timestamp", "ConsentRegistry.withdraw(address,bytes32,uint256,bytes)"): DAYS,
    ("timestamp", "MedicalRecordRegistry.annul(bytes32)"): DAYS,
    ("timestamp", "MedicalRecordRegistry.endingLimitOf(address)"): WINDOW,
    ("timestamp", "MedicalRecordRegistry._countEnd(uint256,uint16)"): WINDOW,
    ("timestamp", "MedicalRecordRegistry._endsInWindow(uint256)"): WINDOW,
    ("timestamp", "MedicalRecordRegistry._end(bytes32,IMedicalRecordRegistry.Status,uint8)"): TAINTED,
    ("timestamp", "MedicalRecordRegistry._revokeSuccessor(bytes32)"): TAINTED,
    ("timestamp", "MedicalRecordRegistry._checkUnknown(bytes32)"): TAINTED,
    ("timestamp", "MedicalRecordRegistry._isByRegistrar(uint256)"): TAINTED,
    ("incorrect-equality", "MedicalRecordRegistry._endsInWindow(uint256)"):
        "The number of a window is equal or it is not; no balance is compared.",
    ("incorrect-equality", "MedicalRecordRegistry._revokeSuccessor(bytes32)"):
        "A status is equal or it is not; no balance is compared.",
    ("uninitialized-local", "MedicalRecordRegistry._end(bytes32,IMedicalRecordRegistry.Status,uint8).byRegistrar"):
        "Zero is what a steward's end says; a registrar's sets it.",
    ("unused-return", "ConsentRegistry._checkSigned(address,bytes32,bytes)"):
        "The dropped third value only details an error that is already known.",
    ("shadowing-local", "IChainedEvents.head().head"): NAMED,
    ("shadowing-local", "IMedicalRecordRegistry.currentOf(bytes32,uint256).head"): NAMED,
    ("shadowing-local", "MedicalRecordRegistry.currentOf(bytes32,uint256).head"): NAMED,
    ("assembly", "TreeProof._parent(bytes32,bytes32)"):
        "By hand because Solidity copies what it hashes, which makes a large checkpoint 8 % dearer. Held against an "
        "independent model for every tree of up to 128 leaves.",
    **{("naming-convention", f"Function {name}()"): CONSTANT for name in (
        "IChainedEvents.PAUSER_ROLE", "IChainedEvents.PREDECESSOR", "IChainedEvents.VERSION",
        "IMedicalRecordRegistry.ANNULMENT_PERIOD", "IMedicalRecordRegistry.CHECKPOINT_ROLE",
        "IMedicalRecordRegistry.DEFAULT_ENDING_LIMIT", "IMedicalRecordRegistry.ENDING_WINDOW",
        "IMedicalRecordRegistry.MAX_ENDING_LIMIT", "IMedicalRecordRegistry.REASON_ANNULLED",
        "IMedicalRecordRegistry.REGISTRAR_ROLE", "IMedicalRecordRegistry.STEWARD_ROLE",
    )},
}


def main() -> int:
    command = ["slither", ".", "--filter-paths", "node_modules|contracts/test|contracts/script", "--json", "-"]
    run = subprocess.run(command, capture_output=True, text=True)
    try:
        report = json.loads(run.stdout)
    except json.JSONDecodeError:
        print(run.stderr, file=sys.stderr)
        return 2
    if not report["success"]:
        print(report["error"], file=sys.stderr)
        return 2
    described = {}
    found = collections.Counter()
    for result in report["results"].get("detectors", []):
        # The description begins with the element's name and ends it before its place in the file.
        name = result["description"].split(" (contracts/")[0].strip()
        described[result["check"], name] = result["description"]
        found[result["check"], name] += 1
    wrong = 0
    for key in found.keys() | ARGUED.keys():
        # One reason is for one result.
        if key in ARGUED and found[key] == 1:
            continue
        wrong += 1
        if found[key] == 0:
            print(f"slither does not report this any more: {key}", file=sys.stderr)
        else:
            print(f"nobody has argued for this, {found[key]} times: {key}\n{described[key]}", file=sys.stderr)
    print(f"{found.total()} results, {len(ARGUED)} argued for, {wrong} not as they should be")
    return 1 if wrong else 0


sys.exit(main())
