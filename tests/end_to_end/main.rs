//! The real binary, started as an operator starts it and spoken to over real HTTP. One file a story:
//!
//! - [`new_user`]: somebody registers, signs in, generates, reads the history; nobody else can;
//! - [`bad_input`]: every row of the error table;
//! - [`dropped_socket`]: a client that goes away frees its place, and what it was given is kept;
//! - [`killed_process`]: kill -9 loses nothing that was promised;
//! - [`stopping`]: SIGTERM ends within the grace period;
//! - [`refused_starts`]: what cannot work is refused in one line, before anything is written;
//! - [`command_line`]: the commands that need no server;
//! - [`logs`]: what is logged and what never is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod bad_input;
mod command_line;
mod dropped_socket;
mod killed_process;
mod logs;
mod new_user;
mod refused_starts;
mod stopping;
mod support;
