-- What decisions go by where one person asks. $1 the person, $2 their log-ins, $3 the patients, $4 what third_parties contains
-- of consents that name the person or a role. The first column says what a row is: 1 a log-in with the account and the clock, 2 a
-- membership, or what the trail says against one, 3 a patient's account with a consent. They are put in order by the program: to
-- sort rows as wide as these takes an eighth of the whole.
WITH clock AS MATERIALIZED (
    SELECT
        CASE
            WHEN pg_is_in_recovery() THEN NULL
            WHEN current_setting('synchronous_commit') = 'off' THEN pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint
            ELSE pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint
        END AS written,
        CASE
            WHEN pg_is_in_recovery() THEN NULL
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int
        END AS timeline,
        decision_time() AS now
),
person AS MATERIALIZED (
    SELECT id, email, username, role, is_active, is_system, organization_id, hashed_password, blockchain_address,
           has_second_factor, refusals, seal, seal_key
    FROM users
    WHERE id = $1
)
SELECT
    1 AS "part!",
    clock.now, clock.written, clock.timeline,
    account.id AS account_id, account.email, account.username, account.role, account.is_active, account.is_system,
    account.organization_id AS account_organization_id, account.hashed_password, account.blockchain_address,
    account.has_second_factor, account.refusals, account.seal AS account_seal, account.seal_key AS account_seal_key,
    asked.session_id AS row_id, account.id AS owner_id, session.seal AS row_seal, session.seal_key AS row_seal_key,
    session.refresh_token, session.family_id, session.parent_id, session.expires_at, session.idle_expires_at,
    session.used_at, session.second_factor_at,
    NULL::boolean AS is_contradicted, NULL::uuid AS organization_id, NULL::timestamptz AS valid_from,
    NULL::timestamptz AS valid_until, NULL::timestamptz AS ended_at, NULL::timestamptz AS created_at,
    NULL::varchar AS organization_name, NULL::varchar AS organization_country, NULL::boolean AS organization_is_active,
    NULL::timestamptz AS organization_created_at, NULL::timestamptz AS organization_updated_at,
    NULL::bytea AS organization_seal, NULL::varchar AS organization_seal_key, NULL::boolean AS may_be_sent_to,
    NULL::boolean AS is_left_out, NULL::varchar AS purpose, NULL::timestamptz AS consent_given_at,
    NULL::timestamptz AS consent_expires_at, NULL::timestamptz AS consent_withdrawn_at, NULL::jsonb AS data_categories,
    NULL::jsonb AS processing_activities, NULL::jsonb AS third_parties
FROM clock
CROSS JOIN UNNEST($2::uuid[]) AS asked(session_id)
LEFT JOIN person AS account ON NOT account.is_system
LEFT JOIN sessions AS session
  ON session.id = asked.session_id AND session.user_id = account.id AND session.is_valid
UNION ALL
SELECT
    2,
    NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL,
    NULL, NULL, NULL, NULL,
    member.id, member.user_id, member.seal, member.seal_key,
    NULL, NULL, NULL, NULL, NULL,
    NULL, NULL,
    FALSE, member.organization_id, member.valid_from,
    member.valid_until, member.ended_at, member.created_at,
    organization.name, organization.country, organization.is_active,
    organization.created_at, organization.updated_at,
    organization.seal, organization.seal_key,
    COALESCE(rule.is_adequate OR rule.has_safeguards OR rule.needs_consent, FALSE),
    NULL, NULL, NULL,
    NULL, NULL, NULL,
    NULL, NULL
FROM memberships AS member
LEFT JOIN organizations AS organization ON organization.id = member.organization_id
LEFT JOIN country_rules AS rule ON rule.country = organization.country
WHERE member.user_id = (SELECT id FROM person WHERE role = 'DOCTOR')
UNION ALL
SELECT
    2,
    NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL,
    NULL, NULL, NULL, NULL,
    contradicted.id, contradicted.user_id, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL,
    NULL, NULL,
    TRUE, NULL, NULL,
    NULL, NULL, NULL,
    NULL, NULL, NULL,
    NULL, NULL,
    NULL, NULL,
    FALSE,
    NULL, NULL, NULL,
    NULL, NULL, NULL,
    NULL, NULL
FROM (
    SELECT DISTINCT trail.resource_id AS id, trail.patient_id AS user_id
    FROM audit_logs AS trail
    LEFT JOIN memberships AS member ON member.id = trail.resource_id
    WHERE trail.patient_id = (SELECT id FROM person WHERE role = 'DOCTOR')
      AND trail.action_type IN ('MEMBERSHIP_ADD', 'MEMBERSHIP_END')
      AND (
          trail.action_type = 'MEMBERSHIP_ADD' AND member.id IS NULL
          OR trail.action_type = 'MEMBERSHIP_END' AND member.ended_at IS NULL
      )
) AS contradicted
UNION ALL
SELECT
    3,
    NULL, NULL, NULL,
    account.id, account.email, account.username, account.role, account.is_active, account.is_system,
    account.organization_id, account.hashed_password, account.blockchain_address,
    account.has_second_factor, account.refusals, account.seal, account.seal_key,
    consent.id, consent.user_id, consent.seal, consent.seal_key,
    NULL, NULL, NULL, NULL, NULL,
    NULL, NULL,
    NULL, NULL, NULL,
    NULL, NULL, NULL,
    NULL, NULL, NULL,
    NULL, NULL,
    NULL, NULL, NULL,
    consent.is_left_out, consent.purpose, consent.consent_given_at,
    consent.consent_expires_at, consent.consent_withdrawn_at, consent.data_categories,
    consent.processing_activities, consent.third_parties
FROM clock
CROSS JOIN users AS account
LEFT JOIN LATERAL (
    SELECT id, user_id, purpose, consent_given_at, consent_expires_at, consent_withdrawn_at,
           data_categories, processing_activities, third_parties, seal, seal_key,
           FALSE AS is_left_out
    FROM data_processing_consents
    WHERE user_id = account.id
      AND is_in_force(consent_given_at, consent_expires_at, consent_withdrawn_at, clock.now)
      AND (
          processing_activities ? 'DENY'
          OR COALESCE(third_parties, '[]') @> ANY($4::jsonb[])
          OR COALESCE(third_parties, '[]') @> '[{"kind": "org"}]' AND EXISTS (SELECT FROM person WHERE role = 'DOCTOR')
      )
    UNION ALL
    SELECT id, user_id, purpose, consent_given_at, consent_expires_at, consent_withdrawn_at,
           data_categories, processing_activities, third_parties, seal, seal_key, FALSE
    FROM data_processing_consents
    WHERE id = ANY(account.refusals)
    UNION ALL
    (
        SELECT id, user_id, purpose, consent_given_at, consent_expires_at, consent_withdrawn_at,
               data_categories, processing_activities, third_parties, seal, seal_key, TRUE
        FROM data_processing_consents
        WHERE user_id = account.id
          AND is_in_force(consent_given_at, consent_expires_at, consent_withdrawn_at, clock.now)
          AND NOT (
              processing_activities ? 'DENY'
              OR COALESCE(third_parties, '[]') @> ANY($4::jsonb[])
              OR COALESCE(third_parties, '[]') @> '[{"kind": "org"}]' AND EXISTS (SELECT FROM person WHERE role = 'DOCTOR')
          )
        LIMIT 1
    )
) AS consent ON TRUE
WHERE account.id = ANY($3::uuid[])
