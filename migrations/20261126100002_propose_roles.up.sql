-- The role ADMIN is given and taken by two administrators: the first proposes, another one confirms.
CREATE TABLE role_proposals (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id),
    role VARCHAR(20) NOT NULL CHECK (role IN ('PATIENT', 'DOCTOR', 'ADMIN')),
    proposed_by UUID NOT NULL REFERENCES users(id),
    proposed_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    -- Set together with closed_at; a proposal that was overtaken is closed without.
    confirmed_by UUID REFERENCES users(id),
    closed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT role_proposals_two_check CHECK (confirmed_by <> proposed_by AND user_id <> proposed_by AND confirmed_by <> user_id),
    CONSTRAINT role_proposals_closed_check CHECK (confirmed_by IS NULL OR closed_at IS NOT NULL)
);

-- One at a time for each account: a new one closes the one before.
CREATE UNIQUE INDEX role_proposals_open_key ON role_proposals (user_id) WHERE closed_at IS NULL;
-- What waits, newest first.
CREATE INDEX idx_role_proposals_page ON role_proposals (proposed_at DESC, id DESC) WHERE closed_at IS NULL;
CREATE INDEX idx_role_proposals_user_id ON role_proposals (user_id);
CREATE INDEX idx_role_proposals_proposed_by ON role_proposals (proposed_by);
CREATE INDEX idx_role_proposals_confirmed_by ON role_proposals (confirmed_by);

GRANT SELECT, INSERT, UPDATE (confirmed_by, closed_at) ON role_proposals TO meditrustal_api;
