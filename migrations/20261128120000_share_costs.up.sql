-- Two more kinds of counters: messages that an address asked to sign, and what an account, or an address where
-- nobody is logged in, asked for in the last minute.
ALTER TABLE throttle_counters DROP CONSTRAINT throttle_counters_scope_check;
ALTER TABLE throttle_counters ADD CONSTRAINT throttle_counters_scope_check
    CHECK (scope IN ('PAIR', 'ADDRESS', 'REGISTRATIONS', 'ACCOUNT', 'EVERYBODY', 'CHALLENGES', 'COST'));
