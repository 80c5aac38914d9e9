//! Lists that are read both ways: backward they are the reverse of forward; and how long lists are.

use serde_json::{Value, json};
use tests::{Person, Wiretap, World, documents, id, text};

/// A list, and what is asked of it besides which page.
struct PagedList<'a> {
    reader: &'a Person,
    name: &'static str,
    arguments: String,
}

impl PagedList<'_> {
    /// A page.
    async fn page(&self, arguments: &str) -> Value {
        let Self {
            reader,
            name,
            arguments: others,
        } = self;
        let query = format!(
            "{{ {name}({arguments} {others}) {{
                nodes {{ id }} edges {{ cursor node {{ id }} }}
                pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }}
            }} }}"
        );
        let answer = reader.asks(&query, json!({})).await;
        let page = answer.data()[*name].clone();
        let edges = page["edges"].as_array().expect("edges");
        let cursor = |edge: Option<&Value>| edge.map_or(Value::Null, |it| it["cursor"].clone());
        assert_eq!(cursor(edges.first()), page["pageInfo"]["startCursor"]);
        assert_eq!(cursor(edges.last()), page["pageInfo"]["endCursor"]);
        page
    }

    fn nodes(page: &Value) -> Vec<String> {
        let nodes = page["nodes"].as_array().expect("nodes");
        nodes.iter().map(id).collect()
    }

    /// Everything, from the beginning to the end, three at a time.
    async fn forward(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.page(&format!("first: 3 {after}")).await;
            let info = &page["pageInfo"];
            assert_eq!(info["hasPreviousPage"], !after.is_empty(), "{}", self.name);
            all.extend(Self::nodes(&page));
            if info["hasNextPage"] != true {
                return all;
            }
            after = format!("after: {}", info["endCursor"]);
        }
    }

    /// Everything, from the end to the beginning, three at a time, in the order of the list.
    async fn backward(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut before = String::new();
        loop {
            let page = self.page(&format!("last: 3 {before}")).await;
            let info = &page["pageInfo"];
            assert_eq!(info["hasNextPage"], !before.is_empty(), "{}", self.name);
            all = [Self::nodes(&page), all].concat();
            if info["hasPreviousPage"] != true {
                return all;
            }
            before = format!("before: {}", info["startCursor"]);
        }
    }
}

async fn opens(doctor: &Person, patient: &Person, purpose: &str) {
    let open = "mutation($input: BreakGlassInput!) { breakGlass(input: $input) { window { id } } }";
    let input = json!({
        "patientId": patient.id, "purpose": purpose, "reason": "found unconscious, allergies unknown",
    });
    doctor.asks(open, json!({ "input": input })).await.data();
}

#[tokio::test]
async fn backward_is_the_exact_reverse_of_forward() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let kim = world.admin("kim").await;
    let mut record = String::new();
    for (kind, document) in [
        ("VITAL_SIGNS", documents::vital_signs()),
        ("LAB_RESULT", documents::lab_result()),
    ]
    .into_iter()
    .cycle()
    .take(8)
    {
        record = id(&ana.creates(&ana, kind, document).await);
    }
    // Its row is the last one that comes by itself.
    world.wait_for_anchor(&record, "CONFIRMED").await;
    ana.lets(&bo, &["READ", "SEARCH"]).await;
    let mut consents = Vec::new();
    for category in [
        "IMAGING",
        "LAB_RESULT",
        "VITAL_SIGNS",
        "DIAGNOSIS",
        "PRESCRIPTION",
        "VACCINATION",
    ] {
        let consent = json!({
            "purpose": "HRESCH", "dataCategories": [category], "processingActivities": ["READ"],
            "grantees": [{ "user": bo.id }],
        });
        let granted = ana.grants(consent).await;
        consents.push(id(&granted.data()["grantConsent"]["consent"]));
    }
    ana.withdraws(&consents[2]).await;
    for _ in 0..7 {
        bo.reads(&record).await.data();
    }
    for purpose in ["BTG", "ETREAT"] {
        opens(&bo, &ana, purpose).await;
    }
    let told = format!(
        "INSERT INTO notifications (id, user_id, kind, actor_id, resource_id, at)
         SELECT gen_random_uuid(), user_id, kind, actor_id, resource_id, at
         FROM notifications, generate_series(1, 4) WHERE user_id = '{}'",
        ana.id
    );
    world.executes(&told).await;
    let list = |reader, name, arguments: &str| PagedList {
        reader,
        name,
        arguments: arguments.to_owned(),
    };
    let of_ana = format!("patientId: {:?}", ana.id);
    let of_record = format!("resourceId: {record:?}");
    let of_account = format!("userId: {:?} actionType: CONSENT_GRANT", ana.id);
    let lists = [
        list(&ana, "medicalRecords", ""),
        list(&ana, "medicalRecords", "orderBy: CREATED_ASC"),
        list(&ana, "medicalRecords", "orderBy: EFFECTIVE_DESC"),
        list(&ana, "medicalRecords", "orderBy: EFFECTIVE_ASC"),
        list(&ana, "medicalRecords", "recordType: LAB_RESULT"),
        list(&bo, "medicalRecords", ""),
        list(&bo, "medicalRecords", &of_ana),
        list(&ana, "consents", ""),
        list(&ana, "consents", "activeOnly: true"),
        list(&ana, "notifications", ""),
        list(&ana, "notifications", "unreadOnly: true"),
        list(&ana, "myAccessLog", "action: RECORD_READ allowed: true"),
        list(&kim, "auditLogs", "actionType: RECORD_CREATE"),
        list(&kim, "auditLogs", &of_account),
        list(&kim, "auditLogs", &of_record),
    ];

    for list in &lists {
        let forward = list.forward().await;
        let backward = list.backward().await;
        let name = format!("{}({})", list.name, list.arguments);
        assert!(forward.len() > 3, "{name}: {forward:?}");
        assert_eq!(backward, forward, "{name}");
        // The size of the whole list, and of more than it.
        let whole = list.page(&format!("last: {}", forward.len())).await;
        assert_eq!(PagedList::nodes(&whole), forward, "{name}");
        assert_eq!(whole["pageInfo"]["hasPreviousPage"], false, "{name}");
        let first = text(&whole["pageInfo"]["startCursor"]);
        let none = list.page(&format!("before: {first:?}")).await;
        assert_eq!(none["nodes"], json!([]), "{name}");
    }
}

