-- Where the comparison of receipts with the chain stands, and the newest record that was compared because it was new: a restart goes
-- on there, and what was written while nobody compared is new to it. Before all receipts where nothing was kept yet, and
-- after the records that the sweep has had in its turn.
ALTER TABLE indexer_sweeps
    ADD COLUMN after_receipt UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    ADD COLUMN newest_record UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';

UPDATE indexer_sweeps
SET newest_record = COALESCE((SELECT id FROM medical_records ORDER BY id DESC LIMIT 1), newest_record);
