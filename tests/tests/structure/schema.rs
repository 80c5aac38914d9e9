//! The GraphQL schema as a manual: everything in it says what it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::{Value, json};
use tests::{World, manual, text};

const INTROSPECTION: &str = "{ __schema { types {
    kind name description
    fields(includeDeprecated: true) { name description args { name description } }
    inputFields { name description }
    enumValues(includeDeprecated: true) { name description }
} } }";

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The shortest description that can say what a value is and what a caller does with it.
const MIN_WORDS: usize = 4;

/// Names what has no description, or one too short to say anything: `Type`, `Type.field`,
/// `Type.field(argument)`.
fn undescribed(types: &[Value]) -> Vec<String> {
    let mut missing = Vec::new();
    let mut look = |name: String, it: &Value| {
        let description = it["description"].as_str().unwrap_or_default();
        if description.split_whitespace().count() < MIN_WORDS {
            missing.push(format!("{name}: {description:?}"));
        }
    };
    for of_type in types {
        let name = text(&of_type["name"]);
        look(name.clone(), of_type);
        for part in ["fields", "inputFields", "enumValues"] {
            for member in list(&of_type[part]) {
                let member_name = format!("{name}.{}", text(&member["name"]));
                look(member_name.clone(), member);
                for argument in list(&member["args"]) {
                    look(
                        format!("{member_name}({})", text(&argument["name"])),
                        argument,
                    );
                }
            }
        }
    }
    missing
}

#[tokio::test]
async fn every_type_field_argument_and_value_is_described() {
    let world = World::start().await;

    let answer = world.nobody().asks(INTROSPECTION, json!({})).await;

    let types = list(&answer.data()["__schema"]["types"]);
    // GraphQL's own are described by GraphQL.
    let builtin = ["Boolean", "Float", "ID", "Int", "String"];
    let ours: Vec<_> = types
        .iter()
        .filter(|it| {
            let name = it["name"].as_str().unwrap_or_default();
            !name.starts_with("__") && !builtin.contains(&name)
        })
        .cloned()
        .collect();
    assert!(ours.len() > 40, "{} types are too few", ours.len());
    let missing = undescribed(&ours);
    assert!(
        missing.is_empty(),
        "a description has at least {MIN_WORDS} words: {missing:#?}"
    );
}

/// The name of a type, without what says that it is a list or never null.
fn innermost(of_type: &Value) -> &str {
    let name = of_type["name"].as_str();
    name.unwrap_or_else(|| innermost(&of_type["ofType"]))
}

/// What a description writes as a value: in back-quotes, or in capital letters.
fn values_in(description: &str) -> BTreeSet<String> {
    let quoted = description.split('`').skip(1).step_by(2);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let words = description.split(|c: char| !is_word(c));
    let is_value = |it: &&str| it.len() > 1 && !it.contains(|c: char| c.is_lowercase());
    let capitals = words.filter(is_value).map(str::to_owned);
    quoted
        .map(|it| it.to_uppercase().replace('-', "_"))
        .chain(capitals)
        .collect()
}

/// The texts and numbers among fields, arguments and fields of inputs that are described by an enum's name, or by two of its values.
fn undeclared_lists(types: &[Value]) -> Vec<String> {
    let enums: BTreeMap<_, BTreeSet<_>> = types
        .iter()
        .filter(|it| it["kind"] == "ENUM")
        .map(|it| {
            let values = list(&it["enumValues"]).iter();
            let values = values.map(|value| text(&value["name"]));
            (text(&it["name"]), values.collect())
        })
        .collect();
    let mut found = Vec::new();
    let mut look = |name: String, it: &Value| {
        let description = it["description"].as_str().unwrap_or_default();
        if !["String", "Int"].contains(&innermost(&it["type"])) {
            return;
        }
        let written = values_in(description);
        let of = enums.iter().find(|(of, values)| {
            description.contains(&format!("`{of}`")) || values.intersection(&written).count() > 1
        });
        found.extend(of.map(|(of, _)| format!("{name} is {of}: {description:?}")));
    };
    for of_type in types {
        for part in ["fields", "inputFields"] {
            for member in list(&of_type[part]) {
                let name = format!("{}.{}", text(&of_type["name"]), text(&member["name"]));
                for argument in list(&member["args"]) {
                    look(format!("{name}({})", text(&argument["name"])), argument);
                }
                look(name, member);
            }
        }
    }
    found
}

