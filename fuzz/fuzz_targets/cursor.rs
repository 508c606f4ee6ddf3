//! Cursors as a client sends them back. What is read was written by this server: no two texts are one place.

#![no_main]

use api::fuzzing::{decode_cursor, encode_cursor};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(cursor) = decode_cursor(text) {
        assert_eq!(encode_cursor(&cursor), text, "a place has two names");
    }
});
