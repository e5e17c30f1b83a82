BEGIN TRANSACTION;
CREATE TABLE access_keys (
	access_key VARCHAR NOT NULL, 
	account_id VARCHAR NOT NULL, 
	secret BLOB NOT NULL, 
	created_unix_ms BIGINT NOT NULL, 
	CONSTRAINT pk_access_keys PRIMARY KEY (access_key), 
	CONSTRAINT fk_access_keys_account_id FOREIGN KEY(account_id) REFERENCES accounts (account_id) ON DELETE CASCADE
);
CREATE TABLE accounts (
	account_id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	created_unix_ms BIGINT NOT NULL, 
	password_hash VARCHAR, 
	CONSTRAINT pk_accounts PRIMARY KEY (account_id), 
	CONSTRAINT uq_accounts_name UNIQUE (name)
);
INSERT INTO "accounts" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','acme',1000,NULL);
INSERT INTO "accounts" VALUES('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','bolt',1000,NULL);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE apps (
	app_id VARCHAR NOT NULL, 
	account_id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	state_unix_ms BIGINT NOT NULL, 
	created_unix_ms BIGINT NOT NULL, 
	app_key BLOB NOT NULL, 
	callback_url BLOB, 
	callback_auth_key BLOB, 
	callback_updated_unix_ms BIGINT, 
	auto_is_on BOOLEAN, 
	auto_rule_id VARCHAR, 
	auto_updated_unix_ms BIGINT, 
	CONSTRAINT pk_apps PRIMARY KEY (app_id), 
	CONSTRAINT fk_apps_account_id FOREIGN KEY(account_id) REFERENCES accounts (account_id), 
	CONSTRAINT uq_apps_account_id_name UNIQUE (account_id, name)
);
INSERT INTO "apps" VALUES('111111111111111111111111','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','app 111111111111111111111111','active',2000,2000,X'174FC8B1A3203E7FE6CAC810D764B219A00D80E5A3DD967E4BBA6490F32A7783C695C7D74A6620D5A38EB3C7FEDD',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "apps" VALUES('222222222222222222222222','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','app 222222222222222222222222','active',2000,2000,X'174FC8B1876D34AC64E2667A91C403A6BC817B006A77FC9CBCE51E85B0EAC2714A9AD3DFCFD92DA80E625806AF46',NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE bucket_grants (
	account_id VARCHAR NOT NULL, 
	bucket VARCHAR NOT NULL, 
	CONSTRAINT pk_bucket_grants PRIMARY KEY (account_id, bucket), 
	CONSTRAINT fk_bucket_grants_account_id FOREIGN KEY(account_id) REFERENCES accounts (account_id) ON DELETE CASCADE
);
CREATE TABLE jobs (
	job_id VARCHAR NOT NULL, 
	account_id VARCHAR NOT NULL, 
	app_id VARCHAR NOT NULL, 
	rule_id VARCHAR, 
	kind VARCHAR NOT NULL, 
	unique_id VARCHAR NOT NULL, 
	room_id VARCHAR NOT NULL, 
	stream_name VARCHAR NOT NULL, 
	created_unix_ms BIGINT NOT NULL, 
	updated_unix_ms BIGINT NOT NULL, 
	state VARCHAR NOT NULL, 
	reason VARCHAR, 
	description TEXT NOT NULL, 
	started_unix_ms BIGINT NOT NULL, 
	stopped_unix_ms BIGINT, 
	cores FLOAT NOT NULL, 
	memory_mb INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	failures INTEGER NOT NULL, 
	told_attempts TEXT NOT NULL, 
	is_over BOOLEAN NOT NULL, 
	revision BIGINT NOT NULL, 
	asked BLOB NOT NULL, 
	document BLOB NOT NULL, 
	CONSTRAINT pk_jobs PRIMARY KEY (job_id), 
	CONSTRAINT fk_jobs_account_id FOREIGN KEY(account_id) REFERENCES accounts (account_id) ON DELETE CASCADE
);
INSERT INTO "jobs" VALUES('00000000000000000000000000000001','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','111111111111111111111111','55555555555555555555555555555555','mix','unique 1','room','stream',4001,4001,'init',NULL,'',0,NULL,1.0,512,0,0,'',0,0,X'174FC8B1BC0B48C3526905400B55BB2AF3C1BA77EFEAF21B61F323F3E68BE0BCFAFD5ECE4A700FDE0CDDDE697FEA2D2392DFEAC9F9E975B25D31B29DAE85FE1604C9A842237F910BC0D2903410680872D8A7673BE17D45E66156045790508D26DFDC1E0C',X'174FC8B1E05EA3350F8B742F0AE5A8438AC32E4E147D522717F4F6D5478EAA380864BCA18B8EE9A7B07361E4A0A5A483039E7A4274BDDE3691');
CREATE TABLE leases (
	name VARCHAR NOT NULL, 
	holder VARCHAR NOT NULL, 
	until_unix_ms BIGINT NOT NULL, 
	CONSTRAINT pk_leases PRIMARY KEY (name)
);
CREATE TABLE messages (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	event_id VARCHAR NOT NULL, 
	job_id VARCHAR NOT NULL, 
	account_id VARCHAR NOT NULL, 
	app_id VARCHAR NOT NULL, 
	created_unix_ms BIGINT NOT NULL, 
	attempts INTEGER NOT NULL, 
	failing_unix_ms BIGINT, 
	due_unix_ms BIGINT NOT NULL, 
	fate VARCHAR NOT NULL, 
	body BLOB NOT NULL, 
	CONSTRAINT fk_messages_job_id FOREIGN KEY(job_id) REFERENCES jobs (job_id) ON DELETE CASCADE, 
	CONSTRAINT uq_messages_event_id UNIQUE (event_id)
);
INSERT INTO "messages" VALUES(1,'event','00000000000000000000000000000001','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','111111111111111111111111',5000,0,NULL,0,'waiting',X'6576656E74');
CREATE TABLE requests (
	digest BLOB NOT NULL, 
	expires_unix_ms BIGINT NOT NULL, 
	status INTEGER, 
	body BLOB, 
	CONSTRAINT pk_requests PRIMARY KEY (digest)
);
CREATE TABLE rules (
	rule_id VARCHAR NOT NULL, 
	account_id VARCHAR NOT NULL, 
	app_id VARCHAR NOT NULL, 
	location VARCHAR NOT NULL, 
	body TEXT NOT NULL, 
	created_unix_ms BIGINT NOT NULL, 
	updated_unix_ms BIGINT NOT NULL, 
	CONSTRAINT pk_rules PRIMARY KEY (rule_id), 
	CONSTRAINT fk_rules_app_id FOREIGN KEY(app_id) REFERENCES apps (app_id) ON DELETE CASCADE, 
	CONSTRAINT uq_rules_app_id_location UNIQUE (app_id, location)
);
INSERT INTO "rules" VALUES('55555555555555555555555555555555','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','111111111111111111111111','here','{"record_formats": ["MP4"], "of": "55555555555555555555555555555555"}',3000,3000);
CREATE TABLE tokens (
	digest BLOB NOT NULL, 
	account_id VARCHAR NOT NULL, 
	issued_unix_ms BIGINT NOT NULL, 
	expires_unix_ms BIGINT NOT NULL, 
	CONSTRAINT pk_tokens PRIMARY KEY (digest), 
	CONSTRAINT fk_tokens_account_id FOREIGN KEY(account_id) REFERENCES accounts (account_id) ON DELETE CASCADE
);
CREATE INDEX ix_requests_expires_unix_ms ON requests (expires_unix_ms);
CREATE INDEX ix_access_keys_account_id ON access_keys (account_id);
CREATE INDEX ix_apps_account_id_created_unix_ms_app_id ON apps (account_id, created_unix_ms, app_id);
CREATE INDEX ix_jobs_account_id_created_unix_ms_job_id ON jobs (account_id, created_unix_ms, job_id);
CREATE INDEX ix_jobs_live ON jobs (account_id) WHERE state <> 'stopped';
CREATE INDEX ix_jobs_unfinished ON jobs (created_unix_ms) WHERE NOT is_over;
CREATE UNIQUE INDEX uq_jobs_live_unique_id ON jobs (app_id, unique_id) WHERE state <> 'stopped';
CREATE INDEX ix_tokens_account_id ON tokens (account_id);
CREATE INDEX ix_tokens_expires_unix_ms ON tokens (expires_unix_ms);
CREATE INDEX ix_messages_due ON messages (due_unix_ms) WHERE fate = 'waiting';
CREATE INDEX ix_messages_job_id ON messages (job_id);
CREATE INDEX ix_messages_waiting ON messages (job_id, number) WHERE fate = 'waiting';
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('messages',1);
COMMIT;
