-- What lasts from before the time that a search begins with, among everybody's records
-- (docs/decisions/0087-periods-are-spans.md): few records have a `dateEnd`.
CREATE INDEX idx_medical_records_periods
    ON medical_records ((COALESCE(effective_at, created_at)) DESC, id DESC)
    WHERE record_metadata ? 'dateEnd';
