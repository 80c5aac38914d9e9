//! Core dumps: forbidden. The memory of this process holds keys and documents, and a crash must not put
//! them on a disk.

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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use rustix::process::{DumpableBehavior, dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn a_process_that_forbids_core_dumps_is_not_dumpable() {
        forbid().unwrap();

        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
