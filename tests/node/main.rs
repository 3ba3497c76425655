//! The `node` program as its users meet it: real processes, their output, their exit status.
//!
//! Each test has a cluster of its own, over sockets in a temporary folder. Every wait is for a line
//! of output, the end of a stream or the end of a process, and is given up after
//! [`process::PATIENCE`]. Whatever a failed test leaves running is killed.

mod all;
mod arguments;
#[cfg(target_os = "linux")]
mod children;
mod cluster;
mod demo;
mod interrupts;
mod keys;
mod log;
mod metrics;
mod one;
mod output;
mod process;
mod prometheus;
mod reconfigure;
#[path = "../support/mod.rs"]
mod support;
mod typing;
mod typist;
mod watch;
mod watch_all;
mod watch_config;
mod watcher;
