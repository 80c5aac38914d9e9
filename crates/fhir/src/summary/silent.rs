//! Types that hold what a document says: what their `Debug` shows.

/// A type that holds what a document says: its `Debug` must not.
macro_rules! silent {
    ($($name:ident),+ $(,)?) => {
        $(impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        })+
    };
}
pub(super) use silent;
