//! Pages: Relay's connections.

use std::borrow::Cow;

use async_graphql::{Context, OutputType, SimpleObject, TypeName};
use store::KeysetPage;

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
    size_of("first", first)
}

fn size_of(argument: &'static str, size: Option<i32>) -> Result<i64, Error> {
    let size = size.unwrap_or(DEFAULT_SIZE);
    if (1..=MAX_SIZE).contains(&size) {
        Ok(size.into())
    } else {
        let told = format!("{argument} is 1 to {MAX_SIZE}");
        Err(Error::bad(argument, told))
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

/// Which page is asked for of a list that can be read both ways.
#[derive(Debug, Clone, Default)]
pub(crate) struct PageArguments {
    /// How many nodes from the beginning, or after a cursor.
    pub(crate) first: Option<i32>,
    /// The cursor that it begins after.
    pub(crate) after: Option<Cursor>,
    /// How many nodes from the end, or before a cursor.
    pub(crate) last: Option<i32>,
    /// The cursor that it ends before.
    pub(crate) before: Option<Cursor>,
}

/// A page of a list, as it is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageRange<K> {
    /// How many nodes.
    pub(crate) size: i64,
    /// The key that the page is next to; `None` at the end of the list that it is read from.
    pub(crate) from: Option<K>,
    /// Whether it is read from the end of the list towards its beginning.
    pub(crate) backward: bool,
}

impl PageArguments {
    /// Reads them. A page goes one way: `first` and `after` towards the end of the list, `last` and `before` towards its
    /// beginning.
    ///
    /// # Errors
    /// [`Error::BadInput`] for a size outside 1 to 100, for a cursor of another list, and where both ways are named.
    pub(crate) fn range<K: CursorKey>(&self, cursors: &ListCursors) -> Result<PageRange<K>, Error> {
        let backward = self.is_backward();
        let (argument, cursor) = if backward {
            ("before", &self.before)
        } else {
            ("after", &self.after)
        };
        let from = cursors.read_as(argument, cursor.as_ref());
        let (size, from) = both(self.size(), from)?;
        Ok(PageRange {
            size,
            from,
            backward,
        })
    }

    /// The same without cursors: for a list that they are not known of yet.
    ///
    /// # Errors
    /// [`Error::BadInput`] for a size outside 1 to 100, and where both ways are named.
    pub(crate) fn check_size(&self) -> Result<(), Error> {
        self.size().map(drop)
    }

    fn is_backward(&self) -> bool {
        self.last.is_some() || self.before.is_some()
    }

    fn size(&self) -> Result<i64, Error> {
        if !self.is_backward() {
            return size(self.first);
        }
        if self.first.is_some() || self.after.is_some() {
            let told = "a page goes one way: `first` and `after`, or `last` and `before`";
            return Err(Error::bad("last", told));
        }
        size_of("last", self.last)
    }
}

impl<K> PageRange<K> {
    /// The same by another form of the key.
    pub(crate) fn by<L>(self, key: impl FnOnce(K) -> L) -> PageRange<L> {
        PageRange {
            size: self.size,
            from: self.from.map(key),
            backward: self.backward,
        }
    }
}

impl<K> PageRange<K> {
    /// The one of these, which are in the order of the list, that is last the way that the page goes.
    pub(crate) fn farthest<'a, T>(&self, list: &'a [T]) -> Option<&'a T> {
        if self.backward {
            list.first()
        } else {
            list.last()
        }
    }

    /// The same as a statement finds it, with one row more that tells whether there are more the way that it goes.
    pub(crate) fn keyset(self) -> KeysetPage<K> {
        KeysetPage {
            from: self.from,
            backward: self.backward,
            limit: self.size + 1,
        }
    }
}

impl<K: Ord> PageRange<K> {
    /// The page of a list that is at hand whole, in the order of its keys: its items, and whether there are more the way that it
    /// goes.
    pub(crate) fn of_list<'a, T>(&self, list: &'a [T], key: impl Fn(&T) -> K) -> (&'a [T], bool) {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        if self.backward {
            let end = self.from.as_ref().map_or(list.len(), |from| {
                list.partition_point(|item| key(item) < *from)
            });
            let start = end.saturating_sub(size);
            (&list[start..end], start > 0)
        } else {
            let start = self
                .from
                .as_ref()
                .map_or(0, |from| list.partition_point(|item| key(item) <= *from));
            let end = start.saturating_add(size).min(list.len());
            (&list[start..end], end < list.len())
        }
    }
}

/// Rows of a list, and how many it has on all pages where that was asked; else 0.
#[derive(Debug)]
pub(crate) struct CountedRows<T> {
    /// The rows.
    pub(crate) rows: Vec<T>,
    /// How many there are.
    pub(crate) total: i64,
}

