-- Accounts. The columns up to updated_at are the specification's.
CREATE TABLE users (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    email VARCHAR(255) UNIQUE NOT NULL,
    username VARCHAR(50) UNIQUE NOT NULL,
    hashed_password VARCHAR(255) NOT NULL,
    blockchain_address VARCHAR(42) UNIQUE,
    role VARCHAR(20) NOT NULL CHECK (role IN ('PATIENT', 'DOCTOR', 'ADMIN')),
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    -- The organisation a doctor works for: consents may name it.
    organization_id UUID,
    -- Accounts that only sign audit rows and can never log in.
    is_system BOOLEAN NOT NULL DEFAULT FALSE
);

CREATE INDEX idx_users_email ON users(email);
CREATE INDEX idx_users_username ON users(username);
CREATE INDEX idx_users_blockchain_address ON users(blockchain_address);

-- One person, one account, whatever the capitals.
CREATE UNIQUE INDEX users_email_folded_key ON users (lower(email));
CREATE UNIQUE INDEX users_username_folded_key ON users (lower(username));
CREATE UNIQUE INDEX users_blockchain_address_folded_key ON users (lower(blockchain_address));
-- The administrators' list, newest first.
CREATE INDEX idx_users_created_at ON users (created_at DESC, id DESC) WHERE NOT is_system;

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := CURRENT_TIMESTAMP;
    RETURN NEW;
END
$$;

CREATE TRIGGER users_touch_updated_at BEFORE UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

-- '!' is no password hash, so no password ever matches it.
INSERT INTO users (id, email, username, hashed_password, role, is_system) VALUES
    ('00000000-0000-7000-8000-000000000001', 'anonymous@system.invalid', 'system:anonymous', '!', 'PATIENT', TRUE),
    ('00000000-0000-7000-8000-000000000002', 'relay@system.invalid', 'system:relay', '!', 'PATIENT', TRUE),
    ('00000000-0000-7000-8000-000000000003', 'indexer@system.invalid', 'system:indexer', '!', 'PATIENT', TRUE),
    ('00000000-0000-7000-8000-000000000004', 'scheduler@system.invalid', 'system:scheduler', '!', 'PATIENT', TRUE);
