//! A quota of processor time, which the kernel holds a process to.

use std::fs;
use std::path::{Path, PathBuf};

/// A control group with next to no processor time. It is removed when it goes out of scope, and must
/// be empty by then.
pub struct Quota(PathBuf);

impl Quota {
    /// A hundredth of a processor, a tenth of a second at a time, or why there can be no quota here.
    pub fn new() -> Result<Self, String> {
        let root = Path::new("/sys/fs/cgroup");
        let first_version = root.join("cpu");
        let (parent, quota) = if first_version.join("cpu.cfs_quota_us").exists() {
            let quota = [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "1000")];
            (first_version, quota.to_vec())
        } else {
            (root.to_owned(), vec![("cpu.max", "1000 100000")])
        };
        let group = parent.join(format!("raft-cluster-{}", std::process::id()));
        let error = |error| format!("no quota in {}: {error}", group.display());
        fs::create_dir(&group).map_err(error)?;
        let group = Self(group.clone());
        quota.into_iter().try_for_each(|(file, text)| group.write(file, text)).map(|()| group)
    }

    /// Has a process have no more than that.
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
