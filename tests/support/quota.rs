//! A quota of processor time, which the kernel holds processes to.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How often the quota is filled up.
pub const PERIOD: Duration = Duration::from_millis(100);

/// A control group whose processes share some processor time. It is removed when it goes out of
/// scope, and must be empty by then.
pub struct Quota(PathBuf);

impl Quota {
    /// So much processor time in each [`PERIOD`], or why there can be no quota here. The group has
    /// the greatest weight that there is, so that it gets its quota however busy the machine is.
    pub fn new(time: Duration) -> Result<Self, String> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let root = Path::new("/sys/fs/cgroup");
        let first_version = root.join("cpu");
        let (time, period) = (time.as_micros().to_string(), PERIOD.as_micros().to_string());
        let (parent, quota) = if first_version.join("cpu.cfs_quota_us").exists() {
            let quota = [
                ("cpu.cfs_period_us", period),
                ("cpu.cfs_quota_us", time),
                ("cpu.shares", "262144".to_owned()),
            ];
            (first_version, quota.to_vec())
        } else {
            let quota =
                [("cpu.max", format!("{time} {period}")), ("cpu.weight", "10000".to_owned())];
            (root.to_owned(), quota.to_vec())
        };
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let group = parent.join(format!("raft-cluster-{}-{made}", std::process::id()));
        let error = |error| format!("no quota in {}: {error}", group.display());
        fs::create_dir(&group).map_err(error)?;
        let group = Self(group.clone());
        quota.iter().try_for_each(|(file, text)| group.write(file, text)).map(|()| group)
    }

    /// Has a process have no more than that, together with the others that are held to it.
    pub fn hold(&self, process: u32) {
        self.write("cgroup.procs", &process.to_string()).unwrap();
    }

    fn write(&self, file: &str, text: &str) -> Result<(), String> {
        let file = self.0.join(file);
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // What cannot be removed is empty and harms nobody.
        let _ = fs::remove_dir(&self.0);
    }
}
