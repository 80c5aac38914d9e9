DROP FUNCTION notice_channel(TEXT), schema_key();
