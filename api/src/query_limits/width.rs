//! How wide a long document is, read off its text: what is refused for it is not parsed, because a document parsed takes some
//! hundred times as much memory as its text.
//!
//! It counts less than the walk through the parsed document: each definition by itself, and no fragment where it is spread. So
//! nothing is refused here that the walk would let through.

use super::{LimitError, QueryLimits};
use crate::{
    codes::{Excess, QueryLimit},
    literals,
};

/// The longest text that is not looked at: little enough to be parsed. Unit: bytes.
const SHORT: usize = 4 * 1024;

/// What was counted of one definition.
#[derive(Debug, Clone, Copy, Default)]
struct DefinitionWidth {
    fields: u64,
    aliases: u64,
    directives: u64,
}

/// What stands before a name among selections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BeforeName {
    /// `...`: a fragment, or `on`.
    Dots,
    /// `on`: a type.
    On,
    /// `@`: a directive.
    At,
    /// Anything else: a field, or another name for one.
    Other,
}

/// Refuses a long text that has more fields, aliases or directives than a document may hold.
///
/// # Errors
/// [`LimitError::TooMuch`].
pub(super) fn check(document: &str, limits: &QueryLimits) -> Result<(), LimitError> {
    if document.len() <= SHORT {
        return Ok(());
    }
    // Whether each open bracket holds selections.
    let mut open: Vec<bool> = Vec::new();
    let mut width = DefinitionWidth::default();
    let mut before = BeforeName::Other;
    let mut rest = document;
    while let Some(first) = rest.bytes().next() {
        let ignored = literals::ignored(rest);
        if ignored > 0 {
            rest = &rest[ignored..];
            continue;
        }
        let (token, after) = rest.split_at(literals::token(rest));
        rest = after;
        let selects = open.last() == Some(&true);
        before = match first {
            b'{' | b'[' | b'(' => {
                open.push(first == b'{' && open.last().is_none_or(|selects| *selects));
                BeforeName::Other
            }
            b'}' | b']' | b')' => {
                open.pop();
                if open.is_empty() {
                    width = DefinitionWidth::default();
                }
                BeforeName::Other
            }
            b'.' => BeforeName::Dots,
            b'@' => {
                width.directives += u64::from(selects);
                BeforeName::At
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' if selects => width.name(token, before, after),
            _ => BeforeName::Other,
        };
        width.check(limits)?;
    }
    Ok(())
}

impl DefinitionWidth {
    /// Counts a name among selections, and says what it is to the next one.
    fn name(&mut self, name: &str, before: BeforeName, after: &str) -> BeforeName {
        match before {
            BeforeName::Dots if name == "on" => return BeforeName::On,
            BeforeName::Dots | BeforeName::On | BeforeName::At => {}
            BeforeName::Other if after[literals::ignored(after)..].starts_with(':') => {
                self.aliases += 1;
            }
            BeforeName::Other => self.fields += 1,
        }
        BeforeName::Other
    }

    fn check(&self, limits: &QueryLimits) -> Result<(), LimitError> {
        for (limit, counted, allowed) in [
            (QueryLimit::Fields, self.fields, limits.nodes),
            (QueryLimit::Aliases, self.aliases, limits.aliases),
            (QueryLimit::Directives, self.directives, limits.directives),
        ] {
            if counted > allowed {
                return Err(LimitError::TooMuch(Excess {
                    limit,
                    allowed,
                    counted,
                }));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(document: &str) -> Result<(), LimitError> {
        let long = format!("{document}{}", " ".repeat(SHORT));
        check(&long, &QueryLimits::new(false))
    }

    #[test]
    fn what_is_too_wide_is_refused_by_its_limit() {
        let aliases = "a: b ".repeat(16);
        let directives = "@skip(if: false) ".repeat(21);
        for (document, limit, allowed) in [
            (
                format!("{{ {} }}", "a ".repeat(1001)),
                QueryLimit::Fields,
                1000,
            ),
            (
                format!(
                    "fragment F on T {{ {} }}",
                    "a { b(c: { d: [E] }) } ".repeat(501)
                ),
                QueryLimit::Fields,
                1000,
            ),
            (format!("{{ {aliases} }}"), QueryLimit::Aliases, 15),
            (format!("{{ a {directives} }}"), QueryLimit::Directives, 20),
        ] {
            let excess = Excess {
                limit,
                allowed,
                counted: allowed + 1,
            };
            assert_eq!(judged(&document), Err(LimitError::TooMuch(excess)));
        }
    }

    #[test]
    fn what_is_no_field_is_not_counted_as_one() {
        let many = |part: &str, times: usize| part.repeat(times);
        for document in [
            format!("{{ a {} }}", many("...\u{feff} # x\n F ", 900)),
            format!("{{ a {} }}", many("... on T @a { b } ", 20)),
            format!("{{ a {} }}", many("... on T { b } ", 990)),
            format!("{{ a(b: [{}]) }}", many("C {d: E} ", 900)),
            format!("query Q({}) {{ a }}", many("$a: Int = 1 @b ", 900)),
            format!("{{ a(b: \"{}\") }}", many("c ", 1500)),
            format!("{{ a(b: \"\"\"{}\"\"\") }}", many("c } { ", 1500)),
            format!("{} # {}", "{ a }", many("c ", 1500)),
            many(&format!("query Q {{ {} }} ", many("a ", 600)), 3),
            format!("{{ {} }}", many("a ", 1000)),
            "\"".to_owned(),
            "{ a \"\"\"".to_owned(),
            "} ] ) $ @ ... é".to_owned(),
        ] {
            assert_eq!(judged(&document), Ok(()), "{document}");
        }
    }

    #[test]
    fn a_short_document_is_not_looked_at() {
        let wide = format!("{{ {} }}", "a ".repeat(1001));
        assert!(wide.len() <= SHORT);
        assert_eq!(check(&wide, &QueryLimits::new(false)), Ok(()));
    }
}
