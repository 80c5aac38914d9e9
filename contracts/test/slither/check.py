#!/usr/bin/env python3
"""Runs slither 0.11.6 over the contracts and passes only if it reports exactly what is argued for here.

A result that is not in the list fails, and so does a line of the list that slither reports no more: the list is what
was looked at. Run in the root of the repository, with slither and forge on the PATH, as analyse.mjs does:
    node contracts/test/analyse.mjs slither
"""
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
}


def main() -> int:
    command = ["slither", ".", "--filter-paths", "node_modules|contracts/test|contracts/script",
               "--exclude-informational", "--json", "-"]
    run = subprocess.run(command, capture_output=True, text=True)
    try:
        report = json.loads(run.stdout)
    except json.JSONDecodeError:
        print(run.stderr, file=sys.stderr)
        return 2
    if not report["success"]:
        print(report["error"], file=sys.stderr)
        return 2
    found = {}
    for result in report["results"].get("detectors", []):
        # The description begins with the element's name and ends it before its place in the file.
        name = result["description"].split(" (contracts/")[0].strip()
        found[result["check"], name] = result["description"]
    for key in found.keys() - ARGUED.keys():
        print(f"nobody has argued for this: {key}\n{found[key]}", file=sys.stderr)
    for key in ARGUED.keys() - found.keys():
        print(f"slither does not report this any more: {key}", file=sys.stderr)
    print(f"{len(found)} results, {len(found.keys() & ARGUED.keys())} of them argued for")
    return 0 if found.keys() == ARGUED.keys() else 1


sys.exit(main())
