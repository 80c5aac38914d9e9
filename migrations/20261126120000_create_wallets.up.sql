-- Wallets: what is to be signed to prove one, and which one was whose from when to when.

-- A question that waits for its signature. Gone once it is answered, or some time after it is over.
CREATE TABLE wallet_challenges (
    -- The SHA-256 of the nonce, never the nonce.
    nonce_hash VARCHAR(64) PRIMARY KEY,
    purpose VARCHAR(10) NOT NULL CHECK (purpose IN ('LINK', 'LOG_IN')),
    address VARCHAR(42) NOT NULL,
    -- Who asked, where somebody was logged in: whoever links is who asked.
    user_id UUID REFERENCES users(id),
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT wallet_challenges_user_check CHECK ((purpose = 'LINK') = (user_id IS NOT NULL))
);

CREATE INDEX idx_wallet_challenges_expires_at ON wallet_challenges (expires_at);
CREATE INDEX idx_wallet_challenges_user_id ON wallet_challenges (user_id);

-- The one that is linked now stands in users.blockchain_address, too.
CREATE TABLE wallets (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id),
    address VARCHAR(42) NOT NULL,
    chain_id BIGINT NOT NULL,
    -- By a key of its own, or by a contract's word (EIP-1271).
    proven_by VARCHAR(10) NOT NULL CHECK (proven_by IN ('KEY', 'CONTRACT')),
    linked_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    unlinked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT wallets_times_check CHECK (unlinked_at IS NULL OR unlinked_at >= linked_at)
);

-- One person, one wallet; one wallet, one person, whatever the capitals.
CREATE UNIQUE INDEX wallets_linked_user_key ON wallets (user_id) WHERE unlinked_at IS NULL;
CREATE UNIQUE INDEX wallets_linked_address_key ON wallets (lower(address)) WHERE unlinked_at IS NULL;
CREATE INDEX idx_wallets_user_page ON wallets (user_id, linked_at DESC, id DESC);

-- Nothing is updated; but what is swept is locked, and a lock needs the right to update something.
GRANT SELECT, INSERT, DELETE, UPDATE (created_at) ON wallet_challenges TO meditrustal_api;
GRANT SELECT, INSERT, UPDATE (unlinked_at) ON wallets TO meditrustal_api;
