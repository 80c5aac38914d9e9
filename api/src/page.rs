//! Pages: Relay's connections.

use async_graphql::{OutputType, SimpleObject};

use crate::{
    audit::graphql::{AccessLogEntry, AuditLog},
    consents::graphql::Consent,
    cursor::Cursor,
    deletion::graphql::DataDeletionRequest,
    error::Error,
    records::graphql::MedicalRecord,
    sessions::graphql::Session,
    users::graphql::{RoleProposal, User},
    wallets::graphql::Wallet,
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

/// Tells whether a list goes on, and how to read its next page.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct PageInfo {
    /// Whether the list has more nodes after this page.
    has_next_page: bool,
    /// Whether this page was asked for with `after`, so that nodes come before it.
    has_previous_page: bool,
    /// The cursor of the first node on this page; null where the page is empty.
    start_cursor: Option<Cursor>,
    /// The cursor of the last node on this page: pass it as `after` to read the next page. Null where
    /// the page is empty.
    end_cursor: Option<Cursor>,
}

/// One node of a page together with its cursor.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(concrete(name = "UserEdge", params(User)))]
#[graphql(concrete(name = "RoleProposalEdge", params(RoleProposal)))]
#[graphql(concrete(name = "SessionEdge", params(Session)))]
#[graphql(concrete(name = "MedicalRecordEdge", params(MedicalRecord)))]
#[graphql(concrete(name = "ConsentEdge", params(Consent)))]
#[graphql(concrete(name = "AuditLogEdge", params(AuditLog)))]
#[graphql(concrete(name = "AccessLogEdge", params(AccessLogEntry)))]
#[graphql(concrete(name = "DataDeletionRequestEdge", params(DataDeletionRequest)))]
#[graphql(concrete(name = "WalletEdge", params(Wallet)))]
pub(crate) struct Edge<T: OutputType> {
    /// The position of the node in the list: pass it as `after` to read what follows the node.
    cursor: Cursor,
    /// The item of the list at this position.
    node: T,
}

/// One page of a list.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(concrete(name = "UserConnection", params(User)))]
#[graphql(concrete(name = "RoleProposalConnection", params(RoleProposal)))]
#[graphql(concrete(name = "SessionConnection", params(Session)))]
#[graphql(concrete(name = "MedicalRecordVersionConnection", params(MedicalRecord)))]
#[graphql(concrete(name = "ConsentConnection", params(Consent)))]
#[graphql(concrete(name = "AuditLogConnection", params(AuditLog)))]
#[graphql(concrete(name = "AccessLogConnection", params(AccessLogEntry)))]
#[graphql(concrete(name = "DataDeletionRequestConnection", params(DataDeletionRequest)))]
#[graphql(concrete(name = "WalletConnection", params(Wallet)))]
pub(crate) struct Connection<T: OutputType>
where
    Edge<T>: OutputType,
{
    /// The nodes of this page in the order of the list, each with its cursor.
    pub(crate) edges: Vec<Edge<T>>,
    /// The nodes of this page in the order of the list, without cursors.
    pub(crate) nodes: Vec<T>,
    /// Whether the list goes on after this page, and the cursor to go on with.
    pub(crate) page_info: PageInfo,
}

impl<T: OutputType + Clone> Connection<T>
where
    Edge<T>: OutputType,
{
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
