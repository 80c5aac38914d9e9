//! What a migration may not do to a table that is in use (docs/decisions/0095-migrations-under-load.md): hold a lock for as long as the table is
//! long, or take from the program of before what it reads. That nothing waits for long is tried by `e2e`, on tables with few rows.

use std::collections::BTreeSet;
use std::fs;

use Blocking::{Computed, Constraint, Gone, Hidden, Index, NotNull, Rows, Several, Type};

/// How a migration holds up those who use a table, or refuses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Blocking {
    /// An index that is not made concurrently: nobody writes meanwhile.
    Index,
    /// A constraint that reads the whole table under an exclusive lock: without NOT VALID, or validated in the same transaction.
    Constraint,
    /// SET NOT NULL where no validated constraint says the same: it reads the whole table.
    NotNull,
    /// Another type of a column: it may write the whole table, and a statement that was prepared is refused.
    Type,
    /// A column with a value that is computed for each row: it writes the whole table.
    Computed,
    /// Something is dropped or renamed that the program of before may name.
    Gone,
    /// Rows of a table in use are written: nobody else writes these until all of it has ended.
    Rows,
    /// Locks of two tables in use: whoever has the one and wants the other waits for what waits for them.
    Several,
    /// Statements that are put together when it runs: what they do is not seen.
    Hidden,
}

/// What stands in migrations from before this test, which may not be edited. It is tolerable since nothing was released before them:
/// whoever installs the first release applies them to empty tables, and no program serves meanwhile. Nothing may be added.
const LANDED: [(&str, &[Blocking]); 40] = [
    ("20261126100001", &[Index]),
    ("20261126130000", &[Index, Several]),
    ("20261126140000", &[Index]),
    ("20261126160100", &[Index]),
    ("20261128100000", &[Several]),
    ("20261128110000", &[Index, Several]),
    ("20261128120000", &[Constraint]),
    ("20261128130000", &[Index]),
    ("20261128160000", &[Index, Constraint, Rows, Several]),
    ("20261128170000", &[Index, Constraint, Rows, Several]),
    ("20261128170100", &[Index, Constraint, Rows, Several]),
    ("20261128180000", &[Index, Constraint, Several]),
    ("20261128190000", &[Hidden]),
    ("20261128200000", &[Index, Constraint, Several]),
    ("20261128223000", &[Index]),
    ("20261128223100", &[Constraint, Several]),
    ("20261129110000", &[Constraint, Type, Computed]),
    ("20261129110100", &[Index]),
    ("20261129110200", &[Constraint]),
    ("20261129120000", &[Index]),
    ("20261129130000", &[Index, Constraint, Several]),
    ("20261129140000", &[Index, Constraint, Several]),
    ("20261129140100", &[Index]),
    ("20261129150000", &[Index]),
    ("20261129150100", &[Index]),
    ("20261129160000", &[Index, Constraint, Several]),
    ("20261130010000", &[Index, Constraint, Several]),
    ("20261130020000", &[Constraint]),
    ("20261130020100", &[Index, Constraint, Several]),
    ("20261130020200", &[Index, Constraint, Several]),
    ("20261130040000", &[Constraint]),
    ("20261130050100", &[Constraint, Type, Several]),
    ("20261130070200", &[Index, Several]),
    ("20261201020000", &[Index]),
    ("20261201030000", &[Constraint]),
    ("20261201030100", &[Index, Constraint, Rows, Several]),
    ("20261203030000", &[Index, Constraint]),
    ("20261203030100", &[Constraint]),
    ("20261203030200", &[Index, Constraint]),
    ("20261204070000", &[Index]),
];

/// A statement: its words, without comments and with nothing in what is quoted, and as it stands there.
struct MigrationStatement {
    words: Vec<String>,
    text: String,
}

impl MigrationStatement {
    fn starts_with(&self, begin: &[&str]) -> bool {
        self.words.len() >= begin.len() && self.words.iter().zip(begin).all(|(a, b)| a == b)
    }

