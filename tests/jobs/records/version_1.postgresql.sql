SELECT pg_catalog.set_config('search_path', '', false);
CREATE TABLE public.access_keys (
    access_key character varying NOT NULL,
    account_id character varying NOT NULL,
    secret bytea NOT NULL,
    created_unix_ms bigint NOT NULL
);
CREATE TABLE public.accounts (
    account_id character varying NOT NULL,
    name character varying NOT NULL,
    created_unix_ms bigint NOT NULL,
    password_hash character varying
);
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.apps (
    app_id character varying NOT NULL,
    account_id character varying NOT NULL,
    name character varying NOT NULL,
    state character varying NOT NULL,
    state_unix_ms bigint NOT NULL,
    created_unix_ms bigint NOT NULL,
    app_key bytea NOT NULL,
    callback_url bytea,
    callback_auth_key bytea,
    callback_updated_unix_ms bigint,
    auto_is_on boolean,
    auto_rule_id character varying,
    auto_updated_unix_ms bigint
);
CREATE TABLE public.bucket_grants (
    account_id character varying NOT NULL,
    bucket character varying NOT NULL
);
CREATE TABLE public.jobs (
    job_id character varying NOT NULL,
    account_id character varying NOT NULL,
    app_id character varying NOT NULL,
    rule_id character varying,
    kind character varying NOT NULL,
    unique_id character varying NOT NULL,
    room_id character varying NOT NULL,
    stream_name character varying NOT NULL,
    created_unix_ms bigint NOT NULL,
    updated_unix_ms bigint NOT NULL,
    state character varying NOT NULL,
    reason character varying,
    description text NOT NULL,
    started_unix_ms bigint NOT NULL,
    stopped_unix_ms bigint,
    cores double precision NOT NULL,
    memory_mb integer NOT NULL,
    attempt integer NOT NULL,
    failures integer NOT NULL,
    told_attempts text NOT NULL,
    is_over boolean NOT NULL,
    revision bigint NOT NULL,
    asked bytea NOT NULL,
    document bytea NOT NULL
);
CREATE TABLE public.leases (
    name character varying NOT NULL,
    holder character varying NOT NULL,
    until_unix_ms bigint NOT NULL
);
CREATE TABLE public.messages (
    number bigint NOT NULL,
    event_id character varying NOT NULL,
    job_id character varying NOT NULL,
    account_id character varying NOT NULL,
    app_id character varying NOT NULL,
    created_unix_ms bigint NOT NULL,
    attempts integer NOT NULL,
    failing_unix_ms bigint,
    due_unix_ms bigint NOT NULL,
    fate character varying NOT NULL,
    body bytea NOT NULL
);
CREATE SEQUENCE public.messages_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.messages_number_seq OWNED BY public.messages.number;
CREATE TABLE public.requests (
    digest bytea NOT NULL,
    expires_unix_ms bigint NOT NULL,
    status integer,
    body bytea
);
CREATE TABLE public.rules (
    rule_id character varying NOT NULL,
    account_id character varying NOT NULL,
    app_id character varying NOT NULL,
    location character varying NOT NULL,
    body text NOT NULL,
    created_unix_ms bigint NOT NULL,
    updated_unix_ms bigint NOT NULL
);
CREATE TABLE public.tokens (
    digest bytea NOT NULL,
    account_id character varying NOT NULL,
    issued_unix_ms bigint NOT NULL,
    expires_unix_ms bigint NOT NULL
);
ALTER TABLE ONLY public.messages ALTER COLUMN number SET DEFAULT nextval('public.messages_number_seq'::regclass);
INSERT INTO public.accounts VALUES ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'acme', 1000, NULL);
INSERT INTO public.accounts VALUES ('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 'bolt', 1000, NULL);
INSERT INTO public.alembic_version VALUES ('0001');
INSERT INTO public.apps VALUES ('111111111111111111111111', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'app 111111111111111111111111', 'active', 2000, 2000, '\x174fc8b109f43349162d519ca67c2624d940b92cb7de173be5392230031978655811e37ea54403765c305f23a3c9', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.apps VALUES ('222222222222222222222222', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 'app 222222222222222222222222', 'active', 2000, 2000, '\x174fc8b17fd26d0db0877adb2106e74f83fb82be2ecdd7b6c013ff490eb9870f88dd2d05ae46d3b97a5ca0d73696', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.jobs VALUES ('00000000000000000000000000000001', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', '111111111111111111111111', '55555555555555555555555555555555', 'mix', 'unique 1', 'room', 'stream', 4001, 4001, 'init', NULL, '', 0, NULL, 1, 512, 0, 0, '', false, 0, '\x174fc8b1bc955bbd5d569e904fac3fb3a380f5b27aa86a4b760e8c376ba6a688467ccc5e69fe7e2b239a8384fb224f3ce1f056cb09bce3e862a0d198db37195f7170a4296a8f1e0ba09c65dbfdedb11057c39df3bd814ff5dbe2943e34b32c4fda2989c1', '\x174fc8b10ed2ed06bbb42fe7f1255f3a83afc246145047acaf3dc434ea8fa63c6d3d77c26b26d4b80104b50f9bcc8d9449d5ad70efc097ce6b');
INSERT INTO public.messages VALUES (1, 'event', '00000000000000000000000000000001', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', '111111111111111111111111', 5000, 0, NULL, 0, 'waiting', '\x6576656e74');
INSERT INTO public.rules VALUES ('55555555555555555555555555555555', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', '111111111111111111111111', 'here', '{"record_formats": ["MP4"], "of": "55555555555555555555555555555555"}', 3000, 3000);
SELECT pg_catalog.setval('public.messages_number_seq', 1, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.access_keys
    ADD CONSTRAINT pk_access_keys PRIMARY KEY (access_key);
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT pk_accounts PRIMARY KEY (account_id);
ALTER TABLE ONLY public.apps
    ADD CONSTRAINT pk_apps PRIMARY KEY (app_id);
ALTER TABLE ONLY public.bucket_grants
    ADD CONSTRAINT pk_bucket_grants PRIMARY KEY (account_id, bucket);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT pk_jobs PRIMARY KEY (job_id);
ALTER TABLE ONLY public.leases
    ADD CONSTRAINT pk_leases PRIMARY KEY (name);
ALTER TABLE ONLY public.messages
    ADD CONSTRAINT pk_messages PRIMARY KEY (number);
ALTER TABLE ONLY public.requests
    ADD CONSTRAINT pk_requests PRIMARY KEY (digest);
ALTER TABLE ONLY public.rules
    ADD CONSTRAINT pk_rules PRIMARY KEY (rule_id);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT pk_tokens PRIMARY KEY (digest);
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT uq_accounts_name UNIQUE (name);
ALTER TABLE ONLY public.apps
    ADD CONSTRAINT uq_apps_account_id_name UNIQUE (account_id, name);
ALTER TABLE ONLY public.messages
    ADD CONSTRAINT uq_messages_event_id UNIQUE (event_id);
ALTER TABLE ONLY public.rules
    ADD CONSTRAINT uq_rules_app_id_location UNIQUE (app_id, location);
CREATE INDEX ix_access_keys_account_id ON public.access_keys USING btree (account_id);
CREATE INDEX ix_apps_account_id_created_unix_ms_app_id ON public.apps USING btree (account_id, created_unix_ms, app_id);
CREATE INDEX ix_jobs_account_id_created_unix_ms_job_id ON public.jobs USING btree (account_id, created_unix_ms, job_id);
CREATE INDEX ix_jobs_live ON public.jobs USING btree (account_id) WHERE ((state)::text <> 'stopped'::text);
CREATE INDEX ix_jobs_unfinished ON public.jobs USING btree (created_unix_ms) WHERE (NOT is_over);
CREATE INDEX ix_messages_due ON public.messages USING btree (due_unix_ms) WHERE ((fate)::text = 'waiting'::text);
CREATE INDEX ix_messages_job_id ON public.messages USING btree (job_id);
CREATE INDEX ix_messages_waiting ON public.messages USING btree (job_id, number) WHERE ((fate)::text = 'waiting'::text);
CREATE INDEX ix_requests_expires_unix_ms ON public.requests USING btree (expires_unix_ms);
CREATE INDEX ix_tokens_account_id ON public.tokens USING btree (account_id);
CREATE INDEX ix_tokens_expires_unix_ms ON public.tokens USING btree (expires_unix_ms);
CREATE UNIQUE INDEX uq_jobs_live_unique_id ON public.jobs USING btree (app_id, unique_id) WHERE ((state)::text <> 'stopped'::text);
ALTER TABLE ONLY public.access_keys
    ADD CONSTRAINT fk_access_keys_account_id FOREIGN KEY (account_id) REFERENCES public.accounts(account_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.apps
    ADD CONSTRAINT fk_apps_account_id FOREIGN KEY (account_id) REFERENCES public.accounts(account_id);
ALTER TABLE ONLY public.bucket_grants
    ADD CONSTRAINT fk_bucket_grants_account_id FOREIGN KEY (account_id) REFERENCES public.accounts(account_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT fk_jobs_account_id FOREIGN KEY (account_id) REFERENCES public.accounts(account_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.messages
    ADD CONSTRAINT fk_messages_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(job_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.rules
    ADD CONSTRAINT fk_rules_app_id FOREIGN KEY (app_id) REFERENCES public.apps(app_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT fk_tokens_account_id FOREIGN KEY (account_id) REFERENCES public.accounts(account_id) ON DELETE CASCADE;
