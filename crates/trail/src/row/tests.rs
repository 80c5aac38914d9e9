use super::*;

fn uuid(text: &str) -> Uuid {
    text.parse().expect("a UUID")
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

/// A row with every column, and one with every NULL; PostgreSQL 15 hashed both.
fn rows() -> [Row; 2] {
    let full = Row {
        leaf_salt: uuid("01020304-0506-4708-890a-0b0c0d0e0f10"),
        leaf_xid: 7_000_000_000,
        id: 42,
        event_time: time("2026-11-29T02:03:04.567891Z"),
        user_id: uuid("00000000-0000-7000-8000-000000000001"),
        action_type: "RECORD_READ".to_owned(),
        resource_type: "MEDICAL_RECORD".to_owned(),
        resource_id: uuid("11111111-2222-4333-8444-555555555555"),
        old_value: Some(r#"{"a": {}, "b": 1.50, "aa": [null, true, "ü\"\\n"]}"#.to_owned()),
        new_value: None,
        ip_address: "2001:db8::1".parse().expect("an address"),
        ip_bits: 128,
        user_agent: Some("Agent ✓".to_owned()),
        request_id: uuid("21111111-2222-4333-8444-555555555555"),
        purpose: "TREAT".to_owned(),
        consent_reference: None,
        retention_period: Interval {
            microseconds: 3_500_000,
            days: 2,
            months: 12,
        },
        data_classification: "MEDICAL".to_owned(),
        is_cross_border: true,
        destination_country: Some("ID".to_owned()),
        encryption_status: "DECRYPTED_FOR_DISCLOSURE".to_owned(),
        created_at: time("1999-12-31T23:59:59.999999Z"),
        patient_id: Some(uuid("31111111-2222-4333-8444-555555555555")),
        record_ids: None,
        on_behalf_of: None,
    };
    let sparse = Row {
        leaf_xid: 7,
        id: 43,
        action_type: String::new(),
        old_value: None,
        new_value: Some(r#"{"reason": ""}"#.to_owned()),
        ip_address: "10.0.0.0".parse().expect("an address"),
        ip_bits: 8,
        user_agent: None,
        consent_reference: Some(uuid("41111111-2222-4333-8444-555555555555")),
        retention_period: Interval {
            microseconds: 0,
            days: 1095,
            months: 0,
        },
        is_cross_border: false,
        destination_country: None,
        patient_id: None,
        ..full.clone()
    };
    [full, sparse]
}

/// The full row as layout 2 has it: naming no records, and naming three, one of them twice.
fn rows_2() -> [Row; 2] {
    let [full, sparse] = rows();
    let record = |digit: char| uuid(&format!("{digit}1111111-2222-7333-8444-555555555555"));
    let naming = Row {
        record_ids: Some(vec![record('5'), record('6'), record('5')]),
        ..full.clone()
    };
    [sparse, naming]
}

/// As layout 3 has it: nobody represented, and the naming row by somebody who represents its patient.
fn rows_3() -> [Row; 2] {
    let [sparse, naming] = rows_2();
    let represented = Row {
        on_behalf_of: naming.patient_id,
        ..naming
    };
    [sparse, represented]
}

#[test]
fn a_row_has_the_hash_that_postgresql_computed() {
    let wanted = [
        (
            1,
            "4487e0820ac62f85febebdac48132daa3bdc306575b57ed5f40e95c3f34887d0",
        ),
        (
            1,
            "68430cfd8e8b204109abc8eeddc4057f1c8ce9d717c77106653b2bd5ce07a774",
        ),
        (
            2,
            "52943a9fc0b2112a052d1918286b55452b8df96419023c898b70819e2f0e7052",
        ),
        (
            2,
            "977356c6b53bb422b52c1cba5a595d9b73972677798df19b939e5d3706a947ac",
        ),
        (
            3,
            "8faaf9e575a6c242c77f2ae77fc8bd6d7f5b0026558d1a819b022d382f959853",
        ),
        (
            3,
            "5183aa807ed46d23e635ce0efb4d9995d9a085c7e886b37a22d8c0089c41d3df",
        ),
    ];
    let rows = [rows(), rows_2(), rows_3()].concat();
    for (row, (layout, wanted)) in rows.iter().zip(wanted) {
        let hash = row.leaf_hash(layout).expect("such a layout");
        let digits = hash.iter().fold(String::new(), |digits, byte| {
            digits + &format!("{byte:02x}")
        });
        assert_eq!(digits, wanted, "row {} by layout {layout}", row.id);
    }
}

#[test]
fn the_bytes_begin_with_the_layout_and_count_every_column() {
    let [row, _] = rows();
    let columns = COLUMNS_3.len();
    for (layout, domain, columns) in [
        (1, DOMAIN_1, columns - 2),
        (2, DOMAIN_2, columns - 1),
        (3, DOMAIN_3, columns),
    ] {
        let bytes = row.bytes(layout).expect("such a layout");
        let (name, rest) = bytes.split_at(domain.len());
        assert_eq!(name, domain);
        let count = u32::try_from(columns).expect("a few");
        assert_eq!(rest[..4], count.to_be_bytes());
        // The first field: a UUID of 16 bytes.
        assert_eq!(rest[4..12], [0, 0, 0x0b, 0x86, 0, 0, 0, 16]);
    }
}

#[test]
fn a_layout_has_no_room_for_what_came_later_and_there_are_three() {
    let [_, naming] = rows_2();
    assert_eq!(naming.leaf_hash(1), None);
    assert!(naming.leaf_hash(2).is_some());
    let [_, represented] = rows_3();
    assert_eq!(represented.leaf_hash(2), None);
    assert!(represented.leaf_hash(3).is_some());
    let alone = Row {
        record_ids: None,
        ..represented
    };
    assert_eq!([alone.leaf_hash(1), alone.leaf_hash(2)], [None, None]);
    for layout in [0, 4, -1, i16::MAX] {
        assert_eq!(rows()[0].leaf_hash(layout), None, "layout {layout}");
    }
}

#[test]
fn whatever_differs_has_another_hash() {
    let [_, row] = rows_3();
    let changes: [fn(&mut Row); 15] = [
        |row| row.on_behalf_of = None,
        |row| row.on_behalf_of = Some(row.user_id),
        |row| row.id += 1,
        |row| row.leaf_xid += 1,
        |row| row.event_time += chrono::TimeDelta::microseconds(1),
        |row| row.new_value = Some("null".to_owned()),
        |row| row.user_agent = None,
        |row| row.ip_bits = 127,
        |row| row.retention_period.days += 1,
        |row| row.is_cross_border = false,
        |row| row.destination_country = Some(String::new()),
        |row| row.record_ids = None,
        |row| row.record_ids = Some(Vec::new()),
        |row| row.record_ids.as_mut().expect("some").truncate(2),
        |row| row.record_ids.as_mut().expect("some").swap(0, 1),
    ];
    for (nth, change) in changes.iter().enumerate() {
        let mut other = row.clone();
        change(&mut other);
        assert_ne!(other.leaf_hash(3), row.leaf_hash(3), "change {nth}");
    }
    // What moves from one column into the next.
    let mut other = row.clone();
    other.action_type = "RECORD_READM".to_owned();
    other.resource_type = "EDICAL_RECORD".to_owned();
    assert_ne!(other.leaf_hash(3), row.leaf_hash(3));
}
