//! The interfaces of the registry and of the registry of consents, generated from the checked-in ABI and documented in
//! `contracts/src`.

alloy::sol! {
    MedicalRecordRegistry,
    "../../contracts/abi/MedicalRecordRegistry.json"
}

/// The registry of consents has the base of the registry, too: its module of that name is another one.
pub(crate) mod consents {
    alloy::sol! {
        ConsentRegistry,
        "../../contracts/abi/ConsentRegistry.json"
    }
}
