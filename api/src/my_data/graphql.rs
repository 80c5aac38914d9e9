//! What is about the caller, in the schema.

use async_graphql::{Context, Object, Result, SimpleObject};

use super::Section;
use crate::graphql::request;

/// Where everything about the caller can be taken out, and how much of it there is.
#[derive(Debug, SimpleObject)]
pub(crate) struct MyDataExport {
    /// The path of the archive: `GET` it with the access token. It streams a tar archive, and goes on after an interruption.
    /// Where it goes to another country, say so: `?destination=SG`.
    path: &'static str,
    /// How much there is of each section, in the order of the archive.
    sections: Vec<MyDataSection>,
}

/// A part of the archive, and how many things are in it.
#[derive(Debug, SimpleObject)]
pub(crate) struct MyDataSection {
    /// The name of the section: its files are in a directory of that name.
    name: &'static str,
    /// What the section holds, in words.
    description: &'static str,
    /// How many things are in it now. More may be there by the time they are taken out.
    count: i64,
}

/// The queries about everything that is known of the caller.
#[derive(Debug, Default)]
pub(crate) struct MyDataQueries;

/// The queries about everything that is known of the caller.
#[Object]
impl MyDataQueries {
    /// Everything about the caller, to be taken out and kept: documents and their files, consents and their receipts, the access log with proofs,
    /// account, log-ins, wallets, notifications, deletion requests, representations and proposals of them, memberships, and
    /// emergency access with its reasons. Gives the path of the archive and what it will hold. What is about to be erased is
    /// in it until the days of grace are over.
    async fn export_my_data(&self, ctx: &Context<'_>) -> Result<MyDataExport> {
        let (app, caller) = request(ctx)?;
        let counts = super::count(&app.pool, &caller).await?;
        let sections = Section::ALL.into_iter().map(|section| MyDataSection {
            name: section.name(),
            description: section.described(),
            count: section.count(&counts),
        });
        Ok(MyDataExport {
            path: "/my-data",
            sections: sections.collect(),
        })
    }
}
