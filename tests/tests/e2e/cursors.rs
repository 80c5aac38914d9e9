//! Cursors are good for the list, the arguments and the log that they were given out for, and for nothing else.

use serde_json::{Value, json};
use tests::{EventStream, Person, World, documents, id, text};

const EVENTS: &str = "subscription ($after: Cursor) { integrityEvents(after: $after) { cursor } }";

/// A list: its name, and what of it is asked, with its one page of `$after`.
struct List<'a> {
    name: &'static str,
    reader: &'a Person,
    query: String,
    cursor: Option<String>,
}

impl<'a> List<'a> {
    async fn read(name: &'static str, reader: &'a Person, arguments: &str) -> Self {
        let comma = if arguments.is_empty() { "" } else { ", " };
        let query = format!(
            "query ($after: Cursor) {{
               {name}(first: 1, after: $after{comma}{arguments}) {{ pageInfo {{ endCursor }} }}
             }}"
        );
        let mut list = Self {
            name,
            reader,
            query,
            cursor: None,
        };
        let answer = list.after(&Value::Null).await;
        let cursor = &answer.data()[name]["pageInfo"]["endCursor"];
        list.cursor = cursor.as_str().map(str::to_owned);
        list
    }

    async fn after(&self, cursor: &Value) -> tests::Answer {
        let after = json!({ "after": cursor });
        self.reader.asks(&self.query, after).await
    }

    async fn refuses(&self, cursor: &str) {
        let answer = self.after(&json!(cursor)).await;
        let told = answer.fails_with("BAD_USER_INPUT");
        assert_eq!(told.extensions["field"], "after", "{} {cursor}", self.name);
    }
}

/// What a stream is told first that begins after this: data or errors.
async fn stream_after(world: &World, person: &Person, after: &str) -> Value {
    let body = json!({ "query": EVENTS, "variables": { "after": after } });
    let mut stream = EventStream::open_with(person, &world.api, &[], body).await;
    stream.next().await.expect("it says something").1
}

#[tokio::test]
async fn every_list_refuses_what_was_not_given_out_for_it() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let kim = world.admin("kim").await;
    ana.lets(&bo, &["READ", "SEARCH"]).await;
    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let request = "mutation { requestDataDeletion(input: {
        requestType: RESTRICTION, dataCategories: [VITAL_SIGNS] }) { request { id } } }";
    ana.asks(request, json!({})).await.data();
    let lists = [
        List::read("medicalRecords", &ana, "").await,
        List::read("medicalRecords", &bo, "").await,
        List::read("medicalRecords", &ana, "orderBy: CREATED_ASC").await,
        List::read("consents", &ana, "").await,
        List::read("consents", &ana, "activeOnly: true").await,
        List::read("myAccessLog", &ana, "").await,
        List::read("myAccessLog", &bo, "").await,
        List::read("mySessions", &ana, "").await,
        List::read("mySessions", &kim, "").await,
        List::read("dataDeletionRequests", &ana, "").await,
        List::read("myWallets", &ana, "").await,
        List::read("users", &kim, "").await,
        List::read("users", &kim, "role: PATIENT").await,
        List::read("users", &kim, "isActive: true").await,
        List::read("users", &kim, r#"search: "an""#).await,
        List::read("roleProposals", &kim, "").await,
        List::read("auditLogs", &kim, "").await,
        List::read("auditLogs", &kim, "actionType: RECORD_CREATE").await,
        List::read("auditLogs", &kim, &format!("userId: {:?}", ana.id)).await,
    ];
    let history = format!(
        "query ($after: Cursor) {{ medicalRecord(id: {:?}) {{
           history(first: 1, after: $after) {{ pageInfo {{ endCursor }} }} }} }}",
        id(&record)
    );
    let page = ana.asks(&history, json!({})).await;
    let of_version = text(&page.data()["medicalRecord"]["history"]["pageInfo"]["endCursor"]);
    let mut events = ana.watches(json!({ "after": "earliest" })).await;
    let of_event = text(&events.next().await["cursor"]);

    let mut given: Vec<String> = lists.iter().filter_map(|it| it.cursor.clone()).collect();
    assert!(given.len() >= 16, "{given:#?}");
    given.extend([of_version.clone(), of_event.clone()]);
    given.extend(["", "0", "earliest", "latest", "0123", "\u{feff}"].map(str::to_owned));
    given.push("03".repeat(40));
    given.push("0".repeat(100_000));

    // Each list takes its own, and refuses all others.
    for list in &lists {
        for cursor in &given {
            if list.cursor.as_ref() == Some(cursor) {
                list.after(&json!(cursor)).await.data();
            } else {
                list.refuses(cursor).await;
            }
        }
    }
    for cursor in &given {
        let answer = ana.asks(&history, json!({ "after": cursor })).await;
        if *cursor == of_version {
            answer.data();
        } else {
            let told = answer.fails_with("BAD_USER_INPUT");
            assert_eq!(told.extensions["field"], "after", "{cursor}");
        }
        if ["earliest", "latest", of_event.as_str()].contains(&cursor.as_str()) {
            continue;
        }
        let told = stream_after(&world, &ana, cursor).await;
        assert_eq!(
            told["errors"][0]["extensions"]["code"], "BAD_USER_INPUT",
            "{cursor}: {told}"
        );
    }
}

#[tokio::test]
async fn a_stream_begins_with_the_first_event_or_the_next_one_or_after_one_that_the_log_holds() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let create = async || {
        let record = ana
            .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
        world.wait_for_anchor(&id(&record), "CONFIRMED").await;
        id(&record)
    };
    let first = create().await;

    let mut all = ana.watches(json!({ "after": "earliest" })).await;
    let mut new = ana.watches(json!({ "after": "latest" })).await;
    let second = create().await;

    let begun = all.next().await;
    assert_eq!(
        (&begun["recordId"], &begun["kind"]),
        (&json!(first), &json!("ANCHOR_PENDING"))
    );
    assert_eq!(new.next().await["recordId"], json!(second));
    let (last, _) = all.until("ANCHOR_CONFIRMED").await;
    let last = text(&last["cursor"]);
    assert!(stream_after(&world, &ana, &last).await["data"].is_object());

    // The database comes back as it was before that event, and other events take its positions.
    world
        .executes("UPDATE integrity_feed SET at = at + INTERVAL '1 microsecond'")
        .await;
    let told = stream_after(&world, &ana, &last).await;
    assert_eq!(told["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    world
        .executes("TRUNCATE integrity_feed RESTART IDENTITY")
        .await;
    let told = stream_after(&world, &ana, &last).await;
    assert_eq!(told["errors"][0]["extensions"]["field"], "after");
}
