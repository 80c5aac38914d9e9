-- The log of what happened to the registry's events, in the order in which it was written: one was applied, one was undone.
-- Whoever has no account follows it (docs/decisions/0072-verifiers-without-an-account.md): it says nothing that the chain
-- does not say. Written by triggers alone, whichever program writes chain_events, so that no event is left out.
CREATE TABLE registry_feed (
    position BIGSERIAL,
    -- Those of the event: so that a reader of one registry passes over none of another's entries.
    chain_id BIGINT NOT NULL,
    registry VARCHAR(42) NOT NULL,
    event_id BIGINT NOT NULL REFERENCES chain_events(id),
    is_undone BOOLEAN NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (chain_id, registry, position),
    CONSTRAINT registry_feed_at_bounded_check
        CHECK (at > '-infinity' AND at < '262143-01-01 00:00:00Z')
);

GRANT SELECT ON registry_feed TO meditrustal_api;

-- Whoever moves events holds the row of their registry's cursor until they commit, so that the positions of one registry
-- are in the order of commits.
CREATE FUNCTION tell_registry_event() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO registry_feed (chain_id, registry, event_id, is_undone)
    VALUES (NEW.chain_id, NEW.registry, NEW.id, NEW.undone_at IS NOT NULL);
    RETURN NULL;
END
$$;
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION tell_registry_event() SET search_path = %I, pg_temp', current_schema());
END
$$;
REVOKE EXECUTE ON FUNCTION tell_registry_event() FROM PUBLIC;
CREATE TRIGGER chain_events_tell_applied AFTER INSERT ON chain_events
    FOR EACH ROW EXECUTE FUNCTION tell_registry_event();
CREATE TRIGGER chain_events_tell_moved AFTER UPDATE OF undone_at ON chain_events
    FOR EACH ROW WHEN ((OLD.undone_at IS NULL) <> (NEW.undone_at IS NULL)) EXECUTE FUNCTION tell_registry_event();

-- What was applied before.
INSERT INTO registry_feed (chain_id, registry, event_id, is_undone)
SELECT chain_id, registry, id, FALSE
FROM chain_events
WHERE undone_at IS NULL
ORDER BY chain_id, registry, sequence;