    /// The word behind this one, without what may be attached to it.
    fn behind(&self, word: &str) -> Option<&str> {
        let at = self.words.iter().position(|it| it == word)?;
        self.words.get(at + 1)?.split('(').next()
    }

    /// The changes of an ALTER TABLE.
    fn changes(&self) -> Vec<String> {
        let mut depth = 0_i32;
        let mut changes = vec![String::new()];
        for letter in self.words[3..].join(" ").chars() {
            match letter {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if letter == ',' && depth == 0 {
                changes.push(String::new());
            } else if let Some(last) = changes.last_mut() {
                last.push(letter);
            }
        }
        changes.iter().map(|it| it.trim().to_owned()).collect()
    }
}

/// How long what is quoted at the beginning of this text is, or the comment there.
fn passed_over(text: &str) -> Option<(usize, &'static str)> {
    let end = |from: usize, with: &str| {
        let found = text[from..].find(with);
        found.map_or(text.len(), |at| from + at + with.len())
    };
    if text.starts_with("--") {
        return Some((text.find('\n').unwrap_or(text.len()), ""));
    }
    if text.starts_with('\'') {
        return Some((end(1, "'"), "''"));
    }
    let tag = text.strip_prefix('$')?;
    let name = tag.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
    let tag = tag[name..].starts_with('$').then(|| &text[..name + 2])?;
    Some((end(tag.len(), tag), "$$"))
}

fn statements(sql: &str) -> Vec<MigrationStatement> {
    let mut found = Vec::new();
    let (mut blank, mut text) = (String::new(), String::new());
    let mut rest = sql;
    while let Some(letter) = rest.chars().next() {
        if let Some((length, instead)) = passed_over(rest) {
            blank.push_str(instead);
            if !instead.is_empty() {
                text.push_str(&rest[..length]);
            }
            rest = &rest[length..];
            continue;
        }
        rest = &rest[letter.len_utf8()..];
        if letter == ';' {
            found.push((std::mem::take(&mut blank), std::mem::take(&mut text)));
        } else {
            blank.push(letter);
            text.push(letter);
        }
    }
    found.push((blank, text));
    found
        .into_iter()
        .map(|(blank, text)| MigrationStatement {
            words: blank.split_whitespace().map(str::to_owned).collect(),
            text,
        })
        .filter(|it| !it.words.is_empty())
        .collect()
}

/// The tables that a script makes itself: nobody uses them yet.
fn made_by(script: &[MigrationStatement]) -> BTreeSet<String> {
    let made = script
        .iter()
        .filter(|it| it.starts_with(&["CREATE", "TABLE"]));
    made.filter_map(|it| it.behind("TABLE"))
        .map(str::to_owned)
        .collect()
}

/// The table in use whose lock a statement takes for itself.
fn locked_by(statement: &MigrationStatement) -> Option<&str> {
    let is_index = is_index(statement);
    let is_trigger = statement.starts_with(&["CREATE", "TRIGGER"])
        || statement.starts_with(&["CREATE", "OR", "REPLACE", "TRIGGER"])
        || statement.starts_with(&["DROP", "TRIGGER"]);
    if statement.starts_with(&["ALTER", "TABLE"]) {
        statement.behind("TABLE")
    } else if is_index || is_trigger {
        statement.behind("ON")
    } else {
        None
    }
}

fn is_index(statement: &MigrationStatement) -> bool {
    statement.starts_with(&["CREATE", "INDEX"])
        || statement.starts_with(&["CREATE", "UNIQUE", "INDEX"])
}

/// What one change of a table in use does to those who use it; `earlier` is what was said to the table before.
fn blocking_of(table: &str, change: &str, earlier: &[MigrationStatement]) -> Option<Blocking> {
    let has = |part: &str| change.contains(part);
    if change.starts_with("ADD ") && !change.starts_with("ADD COLUMN ") {
        let is_checked = !change.ends_with("NOT VALID") && !has("USING INDEX");
        return is_checked.then_some(Constraint);
    }
    if change.starts_with("ADD COLUMN ") {
        let value = change.split(" DEFAULT ").nth(1);
        let value = value.and_then(|it| it.split(" CHECK ").next());
        if value.is_some_and(|it| it.contains('(')) {
            return Some(Computed);
        }
        let reads = [" CHECK (", " REFERENCES ", " UNIQUE", " GENERATED "];
        return reads.iter().any(|it| has(it)).then_some(Constraint);
    }
    if change.starts_with("ALTER COLUMN") && has("SET NOT NULL") {
        let column = change.split(' ').nth(2).unwrap_or_default();
        let said = |wanted: &str| {
            let mut same = earlier
                .iter()
                .filter(|it| it.behind("TABLE") == Some(table));
            same.any(|it| it.words.join(" ").contains(wanted))
        };
        let is_known =
            said(&format!("CHECK ({column} IS NOT NULL) NOT VALID")) && said("VALIDATE CONSTRAINT");
        return (!is_known).then_some(NotNull);
    }
    if change.starts_with("ALTER COLUMN") && has(" TYPE ") {
        return Some(Type);
    }
    let is_gone = change.starts_with("DROP COLUMN") || change.starts_with("RENAME");
    is_gone.then_some(Gone)
}

fn blocking_in(
    script: &[MigrationStatement],
    earlier: &[MigrationStatement],
) -> BTreeSet<Blocking> {
    let made = made_by(script);
    let in_use = |table: Option<&str>| table.is_some_and(|it| !made.contains(it));
    let mut found = BTreeSet::new();
    let mut locked = BTreeSet::new();
    for statement in script {
        let table = locked_by(statement).filter(|it| in_use(Some(*it)));
        locked.extend(table);
        let runs = |what: &str| statement.text.contains(what);
        let written = match statement.words[0].as_str() {
            "DO" if runs("ALTER TABLE") || runs("CREATE INDEX") || runs("UPDATE ") => {
                found.insert(Hidden);
                continue;
            }
            "DROP" if statement.words[1] == "TABLE" || statement.words[1] == "VIEW" => {
                found.insert(Gone);
                continue;
            }
            "UPDATE" => statement.behind("UPDATE"),
            "DELETE" => statement.behind("FROM"),
            _ => None,
        };
        if in_use(written) {
            found.insert(Rows);
        }
        let Some(table) = table else { continue };
        let is_concurrent = statement.words.iter().any(|it| it == "CONCURRENTLY");
        if is_index(statement) && !is_concurrent {
            found.insert(Index);
        }
        if statement.starts_with(&["ALTER", "TABLE"]) {
            let changes = statement.changes();
            let change = changes.iter();
            found.extend(change.filter_map(|it| blocking_of(table, it, earlier)));
            // Until the end of the transaction the lock of whatever else was changed is held.
            let validates = changes.iter().any(|it| it.starts_with("VALIDATE"));
            let others = script.iter().filter(|it| it.behind("TABLE") == Some(table));
            if validates && others.count() > 1 {
                found.insert(Constraint);
            }
        }
    }
    if locked.len() > 1 {
        found.insert(Several);
    }
    found
}

/// The numbers of all migrations, and their scripts of this kind.
fn migrations(ending: &str) -> Vec<(String, String)> {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let entries = fs::read_dir(root.join("migrations")).expect("there are migrations");
    let mut found: Vec<_> = entries
        .map(|entry| entry.expect("the directory can be read").path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy();
            let number = name.split('_').next().unwrap_or_default().to_owned();
            (number, fs::read_to_string(&path).expect("it can be read"))
        })
        .collect();
    found.sort();
    found
}

