//! Pages of lists that are read both ways, each from a key of the list's order.

/// A page of a list, as a statement finds it.
#[derive(Debug, Clone, Copy)]
pub struct KeysetPage<K> {
    /// The key that the page is next to; `None` at the end that it is read from.
    pub from: Option<K>,
    /// Whether it is read from the end of the list towards its beginning, and so found in that order.
    pub backward: bool,
    /// How many rows it has at most.
    pub limit: i64,
}

impl<K> KeysetPage<K> {
    /// The rows after this key, or the first ones.
    pub const fn after(from: Option<K>, limit: i64) -> Self {
        Self {
            from,
            backward: false,
            limit,
        }
    }
}

/// Asks for a page by one of two statements with the same arguments, of which `$back` has the opposite order: the same index
/// serves both, which it would not where the order were an argument.
macro_rules! either_way {
    ($conn:expr, $backward:expr, $rows:ident!($forward:tt, $back:tt, $($argument:tt)*) $(,)?) => {
        if $backward {
            $rows!($back, $($argument)*).fetch_all($conn).await?
        } else {
            $rows!($forward, $($argument)*).fetch_all($conn).await?
        }
    };
}
pub(crate) use either_way;
