//! Core dumps: forbidden. The memory of this process holds the password of the database, and a crash
//! must not put it on a disk.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Forbids core dumps of this process: the limit of their size is 0, and on Linux the process is not
/// dumpable, so that no other process of the same user reads its memory either (`ptrace`, `/proc`).
///
/// # Errors
/// The system's.
pub(crate) fn forbid() -> std::io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}
