-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_users_active_doctors ON users (id)
    WHERE role = 'DOCTOR' AND is_active AND NOT is_system;
