DROP TRIGGER chain_events_tell_moved ON chain_events;
DROP TRIGGER chain_events_tell_applied ON chain_events;
DROP FUNCTION tell_registry_event();
DROP TABLE registry_feed;
