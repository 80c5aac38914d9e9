-- Least privilege, down to columns. The roles are made by `meditrustal database create`.
-- No role may update or delete audit_logs; the indexer cannot read encrypted_data or a password.

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO meditrustal_api, meditrustal_indexer;

-- What both need. Times and ids of an audit row are the database's to choose.
GRANT INSERT (user_id, action_type, resource_type, resource_id, old_value, new_value, ip_address,
    user_agent, request_id, purpose, consent_reference, retention_period, data_classification,
    is_cross_border, destination_country, encryption_status, patient_id)
    ON audit_logs TO meditrustal_api, meditrustal_indexer;
GRANT USAGE ON SEQUENCE audit_logs_id_seq, integrity_feed_position_seq TO meditrustal_api, meditrustal_indexer;
GRANT SELECT, INSERT ON integrity_feed TO meditrustal_api, meditrustal_indexer;
GRANT SELECT, INSERT, UPDATE (resolved_at) ON integrity_findings TO meditrustal_api, meditrustal_indexer;
GRANT SELECT ON record_anchors TO meditrustal_api, meditrustal_indexer;

-- Both refuse to serve a schema older than they are. The migrator's own table is there whenever it runs.
DO $$
BEGIN
    IF to_regclass('_sqlx_migrations') IS NOT NULL THEN
        GRANT SELECT ON _sqlx_migrations TO meditrustal_api, meditrustal_indexer;
    END IF;
END
$$;

-- api
GRANT SELECT, INSERT, UPDATE (email, username, hashed_password, blockchain_address, role, is_active, organization_id)
    ON users TO meditrustal_api;
GRANT SELECT, INSERT, UPDATE (is_valid, used_at) ON sessions TO meditrustal_api;
GRANT SELECT, INSERT ON patient_keys TO meditrustal_api;
GRANT SELECT, INSERT ON medical_records TO meditrustal_api;
GRANT SELECT ON audit_logs TO meditrustal_api;
GRANT SELECT, INSERT, UPDATE (consent_withdrawn_at) ON data_processing_consents TO meditrustal_api;
GRANT SELECT, INSERT, UPDATE (status, completed_at, verification_method, verification_details)
    ON data_deletion_requests TO meditrustal_api;
GRANT SELECT, INSERT ON idempotency_keys TO meditrustal_api;
GRANT SELECT, INSERT, UPDATE (next_nonce) ON signers TO meditrustal_api;
GRANT INSERT, UPDATE (state) ON record_anchors TO meditrustal_api;
GRANT SELECT, INSERT, UPDATE (state, sends, next_send_at) ON anchor_outbox TO meditrustal_api;
GRANT SELECT, INSERT ON anchor_attempts TO meditrustal_api;
GRANT USAGE ON SEQUENCE anchor_outbox_id_seq TO meditrustal_api;
GRANT SELECT ON chain_cursors, chain_events TO meditrustal_api;

-- indexer
GRANT SELECT (id, patient_id, record_type, data_hash, blockchain_record_id, created_at, erased_at),
    UPDATE (blockchain_record_id) ON medical_records TO meditrustal_indexer;
GRANT UPDATE (state, tx_hash, registrar, block_number, block_hash, log_index, sequence, confirmed_at, finalized_at)
    ON record_anchors TO meditrustal_indexer;
GRANT SELECT, UPDATE (state, next_send_at) ON anchor_outbox TO meditrustal_indexer;
GRANT SELECT (tx_hash, outbox_id, attempt) ON anchor_attempts TO meditrustal_indexer;
GRANT SELECT ON signers TO meditrustal_indexer;
GRANT SELECT, INSERT, UPDATE ON chain_cursors TO meditrustal_indexer;
GRANT SELECT, INSERT, DELETE ON chain_blocks TO meditrustal_indexer;
GRANT SELECT, INSERT, UPDATE (undone_at) ON chain_events TO meditrustal_indexer;
GRANT USAGE ON SEQUENCE chain_events_id_seq TO meditrustal_indexer;
