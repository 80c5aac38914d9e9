DROP TRIGGER break_glass_windows_one_review ON break_glass_windows;
CREATE TRIGGER break_glass_windows_one_review
    BEFORE UPDATE OF reviewed_at, reviewed_by, decision, sealed_note ON break_glass_windows
    FOR EACH ROW WHEN (OLD.reviewed_at IS NOT NULL) EXECUTE FUNCTION refuse_second_review();

CREATE OR REPLACE FUNCTION refuse_second_review() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1
        FROM audit_logs
        WHERE resource_id = OLD.id
          AND action_type = 'BREAK_GLASS_REVIEW'
          AND user_id = OLD.reviewed_by
          AND new_value ->> 'decision' = OLD.decision
    ) THEN
        RAISE EXCEPTION 'the review of a window is final';
    END IF;
    RETURN NEW;
END;
$$;
