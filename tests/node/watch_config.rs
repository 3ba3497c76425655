//! `--watch-config`: a server reads its files again when they say something else, however they were
//! changed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::cluster::{Cluster, configuration};
use crate::process::Finished;
use crate::support::keys::can_use_keys;
use crate::typist::{Typist, leave, talk};

const WATCH: &[&str] = &["--watch-config"];

#[test]
fn a_file_that_takes_the_place_of_the_old_one_is_read() {
    let cluster = Cluster::of(&[1, 2]);
    let mut typists = Typist::all_of(&cluster, &[1, 2], WATCH);
    cluster.list(&[1, 2, 3]);
    typists.iter().for_each(|typist| typist.has_reread("added 3"));
    let third = Typist::of(&cluster, 3, &["--message=here I am"]);
    typists.iter().for_each(|typist| drop(typist.server.stdout.until("peer 3 to all: here I am")));
    typists[1].types("@3 welcome");
    third.server.stdout.until("peer 2 to 3: welcome");
    typists.push(third);
    leave(typists);
}

#[test]
fn a_file_that_is_written_again_is_read() {
    let cluster = Cluster::of(&[1, 2]);
    let typist = Typist::of(&cluster, 1, WATCH);
    cluster.configure(&[(1, cluster.ipc(1)), (3, cluster.ipc(3))]);
    typist.has_reread("added 3; removed 2");
    typist.rereads("nothing has changed");
}

#[test]
fn what_is_wrong_is_told_once_and_nothing_is_changed() {
    let cluster = Cluster::of(&[1, 2]);
    let mut typists = Typist::all_of(&cluster, &[1, 2], WATCH);
    let good = fs::read_to_string(cluster.config()).unwrap();
    let table = [
        (good.replace("total", "sum"), "unknown field \"sum\""),
        (good.replace("\"total\"", "\"cluster\": \"another\", \"total\""), "cluster \"another\""),
        (good.replace("total", "sum"), "unknown field \"sum\""),
    ];
    for (text, fault) in table {
        cluster.replace(&text);
        typists[0].complains(fault);
    }
    talk(&mut typists, "all well?");
    cluster.replace(&good);
    typists[0].has_reread("nothing has changed");
    typists.pop().unwrap().server.signal(Signal::SIGKILL);
    typists[0].ends_input();
    let Finished { stderr, .. } = typists.pop().unwrap().server.finish();
    assert_eq!(stderr, [""; 0]);
}

/// As Kubernetes mounts a ConfigMap: the configuration is a link into a folder that is a link as
/// well, and that one is changed.
#[test]
fn a_link_on_the_path_that_leads_elsewhere_is_followed() {
    let cluster = Cluster::empty();
    let mount = |name: &str, pids: &[u32]| {
        let urls: Vec<_> = pids.iter().map(|&pid| (pid, cluster.ipc(pid))).collect();
        fs::create_dir(cluster.path(name)).unwrap();
        fs::write(cluster.path(name).join("config.json"), configuration(&urls)).unwrap();
        symlink(name, cluster.path("..data.new")).unwrap();
        fs::rename(cluster.path("..data.new"), cluster.path("..data")).unwrap();
    };
    mount("..first", &[1, 2]);
    symlink(Path::new("..data").join("config.json"), cluster.config()).unwrap();
    let typists = Typist::all_of(&cluster, &[1, 2], WATCH);
    mount("..second", &[1, 2, 3]);
    fs::remove_dir_all(cluster.path("..first")).unwrap();
    typists.iter().for_each(|typist| typist.has_reread("added 3"));
    mount("..third", &[1, 2]);
    typists.iter().for_each(|typist| typist.has_reread("removed 3"));
    leave(typists);
}

#[test]
fn with_all_each_server_watches_for_itself() {
    let (cluster, node) = Cluster::that_waits_for_good(WATCH);
    cluster.list(&[1, 2, 3]);
    let Finished { code, stdout, stderr } = node.finish();
    // The greetings of the fourth, which never came, have come back.
    assert_eq!((code, stderr), (Some(1), vec![]), "{stdout:#?}");
    for pid in 1..=3 {
        let read = format!("[{pid}] server {pid} has read its configuration again: removed 4");
        assert!(stdout.contains(&read), "{stdout:#?}");
    }
}

#[test]
fn a_new_key_is_taken_up_when_it_is_there() {
    if !can_use_keys() {
        return;
    }
    let cluster = Cluster::of(&[1, 2]);
    let keygen = |arguments: &[&str]| {
        let node = cluster.node(&[&["keygen"], arguments].concat());
        assert_eq!(node.finish().code, Some(0), "{arguments:?}");
    };
    keygen(&["--all"]);
    let mut typists = Typist::all_of(&cluster, &[1, 2], &["--secret-key=.", "--watch-config"]);
    keygen(&["--pid=2", "--replace"]);
    typists.iter().for_each(|typist| typist.has_reread("changed 2"));
    fs::rename(cluster.path("server-2.new.key"), cluster.path("server-2.key")).unwrap();
    typists[1].has_reread("changed 2");
    talk(&mut typists, "the new key is used");
    keygen(&["--pid=2", "--retire"]);
    typists.iter().for_each(|typist| typist.has_reread("changed 2"));
    talk(&mut typists, "the old one is gone");
    leave(typists);
}