#[tokio::test]
async fn what_is_described_as_a_closed_list_is_an_enum() {
    const TYPES: &str = "{ __schema { types {
        kind name
        fields(includeDeprecated: true) {
            name description type { ...Named } args { name description type { ...Named } }
        }
        inputFields { name description type { ...Named } }
        enumValues(includeDeprecated: true) { name }
    } } }
    fragment Named on __Type { name ofType { name ofType { name ofType { name } } } }";
    let described = |description: &str| {
        json!([
            { "kind": "ENUM", "name": "Colour", "enumValues": [{ "name": "RED" }, { "name": "DEEP_BLUE" }] },
            { "kind": "OBJECT", "name": "Car", "fields": [
                { "name": "colour", "description": description, "type": { "name": "String" } },
            ] },
        ])
    };
    for (description, is_list) in [
        ("The colour: a code of `Colour`.", true),
        ("The colour: `red` or `deep-blue`.", true),
        ("The colour: RED, or else DEEP_BLUE.", true),
        ("The colour, such as `red`.", false),
    ] {
        let found = undeclared_lists(list(&described(description)));
        assert_eq!(!found.is_empty(), is_list, "{description}");
    }
    let world = World::start().await;

    let answer = world.nobody().asks(TYPES, json!({})).await;

    let found = undeclared_lists(list(&answer.data()["__schema"]["types"]));
    assert!(found.is_empty(), "texts that are enums: {found:#?}");
}

#[test]
fn what_is_printed_is_what_is_checked_in() {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let programs =
        dev::stack::Programs::build(&root, dev::stack::Profile::Dev).expect("the programs build");

    let printed = programs.operate(&["schema"], &[], "").expect("it prints");

    let recorded = fs::read_to_string(root.join("schema.graphql")).expect("it is checked in");
    assert!(
        printed == recorded,
        "schema.graphql is not what the api serves: run `meditrustal schema > schema.graphql`\n{}",
        first_difference(&recorded, &printed)
    );
}

/// One refused field must not erase the answers of the others: only a nullable field can be null alone.
#[tokio::test]
async fn every_field_of_query_and_mutation_is_nullable() {
    const ROOTS: &str = "{ __schema {
        queryType { name fields { name type { kind } } }
        mutationType { name fields { name type { kind } } }
    } }";
    let world = World::start().await;

    let answer = world.nobody().asks(ROOTS, json!({})).await;

    let schema = &answer.data()["__schema"];
    for root in ["queryType", "mutationType"] {
        let fields = list(&schema[root]["fields"]);
        assert!(fields.len() > 10, "{} fields are too few", fields.len());
        let strict: Vec<_> = fields
            .iter()
            .filter(|field| field["type"]["kind"] == "NON_NULL")
            .map(|field| text(&field["name"]))
            .collect();
        assert!(strict.is_empty(), "not nullable in {root}: {strict:?}");
    }
}

/// What a form can mend is told by every mutation alike, and then nothing else of the payload is there.
#[tokio::test]
async fn every_payload_has_user_errors_and_may_lack_everything_else() {
    const PAYLOADS: &str = "{ __schema { mutationType { fields { name type {
        kind name fields { name type { kind ofType { kind ofType { kind ofType { name } } } } }
    } } } } }";
    let world = World::start().await;

    let answer = world.nobody().asks(PAYLOADS, json!({})).await;

    let mutations = list(&answer.data()["__schema"]["mutationType"]["fields"]);
    assert!(mutations.len() > 40, "{} are too few", mutations.len());
    let user_errors = json!({ "kind": "NON_NULL", "ofType": {
        "kind": "LIST", "ofType": { "kind": "NON_NULL", "ofType": { "name": "UserError" } }
    } });
    for mutation in mutations {
        let (name, payload) = (&mutation["name"], &mutation["type"]);
        assert_eq!(payload["kind"], "OBJECT", "{name} answers a payload");
        let (told, others): (Vec<_>, Vec<_>) = list(&payload["fields"])
            .iter()
            .partition(|field| field["name"] == "userErrors");
        assert_eq!(told.len(), 1, "{name} has `userErrors`");
        assert_eq!(told[0]["type"], user_errors, "{name}");
        assert!(!others.is_empty(), "{name} answers nothing");
        let strict: Vec<_> = others
            .iter()
            .filter(|field| field["type"]["kind"] == "NON_NULL")
            .collect();
        assert!(strict.is_empty(), "{name} answers always: {strict:?}");
    }
}

