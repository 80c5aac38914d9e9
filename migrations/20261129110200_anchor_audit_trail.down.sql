-- New salts would make another tree: nothing would prove what was pinned.
DO $$
BEGIN
    IF EXISTS (SELECT FROM audit_checkpoints WHERE state IN ('SIGNED', 'ANCHORED')) THEN
        RAISE EXCEPTION 'checkpoints of the audit trail were pinned: without its tree nothing proves them';
    END IF;
END
$$;

ALTER TABLE audit_watermark DROP COLUMN checkpoint_wanted_at;
DROP TABLE audit_checkpoints;
