-- A row can be made to tell another review than the audit trail knows, or none. Whoever changes what it tells makes it tell the
-- one that the trail knows; where the trail knows none, a review may be written, and one from outside may be taken out.
CREATE OR REPLACE FUNCTION refuse_second_review() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    known RECORD;
BEGIN
    SELECT user_id, new_value ->> 'decision' AS decision
    INTO known
    FROM audit_logs
    WHERE resource_id = OLD.id
      AND action_type = 'BREAK_GLASS_REVIEW'
      AND new_value ->> 'decision' IN ('JUSTIFIED', 'UNJUSTIFIED')
    ORDER BY id
    LIMIT 1;
    IF NOT FOUND THEN
        RETURN NEW;
    END IF;
    IF OLD.reviewed_by IS NOT DISTINCT FROM known.user_id AND OLD.decision IS NOT DISTINCT FROM known.decision
        OR NEW.reviewed_by IS DISTINCT FROM known.user_id OR NEW.decision IS DISTINCT FROM known.decision
    THEN
        RAISE EXCEPTION 'the review of a window is final';
    END IF;
    RETURN NEW;
END;
$$;
-- Also where the row tells of none.
DROP TRIGGER break_glass_windows_one_review ON break_glass_windows;
CREATE TRIGGER break_glass_windows_one_review
    BEFORE UPDATE OF reviewed_at, reviewed_by, decision, sealed_note ON break_glass_windows
    FOR EACH ROW EXECUTE FUNCTION refuse_second_review();