/// That a mutation fails with no other code is held by every test that calls it: `tests::Answer`.
#[test]
fn every_mutation_names_its_error_codes() {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let errors = fs::read_to_string(root.join("docs/errors.md")).expect("it is checked in");
    let mutations = manual::mutations();
    assert!(mutations.len() > 20, "{} are too few", mutations.len());
    let mut wrong = Vec::new();
    for (mutation, codes) in mutations {
        let Some(codes) = codes else {
            wrong.push(format!("{mutation} says nothing of error codes"));
            continue;
        };
        let unknown = codes
            .iter()
            .filter(|code| !errors.contains(&format!("\n| `{code}`")));
        wrong.extend(
            unknown.map(|code| format!("{mutation} names {code}, docs/errors.md does not")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn first_difference(old: &str, new: &str) -> String {
    let pairs = old.lines().zip(new.lines()).enumerate();
    let differs = pairs.into_iter().find(|(_, (old, new))| old != new);
    differs.map_or_else(
        || "one is longer than the other".to_owned(),
        |(line, (old, new))| format!("line {}: {old:?} is now {new:?}", line + 1),
    )
}

/// Each example of the playground, held against the schema by GraphQL's own reference library.
#[test]
fn the_playgrounds_examples_fit_the_schema() {
    const CHECK: &str = "
        import { readFileSync, readdirSync } from 'node:fs';
        import { buildSchema, parse, validate } from 'graphql';
        const schema = buildSchema(readFileSync('schema.graphql', 'utf8'));
        const folder = 'api/playground/examples';
        const files = readdirSync(folder).filter((name) => name.endsWith('.graphql'));
        if (!files.length) throw new Error('there are no examples');
        for (const name of files) {
            const wrong = validate(schema, parse(readFileSync(`${folder}/${name}`, 'utf8')));
            if (wrong.length) throw new Error(`${name}: ${wrong.join('; ')}`);
        }
        console.log(files.length);";
    let root = dev::repository::root().expect("the tests run inside a clone");
    dev::tools::Tools::ensure(&root, dev::tools::Scope::Test).expect("the tools are there");

    let output = std::process::Command::new("node")
        .args(["--input-type=module", "--eval", CHECK])
        .current_dir(root)
        .output()
        .expect("node starts");

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// What breaks clients between the schema that was promised last and one that is served, in the words of GraphQL's own reference
/// library.
fn breaking_changes(served: &str) -> Vec<String> {
    let root = dev::repository::root().expect("the tests run inside a clone");
    dev::tools::Tools::ensure(&root, dev::tools::Scope::Test).expect("the tools are there");
    let output = std::process::Command::new("node")
        .args(["tests/schema/changes.mjs", "--served", served])
        .current_dir(root)
        .output()
        .expect("node starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().map(str::to_owned).collect()
}

#[test]
fn what_breaks_clients_stands_in_the_changelog() {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let changelog = fs::read_to_string(root.join("CHANGELOG.md")).expect("it is checked in");
    let unreleased = changelog.split("\n## ").nth(1).unwrap_or_default();
    let declared = unreleased.split("\n### Breaking\n").nth(1);
    let declared = declared.and_then(|rest| rest.split("\n### ").next());

    let changes = breaking_changes("schema.graphql").into_iter();
    let undeclared: Vec<_> = changes
        .filter(|change| !declared.unwrap_or_default().contains(change.as_str()))
        .collect();

    assert!(
        undeclared.is_empty(),
        "not under `### Breaking` of CHANGELOG.md (docs/schema/README.md): {undeclared:#?}"
    );
}

#[test]
fn a_field_that_goes_and_an_argument_that_is_demanded_break_clients() {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let scratch = dev::scratch::Scratch::new("schema").expect("there is room for a file");
    let served = fs::read_to_string(root.join("schema.graphql")).expect("it is checked in");
    let changed = served.replace(
        "\n\tregistry: Registry\n",
        "\n\tregistryOf(chain: Int!): Registry\n",
    );
    assert_ne!(changed, served);
    let changed = changed.replace("integrityEvents(", "integrityEvents(since: DateTime!, ");
    let file = scratch.path().join("schema.graphql");
    fs::write(&file, changed).expect("it is written");

    let told = breaking_changes(&file.display().to_string());

    assert!(
        told.iter().any(|it| it == "Query.registry was removed."),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|it| it.contains("since on Subscription.integrityEvents")),
        "{told:?}"
    );
}
