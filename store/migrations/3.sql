-- Version 3. Never edited once released: a later version is another file.

-- The last entry of the audit log that was moved to a part, and so is no longer in the table `audit`. Zero if none was.
ALTER TABLE state ADD COLUMN base_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE state ADD COLUMN base_hash BLOB NOT NULL DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000';
