DELETE FROM throttle_counters WHERE scope IN ('CHALLENGES', 'COST');
ALTER TABLE throttle_counters DROP CONSTRAINT throttle_counters_scope_check;
ALTER TABLE throttle_counters ADD CONSTRAINT throttle_counters_scope_check
    CHECK (scope IN ('PAIR', 'ADDRESS', 'REGISTRATIONS', 'ACCOUNT', 'EVERYBODY'));
