//! Every input of the schema, asked for with more than it can hold.

use serde_json::{Value, json};
use tests::{World, text};

const INTROSPECTION: &str = "{ __schema { types {
    kind name enumValues { name }
    inputFields { name type { ...Type } }
    fields { name args { name type { ...Type } } }
} } }
fragment Type on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

/// Scalars that are no text.
const NO_TEXT: [&str; 3] = ["Int", "Float", "Boolean"];
/// What holds a whole document: as long as a request may be.
const DOCUMENT: &str = "JSON";

/// As GraphQL writes it: `[RecordType!]!`.
fn written(of: &Value) -> String {
    match of["kind"].as_str() {
        Some("NON_NULL") => format!("{}!", written(&of["ofType"])),
        Some("LIST") => format!("[{}]", written(&of["ofType"])),
        _ => text(&of["name"]),
    }
}

/// Behind what may not be null.
fn bare(of: &Value) -> &Value {
    if of["kind"] == "NON_NULL" {
        &of["ofType"]
    } else {
        of
    }
}

/// A value that is one longer than this type lets through, if it is a text or a list.
fn too_long(of: &Value, types: &[Value]) -> Option<Value> {
    let of = bare(of);
    match of["kind"].as_str()? {
        "LIST" => {
            let item = bare(&of["ofType"]);
            let declared = types.iter().find(|it| it["name"] == item["name"]);
            let values = declared.and_then(|it| it["enumValues"].as_array());
            Some(match values {
                Some(values) => json!(vec![values[0]["name"].clone(); values.len() + 1]),
                None => json!(vec![json!({}); 101]),
            })
        }
        "SCALAR" if of["name"] == DOCUMENT || NO_TEXT.iter().any(|name| of["name"] == *name) => {
            None
        }
        "SCALAR" => Some(json!("x".repeat(2049))),
        _ => None,
    }
}

#[tokio::test]
async fn every_text_and_every_list_of_every_input_has_a_limit() {
    let world = World::start().await;
    let nobody = world.nobody();
    let answer = nobody.asks(INTROSPECTION, json!({})).await;
    let types = answer.data()["__schema"]["types"]
        .as_array()
        .expect("types");
    // The type that is declared, the value, and the field that is to blame.
    let mut cases: Vec<(String, Value, String)> = Vec::new();
    for of in types
        .iter()
        .filter(|of| !text(&of["name"]).starts_with("__"))
    {
        for field in of["inputFields"].as_array().into_iter().flatten() {
            if let Some(value) = too_long(&field["type"], types) {
                let name = text(&field["name"]);
                cases.push((text(&of["name"]), json!({ &name: value }), name));
            }
        }
        let fields = of["fields"].as_array().into_iter().flatten();
        for argument in fields.flat_map(|field| field["args"].as_array().into_iter().flatten()) {
            if let Some(value) = too_long(&argument["type"], types) {
                cases.push((written(&argument["type"]), value, "value".to_owned()));
            }
        }
    }
    assert!(
        cases.len() > 60,
        "the schema has more inputs than {}",
        cases.len()
    );

    for (declared, value, field) in cases {
        let query = format!("query ($value: {declared}) {{ __typename }}");
        let refused = nobody.asks(&query, json!({ "value": value })).await;
        let problem = refused.fails_with("BAD_USER_INPUT");
        assert_eq!(problem.extensions["field"], field.as_str(), "{declared}");
    }
}
