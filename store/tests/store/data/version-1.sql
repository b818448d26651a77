-- A database as the first release wrote it. It stays as it is: what opens it is always the newest code.
BEGIN TRANSACTION;
CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    kind TEXT,
    key TEXT,
    value TEXT,
    hash BLOB,
    UNIQUE (kind, key)
);
INSERT INTO documents VALUES(1,'publisher','acme','{"imports":[],"names":["acme/*"]}',X'882a909b4a9258f9f3f95803af79c243e2dfd9b7b90ddb6c546c2281cb113de1');
INSERT INTO documents VALUES(2,'tenant','größe','{"fuel":10000000000.0,"quote":"it''s"}',X'b12cc84ef9dd4a6f9f0c185e12a6d3f4ecbaf683abe1bb78897f6df8ef55ad63');
INSERT INTO documents VALUES(3,'tenant','b','null',X'935c83da34df6e33f77a607e176e609e4dda3d14f0f2b725822da05c86ccd51b');
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
INSERT INTO audit VALUES(1,1795524311231,'admin','publisher trust','acme','null','{"names":["acme/*"]}',X'0000000000000000000000000000000000000000000000000000000000000000',X'5a85d2e46f1c57c572416b44dc08dc46dec6b6cfd97a6748164c73bbfd450bfd');
INSERT INTO audit VALUES(2,1795524311235,'admin','publisher trust','größe','null','"it''s"',X'5a85d2e46f1c57c572416b44dc08dc46dec6b6cfd97a6748164c73bbfd450bfd',X'cecef8057b701c549753007ca498f0b817e949c6354a82ebbb131863502f995d');
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
INSERT INTO usage VALUES(1,'größe','digits',3,1,123456789012,7,8,9,X'b5b914a868df882226ad078c042f5149d552673eff743ccf773155e42c179926');
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    documents INTEGER NOT NULL,
    audit_count INTEGER NOT NULL,
    audit_hash BLOB NOT NULL
) STRICT;
INSERT INTO state VALUES(1,3,2,X'cecef8057b701c549753007ca498f0b817e949c6354a82ebbb131863502f995d');
CREATE INDEX usage_by_tenant_and_model ON usage (tenant, model);
COMMIT;
PRAGMA user_version = 1;