/// Whether the query asks how many nodes the connection has that is being resolved: else nobody counts them.
pub(crate) fn asks_total(ctx: &Context<'_>) -> bool {
    ctx.look_ahead().field("totalCount").exists()
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
    /// Whether the list has more nodes after this page; of a page that was asked for with `last`, whether it was with `before`, too.
    has_next_page: bool,
    /// Whether this page was asked for with `after`, so that nodes come before it; of a page that was asked for with `last`,
    /// whether the list has more nodes before it.
    has_previous_page: bool,
    /// The cursor of the first node on this page: pass it as `before`, where the list takes it, to read what comes before.
    /// Null where the page is empty.
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

/// One page of a list, and how many nodes the list has.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(name_type)]
pub(crate) struct CountedConnection<T: Node> {
    /// The nodes of this page in the order of the list, each with its cursor.
    edges: Vec<Edge<T>>,
    /// The nodes of this page in the order of the list, without cursors.
    nodes: Vec<T>,
    /// Whether the list goes on after this page, and the cursor to go on with.
    page_info: PageInfo,
    /// The exact number of nodes on all pages. It is counted for each request that asks for it.
    total_count: i64,
}

impl<T: Node> TypeName for CountedConnection<T> {
    fn type_name() -> Cow<'static, str> {
        T::CONNECTION.into()
    }
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

    /// The page of a range, made of up to one more node than it has, in the order in which they were found: of a page that is
    /// read from the end, that is the list's order reversed.
    pub(crate) fn of_range<K>(
        mut found: Vec<T>,
        range: &PageRange<K>,
        cursor: impl Fn(&T) -> Cursor,
    ) -> Self {
        let size = usize::try_from(range.size).unwrap_or(usize::MAX);
        let has_more = found.len() > size;
        found.truncate(size);
        if range.backward {
            found.reverse();
        }
        Self::whole_range(found, has_more, range, cursor)
    }

    /// The page of a range, made of its nodes in the order of the list, where it is known whether there are more the way that
    /// it goes.
    pub(crate) fn whole_range<K>(
        nodes: Vec<T>,
        has_more: bool,
        range: &PageRange<K>,
        cursor: impl Fn(&T) -> Cursor,
    ) -> Self {
        let continued = range.from.is_some();
        if range.backward {
            let mut page = Self::whole(nodes, continued, has_more, cursor);
            // Nothing is read on from where nothing was found.
            page.page_info.has_next_page &= !page.nodes.is_empty();
            page
        } else {
            Self::whole(nodes, has_more, continued, cursor)
        }
    }

    /// The same page with the number of nodes on all pages.
    pub(crate) fn counted(self, total_count: i64) -> CountedConnection<T> {
        CountedConnection {
            edges: self.edges,
            nodes: self.nodes,
            page_info: self.page_info,
            total_count,
        }
    }

    /// The same page, which goes on, the way that it goes, after what was looked at last, whether it is shown or not.
    #[must_use]
    pub(crate) fn looked_through<K>(mut self, range: &PageRange<K>, last: Option<Cursor>) -> Self {
        let info = &mut self.page_info;
        if range.backward && info.has_previous_page {
            info.start_cursor = last.or(info.start_cursor.take());
        } else if !range.backward && info.has_next_page {
            info.end_cursor = last.or(info.end_cursor.take());
        }
        self
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
    use std::sync::Arc;

    use vault::blind_index::IndexKey;

    use super::*;

    #[test]
    fn a_page_goes_one_way() {
        let key = IndexKey::parse(&"2a".repeat(32)).expect("a key");
        let cursors = ListCursors::of_log(&Arc::new(key), "a");
        let cursor = |at: i64| Some(cursors.at(&at));
        let asked = |first, after, last, before| PageArguments {
            first,
            after,
            last,
            before,
        };
        let range = |size, from, backward| {
            Ok(PageRange {
                size,
                from,
                backward,
            })
        };
        for (asked, wanted) in [
            (asked(None, None, None, None), range(20, None, false)),
            (
                asked(Some(3), cursor(7), None, None),
                range(3, Some(7), false),
            ),
            (asked(None, None, Some(3), None), range(3, None, true)),
            (asked(None, None, None, cursor(7)), range(20, Some(7), true)),
            (
                asked(None, None, Some(3), cursor(7)),
                range(3, Some(7), true),
            ),
            (asked(Some(3), None, Some(3), None), Err("last")),
            (asked(Some(3), None, None, cursor(7)), Err("last")),
            (asked(None, cursor(7), Some(3), None), Err("last")),
            (asked(None, None, Some(0), None), Err("last")),
            (asked(Some(101), None, None, None), Err("first")),
            (
                asked(None, None, None, Some(Cursor::of_text("x".to_owned()))),
                Err("before"),
            ),
        ] {
            let read = asked.range::<i64>(&cursors);
            let field = |error: Error| error.bad_fields().next().map_or("", |(field, _)| field);
            assert_eq!(read.map_err(field), wanted, "{asked:?}");
        }
    }

    #[test]
    fn a_page_of_a_list_at_hand_is_next_to_its_key() {
        let list = [10_i64, 20, 30, 40];
        for (size, from, backward, wanted, has_more) in [
            (2, None, false, &[10, 20][..], true),
            (2, Some(20), false, &[30, 40][..], false),
            (2, Some(25), false, &[30, 40][..], false),
            (2, Some(40), false, &[][..], false),
            (9, None, false, &list[..], false),
            (2, None, true, &[30, 40][..], true),
            (2, Some(30), true, &[10, 20][..], false),
            (2, Some(25), true, &[10, 20][..], false),
            (1, Some(30), true, &[20][..], true),
            (2, Some(10), true, &[][..], false),
            (9, None, true, &list[..], false),
        ] {
            let range = PageRange {
                size,
                from,
                backward,
            };
            let page = range.of_list(&list, |item| *item);
            assert_eq!(page, (wanted, has_more), "{range:?}");
        }
    }

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
