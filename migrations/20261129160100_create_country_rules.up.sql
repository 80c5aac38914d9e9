-- By what data may be sent to a country. What stands here at first are defaults, to be checked by the operator's counsel:
-- countries whose law is taken for as protective as ours, those for which contracts are common, and one that has nothing
-- but the patient's consent. A country that is not here gets nothing.
CREATE TABLE country_rules (
    country VARCHAR(2) PRIMARY KEY CHECK (country ~ '^[A-Z]{2}$'),
    is_adequate BOOLEAN NOT NULL,
    has_safeguards BOOLEAN NOT NULL,
    needs_consent BOOLEAN NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT country_rules_updated_at_bounded_check
        CHECK (updated_at > '-infinity' AND updated_at < '262143-01-01 00:00:00Z')
);

INSERT INTO country_rules (country, is_adequate, has_safeguards, needs_consent)
SELECT unnest(ARRAY[
    'AT', 'BE', 'BG', 'CH', 'CY', 'CZ', 'DE', 'DK', 'EE', 'ES', 'FI', 'FR', 'GB', 'GR', 'HR', 'HU', 'IE', 'IS', 'IT', 'JP',
    'KR', 'LI', 'LT', 'LU', 'LV', 'MT', 'NL', 'NO', 'NZ', 'PL', 'PT', 'RO', 'SE', 'SI', 'SK'
]), TRUE, FALSE, FALSE
UNION ALL
SELECT unnest(ARRAY['AU', 'CA', 'MY', 'PH', 'SG', 'TH']), FALSE, TRUE, FALSE
UNION ALL
SELECT 'US', FALSE, FALSE, TRUE;

GRANT SELECT, INSERT, UPDATE (is_adequate, has_safeguards, needs_consent, updated_at)
    ON country_rules TO meditrustal_api;
