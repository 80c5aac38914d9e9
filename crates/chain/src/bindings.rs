//! The registry's interface, generated from the checked-in ABI and documented in `contracts/src`.

alloy::sol! {
    MedicalRecordRegistry,
    "../../contracts/abi/MedicalRecordRegistry.json"
}
