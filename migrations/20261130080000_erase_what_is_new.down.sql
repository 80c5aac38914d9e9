DROP FUNCTION erase_representations(UUID);
DROP FUNCTION erase_receipts(UUID);
DROP FUNCTION empty_representations(UUID);
DROP FUNCTION empty_receipts(UUID);
