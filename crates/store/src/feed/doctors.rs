//! Which doctors entries about some patients can concern, as far as rows say it: more than may be told of them, and never
//! fewer. Consents that have expired or do not begin yet, and rows whose seal does not hold, count here.

use domain::ids::UserId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::StoreError;

/// Whom entries about some patients can concern, of some doctors.
#[derive(Debug, Default)]
pub struct DoctorsConcerned {
    /// A patient, and a doctor whom a consent of that patient names in person or as a member of an organisation.
    pub named: Vec<(UserId, UserId)>,
    /// The patients of whom a consent names a role: it may be every doctor.
    pub open_to_roles: Vec<UserId>,
    /// Those whose role is not that of a doctor: each entry can concern them.
    pub of_other_roles: Vec<UserId>,
}

/// Which of `doctors` entries about `patients` can concern now: the rule of `domain::access::decide` about grantees, without times.
/// Served by `idx_data_processing_consents_user`, `idx_memberships_user_id` and the primary key of `users`.
///
/// # Errors
/// [`StoreError`].
pub async fn doctors_concerned(
    conn: &mut PgConnection,
    doctors: &[UserId],
    patients: &[UserId],
) -> Result<DoctorsConcerned, StoreError> {
    let doctors: Vec<Uuid> = doctors.iter().map(|id| id.0).collect();
    let patients: Vec<Uuid> = patients.iter().map(|id| id.0).collect();
    let found = sqlx::query!(
        r#"WITH doctor AS MATERIALIZED (
             SELECT asked.id FROM UNNEST($1::uuid[]) AS asked(id)
         ),
         grantee AS MATERIALIZED (
             SELECT DISTINCT
                 consent.user_id AS patient_id, party.named ->> 'kind' AS kind, party.named ->> 'id' AS id
             FROM data_processing_consents AS consent
             CROSS JOIN LATERAL jsonb_array_elements(
                 CASE jsonb_typeof(consent.third_parties)
                     WHEN 'array' THEN consent.third_parties
                     ELSE '[]'::jsonb
                 END
             ) AS party(named)
             WHERE consent.user_id = ANY($2::uuid[])
               AND consent.consent_withdrawn_at IS NULL
         )
         SELECT grantee.patient_id AS "patient?", doctor.id AS "doctor?"
         FROM grantee
         JOIN doctor ON doctor.id::text = grantee.id
         WHERE grantee.kind = 'user'
         UNION
         SELECT grantee.patient_id, membership.user_id
         FROM doctor
         JOIN memberships AS membership ON membership.user_id = doctor.id
         JOIN grantee ON grantee.id = membership.organization_id::text
         WHERE grantee.kind = 'org'
           AND membership.ended_at IS NULL
         UNION
         SELECT grantee.patient_id, NULL::uuid
         FROM grantee
         WHERE grantee.kind = 'role'
         UNION
         SELECT NULL::uuid, account.id
         FROM doctor
         JOIN users AS account ON account.id = doctor.id
         WHERE account.role <> 'DOCTOR'
         ORDER BY 1, 2"#,
        &doctors,
        &patients,
    )
    .fetch_all(conn)
    .await?;
    let mut concerned = DoctorsConcerned::default();
    for row in found {
        match (row.patient.map(UserId), row.doctor.map(UserId)) {
            (Some(patient), Some(doctor)) => concerned.named.push((patient, doctor)),
            (Some(patient), None) => concerned.open_to_roles.push(patient),
            (None, Some(doctor)) => concerned.of_other_roles.push(doctor),
            (None, None) => {}
        }
    }
    Ok(concerned)
}
