-- A review is final where the audit trail knows it. One that was written into the row from outside is none, and may be
-- taken out again.
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