#[test]
fn no_migration_holds_up_who_uses_a_table_or_takes_away_what_they_read() {
    let mut earlier = Vec::new();
    let mut known = LANDED.iter().copied().peekable();
    for (number, sql) in migrations(".up.sql") {
        let script = statements(&sql);
        let found = blocking_in(&script, &earlier);
        let landed = known.next_if(|(it, _)| *it == number);
        let tolerated = landed.map_or(BTreeSet::new(), |(_, it)| it.iter().copied().collect());
        assert_eq!(
            found, tolerated,
            "{number}: docs/decisions/0095-migrations-under-load.md says how it is done instead"
        );
        earlier.extend(script);
    }
    assert_eq!(known.next(), None, "LANDED names what is not there");
}

#[test]
fn what_is_concurrent_stands_alone_and_outside_of_a_transaction() {
    for (number, sql) in migrations(".sql") {
        let script = statements(&sql);
        let has = |word: &str| script.iter().any(|it| it.words.iter().any(|w| w == word));
        let is_outside = sql.starts_with("-- no-transaction");
        assert_eq!(is_outside, has("CONCURRENTLY"), "{number}");
        assert!(!is_outside || script.len() == 1, "{number}");
        // Whoever was killed behind it, before it was noted as applied, runs it again.
        let is_repeatable = script
            .iter()
            .all(|it| it.words.iter().any(|w| w == "EXISTS"));
        assert!(!is_outside || is_repeatable, "{number}");
        // `migrate up` says how long a lock is waited for.
        for setting in ["lock_timeout", "statement_timeout", "deadlock_timeout"] {
            assert!(!has(setting), "{number}: {setting}");
        }
    }
}

