//! The real binary, started as an operator starts it and spoken to over real HTTP. One file a story:
//!
//! - [`new_user`]: somebody registers, signs in, generates, reads the history; nobody else can;
//! - [`bad_input`]: every row of the error table;
//! - [`dropped_socket`]: a client that goes away frees its place, and what it was given is kept;
//! - [`killed_process`]: kill -9 loses nothing that was promised;
//! - [`stopping`]: SIGTERM ends within the grace period;
//! - [`refused_starts`]: what cannot work is refused in one line, before anything is written;
//! - [`command_line`]: the commands that need no server;
//! - [`metrics`]: what an operator sees of it;
//! - [`tls`]: HTTPS in the process, and a certificate that is replaced;
//! - [`api_keys`]: what a program may do with a key;
//! - [`operator`]: accounts by the command line, registration that is not open, and the audit log;
//! - [`limits`]: requests a minute, tokens a day, and who keeps failing to sign in;
//! - [`revocation`]: who signs out takes along what they had begun;
//! - [`backends`]: one name, three backends, changed while texts are made; and a provider that goes away;
//! - [`embeddings`]: vectors of one name by three backends, and a client that goes away;
//! - [`openai_clients`]: OpenAI's official clients, unchanged but for their base URL;
//! - [`replay`]: a text is made again from its record;
//! - [`chat`]: an answer that outlives its socket, at this server or another, and a memory that a crash does not take;
//! - [`chat_providers`]: a chat whose model is somebody else's, who takes their time and may refuse late;
//! - [`replicas`]: all of that across two servers over one database and one Redis;
//! - [`hub`]: models of the Hugging Face hub, fetched from one on loopback;
//! - [`media`]: pictures and speech, from the prompt to the signed link, and a kill in between;
//! - [`media_in_s3`]: the same where objects are in S3, and S3 is away;
//! - [`media_revoked`]: pictures and speech of whoever signs out meanwhile;
//! - [`logs`]: what is logged and what never is;
//! - [`readme`]: every command of the README, as it stands.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod api_keys;
mod backends;
mod bad_input;
mod chat;
mod chat_providers;
mod command_line;
mod databases;
mod dropped_socket;
mod embeddings;
mod hub;
mod killed_process;
mod limits;
mod logs;
mod media;
mod media_in_s3;
mod media_revoked;
mod metrics;
mod new_user;
mod openai_clients;
mod operator;
mod picture_service;
mod readme;
mod refused_starts;
mod replay;
mod replicas;
mod revocation;
mod stopping;
mod support;
mod tls;
