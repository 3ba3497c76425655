//! A leader and its followers, without a consensus engine: three servers as processes, of which the
//! first broadcasts a heartbeat every 50 ms and streams entries of 4 KiB to the two others, while
//! something is wrong with the third. The second is not to notice. The rows with a line between
//! machines take root.
//!
//! ```text
//! cargo bench --bench leader
//! cargo bench --bench leader -- --rows snapshot --seconds 5
//! ```

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("leader: only Linux has network namespaces");
}

#[cfg(target_os = "linux")]
mod leader {
    pub mod cluster;
    pub mod follower;
    pub mod pattern;
    pub mod rows;
    pub mod speed;
    pub mod table;
    pub mod traffic;

    pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
}
#[cfg(target_os = "linux")]
#[path = "../tests/support/mod.rs"]
mod support;

#[cfg(target_os = "linux")]
fn main() -> leader::Result<()> {
    leader::table::run()
}
