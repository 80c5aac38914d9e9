//! Who asks in the tables over all fields of the schema, and what is there when they do.

use serde_json::json;
use tests::{Person, World, documents, id, text};

use super::authorization::CALLERS;

/// All that a representative may do.
const EVERY_ACTIVITY: [&str; 6] = [
    "READ_RECORDS",
    "CREATE_RECORDS",
    "EXPORT_RECORDS",
    "READ_ACCESS_LOG",
    "READ_CONSENTS",
    "CHANGE_CONSENTS",
];

/// Makes these doctors members of an organisation each; the patient lets those of the first do this. Answers that consent.
pub(super) async fn to_members_of_one_of_two(
    world: &World,
    patient: &Person,
    members: [&Person; 2],
    activities: &[&str],
) -> String {
    let hospital = world.organization("RS Sehat", "ID").await;
    let clinic = world.organization("Klinik Melati", "ID").await;
    for (doctor, organization) in members.into_iter().zip([&hospital, &clinic]) {
        world.joins(doctor, organization).await;
    }
    patient.lets_members(&hospital, "ID", activities).await
}

/// Lets somebody do all that a representative may; answers the representation.
pub(super) async fn represented(patient: &Person, representative: &Person) -> String {
    let appoint = "mutation($input: AppointRepresentativeInput!) {
        appointRepresentative(input: $input) { representative { id } }
    }";
    let input = json!({
        "representativeId": representative.id, "relationship": "PARENT", "activities": EVERY_ACTIVITY,
        "validUntil": "2040-01-01T00:00:00Z",
    });
    let appointed = patient.asks(appoint, json!({ "input": input })).await;
    id(&appointed.data()["appointRepresentative"]["representative"])
}

/// The people of the tables, with a record of ana's and two of her deletion requests. She lets `bo` and the members of one of two
/// organisations read and search, and `ibu` act for her.
pub(super) struct Cast {
    pub(super) world: World,
    pub(super) ana: Person,
    pub(super) budi: Person,
    pub(super) citra: Person,
    pub(super) bo: Person,
    pub(super) kim: Person,
    pub(super) eka: Person,
    pub(super) fitri: Person,
    pub(super) ibu: Person,
    pub(super) record: String,
    /// The consents to `bo`, and to the members of an organisation.
    pub(super) consents: [String; 2],
    /// By which `ibu` acts for ana.
    pub(super) representation: String,
    node: String,
    spare: String,
    row: String,
    deletion: String,
    cancelled: String,
}

impl Cast {
    pub(super) async fn start() -> Self {
        let world = World::start().await;
        let ana = world.patient("ana").await;
        let budi = world.patient("budi").await;
        let (bo, citra) = (world.doctor("bo").await, world.doctor("citra").await);
        let kim = world.admin("kim").await;
        let spare = world.registers(&world.stranger("spare")).await;
        let (eka, fitri) = (world.doctor("eka").await, world.doctor("fitri").await);
        let ibu = world.patient("ibu").await;
        let activities = ["READ", "SEARCH"];
        let members = [&fitri, &eka];
        let to_members = to_members_of_one_of_two(&world, &ana, members, &activities).await;
        let to_bo = ana.lets(&bo, &activities).await;
        let representation = represented(&ana, &ibu).await;
        let record = ana
            .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
        let record = id(&record);
        let of_record = "query($id: UUID!) { medicalRecord(id: $id) { nodeId } }";
        let of_record = ana.asks(of_record, json!({ "id": record })).await;
        let node = text(&of_record.data()["medicalRecord"]["nodeId"]);
        let row = world.audit_rows("action_type = 'RECORD_CREATE'").await[0]["id"].to_string();
        let asks = async |what: &str| {
            let asked = format!(
                "mutation {{ requestDataDeletion(input: {{ {what} }}) {{ request {{ id }} }} }}"
            );
            let asked = ana.asks(&asked, json!({})).await;
            id(&asked.data()["requestDataDeletion"]["request"])
        };
        let deletion = asks("requestType: ACCOUNT_ERASURE, dataCategories: [ALL_RECORDS]").await;
        let cancelled = asks("requestType: CATEGORY_ERASURE, dataCategories: [IMAGING]").await;
        Self {
            world,
            ana,
            budi,
            citra,
            bo,
            kim,
            eka,
            fitri,
            ibu,
            record,
            consents: [to_bo, to_members],
            representation,
            node,
            spare,
            row,
            deletion,
            cancelled,
        }
    }

    /// Those who ask, in the order of the columns of [`super::authorization::CASES`].
    pub(super) fn callers(&self) -> [Person; CALLERS.len()] {
        [
            self.world.nobody(),
            self.ana.clone(),
            self.budi.clone(),
            self.citra.clone(),
            self.bo.clone(),
            self.kim.clone(),
            self.eka.clone(),
            self.fitri.clone(),
            self.ibu.clone(),
        ]
    }

    /// A document of the table with what is there all the time.
    pub(super) fn fills_in(&self, document: &str) -> String {
        let words = [
            ("$SPARE", &self.spare),
            ("$ANA", &self.ana.id),
            ("$BUDI", &self.budi.id),
            ("$CITRA", &self.citra.id),
            ("$RECORD", &self.record),
            ("$NODE", &self.node),
            ("$ROW", &self.row),
            ("$DELETION", &self.deletion),
            ("$CANCELLED", &self.cancelled),
        ];
        let words = words.iter();
        words.fold(document.to_owned(), |text, (name, value)| {
            text.replace(name, value)
        })
    }

    /// A document of the table with what its words stand for, and its variables. What can be used once, is made for it.
    pub(super) async fn completes(&self, document: &str, fresh: &str) -> (String, String) {
        let Self { ana, .. } = self;
        // A fresh one each time, so that there is something to amend or to take back.
        let version = if document.contains("$VERSION") {
            let record = ana.creates(ana, "VITAL_SIGNS", documents::vital_signs());
            id(&record.await)
        } else {
            String::new()
        };
        let consent = if document.contains("$CONSENT") {
            ana.lets(&self.citra, &["CREATE"]).await
        } else {
            String::new()
        };
        let code = if document.contains("$CODE") {
            let made = "mutation { createAccessCode(input: {
                purpose: TREAT, dataCategories: [IMAGING], processingActivities: [READ]
            }) { accessCode { id } } }";
            let made = ana.asks(made, json!({})).await;
            id(&made.data()["createAccessCode"]["accessCode"])
        } else {
            String::new()
        };
        // Another log-in of ana's, to be gone on with or ended.
        let log_in = if document.contains("$REFRESH") || document.contains("$SESSION") {
            let log_in = r#"mutation { logIn(input: { login: "ana", password: "ana tells nobody" }) {
                refreshToken session { id }
            } }"#;
            let answer = self.world.nobody().asks(log_in, json!({})).await;
            answer.data()["logIn"].clone()
        } else {
            json!({ "refreshToken": "", "session": { "id": "" } })
        };
        let (refresh, session) = (text(&log_in["refreshToken"]), id(&log_in["session"]));
        let words = [
            ("$REFRESH", refresh.as_str()),
            ("$SESSION", &session),
            ("$VERSION", &version),
            ("$CONSENT", &consent),
            ("$CODE", &code),
            ("$FRESH", fresh),
        ];
        let words = words.iter();
        let document = words.fold(self.fills_in(document), |text, (name, value)| {
            text.replace(name, value)
        });
        let variables = if document.contains("$document") {
            format!(r#"{{"document":{}}}"#, documents::vital_signs())
        } else {
            "{}".to_owned()
        };
        (document, variables)
    }
}