#[test]
fn each_way_to_block_is_seen() {
    let blocks = |sql: &str, earlier: &str| -> Vec<Blocking> {
        let found = blocking_in(&statements(sql), &statements(earlier));
        found.into_iter().collect()
    };
    let new = "CREATE TABLE t (a INT); CREATE INDEX i ON t (a); ALTER TABLE t ADD CHECK (a > 0); UPDATE t SET a = 1;";
    assert!(blocks(new, "").is_empty());
    for (sql, expected) in [
        ("CREATE UNIQUE INDEX i ON t (a);", Some(Index)),
        ("CREATE INDEX CONCURRENTLY i ON t (a);", None),
        (
            "ALTER TABLE t ADD CONSTRAINT c CHECK (a IN ('x', ';'));",
            Some(Constraint),
        ),
        (
            "ALTER TABLE t DROP CONSTRAINT c, ADD CONSTRAINT c CHECK (a > 0) NOT VALID;",
            None,
        ),
        ("ALTER TABLE t VALIDATE CONSTRAINT c;", None),
        (
            "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT c;",
            Some(Constraint),
        ),
        (
            "ALTER TABLE t ADD COLUMN b INT REFERENCES u (b);",
            Some(Constraint),
        ),
        (
            "ALTER TABLE t ADD COLUMN b INT NOT NULL DEFAULT 0, ADD COLUMN c TEXT[] DEFAULT '{}';",
            None,
        ),
        (
            "ALTER TABLE t ADD COLUMN b UUID DEFAULT gen_random_uuid();",
            Some(Computed),
        ),
        ("ALTER TABLE t ALTER COLUMN a SET NOT NULL;", Some(NotNull)),
        ("ALTER TABLE t ALTER COLUMN a TYPE BIGINT;", Some(Type)),
        ("ALTER TABLE t DROP COLUMN a;", Some(Gone)),
        ("ALTER TABLE t RENAME COLUMN a TO b;", Some(Gone)),
        ("DROP TABLE t;", Some(Gone)),
        ("UPDATE t SET a = 1; -- all of it", Some(Rows)),
        ("DELETE FROM t WHERE a = 1;", Some(Rows)),
        (
            "ALTER TABLE t ADD COLUMN a INT; ALTER TABLE u ADD COLUMN a INT;",
            Some(Several),
        ),
        (
            "DO $$ BEGIN EXECUTE format('ALTER TABLE %I …', 't'); END $$;",
            Some(Hidden),
        ),
        (
            "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ UPDATE t SET a = 1; $$;",
            None,
        ),
    ] {
        assert_eq!(blocks(sql, ""), Vec::from_iter(expected), "{sql}");
    }
    let earlier = "ALTER TABLE t ADD CONSTRAINT c CHECK (a IS NOT NULL) NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT c;";
    let then = "ALTER TABLE t ALTER COLUMN a SET NOT NULL;";
    assert!(blocks(then, earlier).is_empty());
}
