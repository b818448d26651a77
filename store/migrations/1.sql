-- Version 1. Never edited once released: a later version is another file.

-- No NOT NULL and not STRICT: a damaged row is found by its hash and named, while a broken constraint would make SQLite
-- call the whole file corrupt.
CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    kind TEXT,
    key TEXT,
    value TEXT,
    hash BLOB,
    UNIQUE (kind, key)
);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    subject TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    previous BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;

-- Counters only add up, so several rows of one tenant and model are fine: that is what damage to the index may leave.
CREATE TABLE usage (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    model TEXT NOT NULL,
    requests INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    fuel INTEGER NOT NULL,
    cpu_nanoseconds INTEGER NOT NULL,
    request_bytes INTEGER NOT NULL,
    reply_bytes INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;

CREATE INDEX usage_by_tenant_and_model ON usage (tenant, model);

-- One row. How many documents there must be, and where the audit log ends: what is missing shows.
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    documents INTEGER NOT NULL,
    audit_count INTEGER NOT NULL,
    audit_hash BLOB NOT NULL
) STRICT;

INSERT INTO state VALUES (1, 0, 0, zeroblob(32));
