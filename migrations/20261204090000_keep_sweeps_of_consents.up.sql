-- Where the comparison of receipts with the chain stands, and the newest record that was compared because it was new: a restart goes
-- on there, and what was written while nobody compared is new to it. Before all receipts where nothing was kept yet; of records, none
-- is new then that is there.
ALTER TABLE indexer_sweeps
    ADD COLUMN after_receipt UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    ADD COLUMN newest_record UUID;
