-- Requests to erase or restrict; the states are drawn in docs/data-model.md.
CREATE TABLE data_deletion_requests (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id),
    request_type VARCHAR(50) NOT NULL CHECK (request_type IN (
        'ACCOUNT_ERASURE', 'RECORD_ERASURE', 'CATEGORY_ERASURE', 'RESTRICTION'
    )),
    status VARCHAR(50) NOT NULL DEFAULT 'pending' CHECK (status IN (
        'pending', 'verified', 'expired', 'under_review', 'on_hold', 'approved', 'partially_approved',
        'rejected', 'scheduled', 'cancelled', 'executing', 'completed', 'failed'
    )),
    requested_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    completed_at TIMESTAMP WITH TIME ZONE,
    data_categories JSONB NOT NULL,
    verification_method VARCHAR(50) NOT NULL,
    verification_details JSONB,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_data_deletion_requests_user ON data_deletion_requests(user_id);
CREATE INDEX idx_data_deletion_requests_status ON data_deletion_requests(status);

CREATE INDEX idx_data_deletion_requests_user_page
    ON data_deletion_requests (user_id, requested_at DESC, id DESC);

CREATE TRIGGER data_deletion_requests_touch_updated_at BEFORE UPDATE ON data_deletion_requests
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
