//! What PostgreSQL says of the tables, a line for each thing.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::{World, text};

/// `table  what it is`, for everything that a migration makes.
pub type Catalogue = BTreeSet<String>;

const COLUMNS: &str = "
    SELECT c.relname || '  ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
        || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
        || COALESCE(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') AS line
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'";

/// Without what only says NOT NULL, which the columns say.
const CONSTRAINTS: &str = "
    SELECT conrelid::regclass || '  ' || pg_get_constraintdef(oid) AS line
    FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype <> 'n'";

/// Without those that a constraint brings.
const INDEXES: &str = "
    SELECT i.indrelid::regclass || '  INDEX ' || c.relname || ' '
        || CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END
        || substring(pg_get_indexdef(i.indexrelid) from 'USING (.*)$') AS line
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE c.relnamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u'))";

const BEHAVIOUR: [&str; 5] = [
    "SELECT pg_get_triggerdef(oid) AS line FROM pg_trigger WHERE NOT tgisinternal",
    "SELECT pg_get_functiondef(oid) || ' owned by ' || proowner::regrole AS line FROM pg_proc
     WHERE pronamespace = 'public'::regnamespace",
    "SELECT relname || ' is ' || relkind::text || ' of ' || relowner::regrole || ', ' || rights AS line
     FROM pg_class, LATERAL (
        SELECT string_agg(acl::text, ' ' ORDER BY acl::text) AS rights
        FROM unnest(COALESCE(relacl,
            acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", relowner))) AS acl)
     WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S', 'v', 'm')",
    "SELECT attrelid::regclass || '.' || attname || ', ' || rights AS line
     FROM pg_attribute, LATERAL (
        SELECT string_agg(acl::text, ' ' ORDER BY acl::text) AS rights FROM unnest(attacl) AS acl)
     WHERE cardinality(attacl) > 0 AND attrelid::regclass::text !~ '^pg_'",
    "SELECT 'schema public, ' || acl::text AS line
     FROM pg_namespace, unnest(nspacl) AS acl WHERE nspname = 'public'",
];

/// Columns, constraints and indexes. The migrator's own table is none of ours.
pub async fn shape(world: &World) -> Catalogue {
    lines(world, &[COLUMNS, CONSTRAINTS, INDEXES]).await
}

/// That, and triggers, functions, owners and privileges, down to columns.
pub async fn everything(world: &World) -> Catalogue {
    let mut all = shape(world).await;
    all.extend(lines(world, &BEHAVIOUR).await);
    all
}

async fn lines(world: &World, queries: &[&str]) -> Catalogue {
    let mut all = Catalogue::new();
    for query in queries {
        let rows: Vec<Value> = world.sql(query).await;
        let said = rows.iter().map(|row| text(&row["line"]));
        all.extend(said.filter(|line| !line.contains("_sqlx_migrations")));
    }
    all
}
