//! Pages: Relay's connections.

use std::borrow::Cow;

use async_graphql::{OutputType, SimpleObject, TypeName};

use crate::{
    cursor::{Cursor, CursorKey, ListCursors},
    error::{Error, both},
};

/// How many nodes a page has when nobody says.
pub(crate) const DEFAULT_SIZE: i32 = 20;
/// How many nodes a page has at most.
pub(crate) const MAX_SIZE: i32 = 100;

/// How many nodes are asked for.
///
/// # Errors
/// [`Error::BadInput`] outside 1 to 100.
pub(crate) fn size(first: Option<i32>) -> Result<i64, Error> {
    // async-graphql takes a variable that is left out for a null, where the argument's default should
    // stand: a list takes either for "nobody said".
    let first = first.unwrap_or(DEFAULT_SIZE);
    if (1..=MAX_SIZE).contains(&first) {
        Ok(first.into())
    } else {
        Err(Error::bad("first", format!("first is 1 to {MAX_SIZE}")))
    }
}

/// How many nodes are asked for, and after which key of the list.
///
/// # Errors
/// [`Error::BadInput`] outside 1 to 100, and for a cursor of another list; both at once, too.
pub(crate) fn place<K: CursorKey>(
    cursors: &ListCursors,
    first: Option<i32>,
    after: Option<&Cursor>,
) -> Result<(i64, Option<K>), Error> {
    both(size(first), cursors.read(after))
}

/// What lists have, each of which has its own types of edges and pages in the schema.
pub(crate) trait Node: OutputType {
    /// The name of a node with its cursor.
    const EDGE: &'static str;
    /// The name of a page.
    const CONNECTION: &'static str;
}

/// Tells whether a list goes on, and how to read its next page.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct PageInfo {
    /// Whether the list has more nodes after this page.
    has_next_page: bool,
    /// Whether this page was asked for with `after`, so that nodes come before it.
    has_previous_page: bool,
    /// The cursor of the first node on this page; null where the page is empty.
    start_cursor: Option<Cursor>,
    /// The position at which the next page begins: pass it as `after`. Null where the page is empty and nothing follows.
    end_cursor: Option<Cursor>,
}

/// One node of a page together with its cursor.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(name_type)]
pub(crate) struct Edge<T: Node> {
    /// The position of the node in the list: pass it as `after` to read what follows the node.
    cursor: Cursor,
    /// The item of the list at this position.
    node: T,
}

/// One page of a list.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(name_type)]
pub(crate) struct Connection<T: Node> {
    /// The nodes of this page in the order of the list, each with its cursor.
    pub(crate) edges: Vec<Edge<T>>,
    /// The nodes of this page in the order of the list, without cursors.
    pub(crate) nodes: Vec<T>,
    /// Whether the list goes on after this page, and the cursor to go on with.
    pub(crate) page_info: PageInfo,
}

impl<T: Node> TypeName for Edge<T> {
    fn type_name() -> Cow<'static, str> {
        T::EDGE.into()
    }
}

impl<T: Node> TypeName for Connection<T> {
    fn type_name() -> Cow<'static, str> {
        T::CONNECTION.into()
    }
}

impl<T: Node + Clone> Connection<T> {
    /// A page of at most `size` nodes, made of up to one more that tells whether the list goes on.
    pub(crate) fn new(
        mut nodes: Vec<T>,
        size: i64,
        continued: bool,
        cursor: impl Fn(&T) -> Cursor,
    ) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let has_next_page = nodes.len() > size;
        nodes.truncate(size);
        Self::whole(nodes, has_next_page, continued, cursor)
    }

    /// A page of these nodes, where it is known whether the list goes on.
    pub(crate) fn whole(
        nodes: Vec<T>,
        has_next_page: bool,
        continued: bool,
        cursor: impl Fn(&T) -> Cursor,
    ) -> Self {
        let edges: Vec<_> = nodes
            .iter()
            .map(|node| Edge {
                cursor: cursor(node),
                node: node.clone(),
            })
            .collect();
        let page_info = PageInfo {
            has_next_page,
            has_previous_page: continued,
            start_cursor: edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: edges.last().map(|edge| edge.cursor.clone()),
        };
        Self {
            edges,
            nodes,
            page_info,
        }
    }

    /// The same page, which goes on after what was looked at last, whether it is shown or not.
    #[must_use]
    pub(crate) fn looked_up_to(mut self, end: Option<Cursor>) -> Self {
        if self.page_info.has_next_page {
            self.page_info.end_cursor = end.or(self.page_info.end_cursor);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_one_to_a_hundred() {
        for (first, ok) in [
            (0, false),
            (1, true),
            (100, true),
            (101, false),
            (-1, false),
        ] {
            assert_eq!(size(Some(first)).is_ok(), ok, "{first}");
        }
    }
}
