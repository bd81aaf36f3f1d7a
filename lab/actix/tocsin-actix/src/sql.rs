//! The statements of `tocsin.guard.stores.postgres`, so that services in Python and in Rust stand on one table.

/// What `tocsin claims migrate` prints, but for the streams of messages in order, which this crate does not keep. Of
/// many sessions that run CREATE TABLE IF NOT EXISTS at once, PostgreSQL fails some; so they take turns by an advisory
/// lock, the same one as in Python.
pub(crate) const SCHEMA: &str = "
    BEGIN;
    SET LOCAL lock_timeout = '10s';
    SELECT pg_advisory_xact_lock(128021758699886);
    CREATE TABLE IF NOT EXISTS tocsin_claims (
        key bytea PRIMARY KEY,
        version integer NOT NULL,
        tenant text NOT NULL,
        operation text NOT NULL,
        fingerprint bytea,
        taken_unix_ms bigint NOT NULL,
        answer_until_unix_ms bigint,
        claim_until_unix_ms bigint,
        due_unix_ms bigint,
        status integer,
        headers bytea,
        body bytea
    );
    CREATE INDEX IF NOT EXISTS tocsin_claims_due ON tocsin_claims (due_unix_ms) WHERE due_unix_ms IS NOT NULL;
    CREATE TABLE IF NOT EXISTS tocsin_forgotten (
        tenant text NOT NULL,
        operation text NOT NULL,
        taken_unix_ms bigint NOT NULL,
        PRIMARY KEY (tenant, operation)
    );
    COMMIT
";
/// Whatever the operator has set stays as it is; a server that does not know a setting is not asked for it. A server
/// that runs a statement does not notice by itself that its client was killed, and what is answered has to be durable.
pub(crate) const SETTINGS: &str = "
    SELECT set_config(name, value, false)
    FROM pg_settings JOIN (VALUES
        ('client_connection_check_interval', '50'), ('idle_in_transaction_session_timeout', $1),
        ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3')
    ) AS wanted (name, value) USING (name)
    WHERE source = 'default'
    UNION ALL SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
";
/// The wait for whoever holds the key is bounded before the row is written, and the row that is granted puts the
/// application's own value back before the handler starts.
pub(crate) const CLAIM: &str = "
    INSERT INTO tocsin_claims
        (key, version, tenant, operation, fingerprint, taken_unix_ms, answer_until_unix_ms, claim_until_unix_ms,
         due_unix_ms)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $7
    WHERE set_config('lock_timeout', $9,
                     set_config('tocsin.lock_timeout', current_setting('lock_timeout'), true) IS NOT NULL) IS NOT NULL
    ON CONFLICT (key) DO NOTHING
    RETURNING pg_current_xact_id()::text, set_config('lock_timeout', current_setting('tocsin.lock_timeout'), true)
";
/// How many rows of the key this transaction sees: two, if the old one was let go after its snapshot was taken.
pub(crate) const FORGOTTEN: &str = "
    SELECT (SELECT taken_unix_ms FROM tocsin_forgotten WHERE tenant = $1 AND operation = $2),
           (SELECT count(*) FROM tocsin_claims WHERE key = $3)
";
pub(crate) const READ: &str = "
    SELECT fingerprint, status, headers, body, answer_until_unix_ms, claim_until_unix_ms
    FROM tocsin_claims WHERE key = $1
";
/// The transaction's id tells a handler that has committed and begun again. No row is an error.
pub(crate) const SETTLE: &str = "
    WITH settled AS (
        UPDATE tocsin_claims SET status = $1, headers = $2, body = $3
        WHERE key = $4 AND status IS NULL AND pg_current_xact_id()::text = $5
        RETURNING 1
    )
    SELECT 1 / count(*) FROM settled
";
/// In a transaction of its own: every claim of the operation that is let go writes to one row of `tocsin_forgotten`.
pub(crate) const FORGET: &str = "
    WITH gone AS (
        DELETE FROM tocsin_claims WHERE key = $1 AND status IS NOT NULL AND claim_until_unix_ms <= $2
        RETURNING tenant, operation, taken_unix_ms
    )
    INSERT INTO tocsin_forgotten AS f (tenant, operation, taken_unix_ms)
    SELECT tenant, operation, max(taken_unix_ms) FROM gone GROUP BY tenant, operation
    ON CONFLICT (tenant, operation) DO UPDATE SET taken_unix_ms = greatest(f.taken_unix_ms, excluded.taken_unix_ms)
";