#[tokio::test]
async fn a_page_goes_one_way_and_takes_its_own_cursors() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&bo, &["READ"]).await;
    let fields = "pageInfo { startCursor }";
    let page = ana
        .asks(&format!("{{ consents {{ {fields} }} }}"), json!({}))
        .await;
    let cursor = text(&page.data()["consents"]["pageInfo"]["startCursor"]);
    for (list, arguments, field) in [
        ("consents", "first: 1, last: 1".to_owned(), "last"),
        ("consents", format!("first: 1, before: {cursor:?}"), "last"),
        ("consents", format!("last: 1, after: {cursor:?}"), "last"),
        ("consents", "last: 0".to_owned(), "last"),
        ("consents", "last: 101".to_owned(), "last"),
        ("consents", "before: \"x\"".to_owned(), "before"),
        ("notifications", format!("before: {cursor:?}"), "before"),
        ("medicalRecords", format!("before: {cursor:?}"), "before"),
        ("medicalRecords", "first: 1, last: 1".to_owned(), "last"),
        ("myAccessLog", "grouped: true, last: 1".to_owned(), "last"),
    ] {
        let asked = format!("{{ {list}({arguments}) {{ {fields} }} }}");
        let refused = ana.asks(&asked, json!({})).await;
        let told = refused.fails_with("BAD_USER_INPUT");
        assert_eq!(told.extensions["field"], field, "{asked}");
    }
    // What a client of Relay sends: all four, of which those of one way are null.
    let asked = "query($first: Int, $after: Cursor, $last: Int, $before: Cursor) {
        consents(first: $first, after: $after, last: $last, before: $before) { nodes { id } }
    }";
    let way = json!({ "first": null, "after": null, "last": 1, "before": null });
    let page = ana.asks(asked, way).await;
    let nodes = page.data()["consents"]["nodes"].as_array().map(Vec::len);
    assert_eq!(nodes, Some(1));
}

/// How many statements a query runs, the fewest of some times, without what is heard when nobody asks.
async fn statements((tap, idle): (&Wiretap, &[String]), person: &Person, query: &str) -> usize {
    let mut fewest = usize::MAX;
    for _ in 0..8 {
        tap.takes();
        person.asks(query, json!({})).await.data();
        let heard = tap.takes();
        let heard = heard
            .iter()
            .filter(|it| !idle.contains(it) && !it.starts_with("SELECT FROM (VALUES (now()))"));
        fewest = fewest.min(heard.count());
    }
    fewest
}

#[tokio::test]
async fn total_counts_are_exact_and_one_statement_where_they_are_asked_for() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let (eve, kim) = (world.patient("eve").await, world.admin("kim").await);
    for activity in ["READ", "SEARCH", "EXPORT"] {
        ana.lets(&bo, &[activity]).await;
    }
    let over = ana.lets(&bo, &["CREATE"]).await;
    ana.withdraws(&over).await;
    opens(&bo, &ana, "BTG").await;
    world.logs_in(&ana).await;
    let clinic = world.organization("Clinic of the count", "DE").await;
    world.joins(&bo, &clinic).await;
    let members = format!("organizationMembers(organizationId: {clinic:?}, first: 1)");
    let table = [
        (&ana, "consents(first: 1)", 4),
        (&ana, "consents(first: 1, activeOnly: true)", 3),
        (&eve, "consents(first: 1)", 0),
        (&ana, "notifications(last: 1)", 1),
        (&ana, "notifications(unreadOnly: true)", 1),
        (&bo, "notifications", 0),
        (&ana, "mySessions(first: 1)", 2),
        (&ana, "myWallets", 0),
        (&kim, members.as_str(), 1),
    ];
    let (tap, api) = world.tapped_api().await;
    let idle = tap.background().await;

    for (person, list, total) in table {
        let person = person.at(&api);
        let counted = format!("{{ list: {list} {{ totalCount pageInfo {{ hasNextPage }} }} }}");
        let answer = person.asks(&counted, json!({})).await;
        assert_eq!(answer.data()["list"]["totalCount"], total, "{list}");
        let uncounted = counted.replace("totalCount", "");
        let with = statements((&tap, &idle), &person, &counted).await;
        let without = statements((&tap, &idle), &person, &uncounted).await;
        assert_eq!(with, without + 1, "{list}");
    }
}
