//! Tests that cannot run everywhere: they say that they are skipped, and why.

use std::env;
use std::fmt::Display;
use std::io::{self, Write};

/// Says that the running test is skipped, where the test runner hides nothing. Where the
/// environment has the variable `expected`, a test that is skipped has failed.
pub fn skip(reason: impl Display, expected: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(env::var_os(expected).is_none(), "{test} must not be skipped here: {reason}");
    let line = format!("skipped: {test}: {reason}\n");
    io::stderr().write_all(line.as_bytes()).unwrap();
}
