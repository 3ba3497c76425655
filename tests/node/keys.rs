//! `node keygen`, and servers with the keys that it makes. Without CURVE in the linked libzmq the
//! servers say what to do.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use raft_cluster::{Config, Pid, SecretKey, libzmq};

use crate::cluster::Cluster;
use crate::process::Finished;

#[test]
fn one_key_goes_into_a_file_and_its_public_half_to_stdout() {
    let cluster = Cluster::empty();
    let keygen = ["keygen", "--out", "server.key"];
    let Finished { code, stdout, stderr } = cluster.node(&keygen).finish();
    assert_eq!((code, stderr), (Some(0), vec![]));
    let path = cluster.path("server.key");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let key = SecretKey::load(&path).unwrap().public_key();
    assert_eq!(stdout, [key.to_string()]);

    let secret = fs::read_to_string(&path).unwrap();
    let Finished { code, stdout, stderr } = cluster.node(&keygen).finish();
    assert_eq!((code, stdout), (Some(2), vec![]));
    assert!(stderr[0].contains("server.key is there already"), "{stderr:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), secret);
}

#[test]
fn a_whole_configuration_is_equipped_and_nothing_else_in_it_changes() {
    let cluster = Cluster::of(&[1, 20]);
    let before = fs::read_to_string(cluster.config()).unwrap();
    fs::create_dir(cluster.path("keys")).unwrap();
    let keygen = ["keygen", "--all", "--out-dir", "keys"];
    let Finished { code, stdout, stderr } = cluster.node(&keygen).finish();
    assert_eq!((code, stderr), (Some(0), vec![]));
    assert_eq!(stdout, ["keys/server-1.key", "keys/server-20.key", "./config.json"]);

    let after = fs::read_to_string(cluster.config()).unwrap();
    let config: Config = after.parse().unwrap();
    let mut stripped = after.clone();
    for pid in [1, 20] {
        let path = cluster.path(&format!("keys/server-{pid}.key"));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let key = SecretKey::load(&path).unwrap().public_key();
        assert_eq!(config.public_key(Pid::new(pid)), Some(key));
        stripped = stripped.replace(&format!(", \"public_key\": \"{key}\""), "");
    }
    assert_eq!(stripped, before);

    let Finished { code, stderr, .. } = cluster.node(&keygen).finish();
    assert_eq!(code, Some(2));
    assert!(stderr[0].contains("config.json has keys already"), "{stderr:?}");
    assert_eq!(fs::read_to_string(cluster.config()).unwrap(), after);
}

#[test]
fn a_configuration_behind_a_link_is_equipped_where_it_is() {
    let cluster = Cluster::of(&[1]);
    fs::rename(cluster.config(), cluster.path("real.json")).unwrap();
    symlink("real.json", cluster.config()).unwrap();
    assert_eq!(cluster.node(&["keygen", "--all"]).finish().code, Some(0));
    assert!(fs::symlink_metadata(cluster.config()).unwrap().is_symlink());
    let config = Config::load(cluster.path("real.json")).unwrap();
    assert!(config.public_key(Pid::new(1)).is_some());
}

#[test]
fn a_key_that_is_in_the_way_stops_all_and_nothing_is_left_behind() {
    let cluster = Cluster::of(&[1, 2]);
    let before = fs::read_to_string(cluster.config()).unwrap();
    fs::write(cluster.path("server-2.key"), "precious").unwrap();
    let Finished { code, stdout, stderr } = cluster.node(&["keygen", "--all"]).finish();
    assert_eq!((code, stdout), (Some(2), vec![]));
    assert!(stderr[0].contains("server-2.key is there already"), "{stderr:?}");
    assert_eq!(fs::read_to_string(cluster.path("server-2.key")).unwrap(), "precious");
    assert_eq!(fs::read_to_string(cluster.config()).unwrap(), before);
    let names = fs::read_dir(cluster.path(".")).unwrap();
    assert_eq!(names.count(), 2);
}

/// A cluster of two servers with keys, all its files in one folder.
fn equipped() -> Cluster {
    let cluster = Cluster::of(&[1, 2]);
    assert_eq!(cluster.node(&["keygen", "--all"]).finish().code, Some(0));
    cluster
}

#[test]
fn a_new_key_comes_beside_the_old_one_and_then_stays_alone() {
    let cluster = equipped();
    let read = || fs::read_to_string(cluster.config()).unwrap();
    let (before, two) = (read(), Pid::new(2));
    let Finished { code, stdout, stderr } =
        cluster.node(&["keygen", "--pid", "2", "--replace"]).finish();
    assert_eq!((code, stderr), (Some(0), vec![]));
    assert_eq!(stdout[..2], ["./server-2.new.key", "./config.json"]);
    assert!(stdout[2].starts_with("next: ") && stdout[2].contains("docs/changing.md"));
    assert_eq!(stdout.len(), 3);

    let path = cluster.path("server-2.new.key");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let new = SecretKey::load(&path).unwrap().public_key();
    let old = SecretKey::load(cluster.path("server-2.key")).unwrap().public_key();
    assert_eq!(Config::load(cluster.config()).unwrap().public_keys(two), [old, new]);
    let [one, both] = [format!("\"{old}\""), format!("[\"{old}\", \"{new}\"]")];
    assert_eq!(read(), before.replace(&one, &both));

    let Finished { code, stdout, stderr } =
        cluster.node(&["keygen", "--pid", "2", "--retire"]).finish();
    assert_eq!((code, stderr), (Some(0), vec![]));
    assert_eq!(stdout[0], "./config.json");
    assert!(stdout[1].starts_with("next: ") && stdout.len() == 2, "{stdout:?}");
    assert_eq!(read(), before.replace(&one, &format!("\"{new}\"")));
}

#[test]
fn a_key_is_replaced_in_the_folder_and_the_configuration_that_are_named() {
    let cluster = equipped();
    fs::rename(cluster.config(), cluster.path("other.json")).unwrap();
    fs::create_dir(cluster.path("keys")).unwrap();
    let other = ["keygen", "--config", "other.json", "--pid", "1"];
    let replace = [&other[..], &["--replace", "--out-dir", "keys"]].concat();
    let Finished { code, stdout, .. } = cluster.node(&replace).finish();
    assert_eq!(
        (code, &stdout[..2]),
        (Some(0), &["keys/server-1.new.key", "other.json"].map(str::to_owned)[..])
    );
    assert!(stdout[2].contains("move keys/server-1.new.key over keys/server-1.key"), "{stdout:?}");
    let new = SecretKey::load(cluster.path("keys/server-1.new.key")).unwrap().public_key();
    assert_eq!(cluster.node(&[&other[..], &["--retire"]].concat()).finish().code, Some(0));
    let config = Config::load(cluster.path("other.json")).unwrap();
    assert_eq!(config.public_keys(Pid::new(1)), [new]);
}

#[test]
fn a_replacement_has_to_be_finished_before_the_next_one() {
    let cluster = equipped();
    let replace = ["keygen", "--pid", "2", "--replace"];
    assert_eq!(cluster.node(&replace).finish().code, Some(0));
    fs::rename(cluster.path("server-2.new.key"), cluster.path("server-2.key")).unwrap();
    let before = fs::read_to_string(cluster.config()).unwrap();
    let Finished { code, stdout, stderr } = cluster.node(&replace).finish();
    assert_eq!((code, stdout), (Some(2), vec![]));
    for words in ["server 2 has an old and a new key in ./config.json", "--pid 2 --retire`"] {
        assert!(stderr[0].contains(words), "{words:?} is not in: {stderr:?}");
    }
    assert!(!cluster.path("server-2.new.key").exists());
    assert_eq!(fs::read_to_string(cluster.config()).unwrap(), before);
    // Another server's key can be replaced meanwhile.
    assert_eq!(cluster.node(&["keygen", "--pid", "1", "--replace"]).finish().code, Some(0));
}

#[test]
fn a_new_key_that_is_in_the_way_is_kept_and_stops_the_replacement() {
    let cluster = equipped();
    let before = fs::read_to_string(cluster.config()).unwrap();
    fs::write(cluster.path("server-2.new.key"), "precious").unwrap();
    let Finished { code, stdout, stderr } =
        cluster.node(&["keygen", "--pid", "2", "--replace"]).finish();
    assert_eq!((code, stdout), (Some(2), vec![]));
    assert!(stderr[0].contains("server-2.new.key is there already"), "{stderr:?}");
    assert_eq!(fs::read_to_string(cluster.path("server-2.new.key")).unwrap(), "precious");
    assert_eq!(fs::read_to_string(cluster.config()).unwrap(), before);
}

#[test]
fn no_secret_key_stays_where_the_configuration_cannot_be_replaced() {
    let cluster = equipped();
    let before = fs::read_to_string(cluster.config()).unwrap();
    // The new text has a longer name than the old one, which has the longest that a file can have.
    let longest = format!("{}.json", "x".repeat(250));
    fs::rename(cluster.config(), cluster.path(&longest)).unwrap();
    let replace = ["keygen", "--pid", "2", "--replace", "--config", &longest];
    let Finished { code, stdout, stderr } = cluster.node(&replace).finish();
    assert_eq!((code, stdout), (Some(2), vec![]));
    assert!(stderr[0].contains("cannot replace"), "{stderr:?}");
    assert!(!cluster.path("server-2.new.key").exists());
    assert_eq!(fs::read_to_string(cluster.path(&longest)).unwrap(), before);
}

#[test]
fn wrong_uses_of_keys_are_named() {
    let cluster = Cluster::of(&[1, 2]);
    assert_eq!(cluster.node(&["keygen", "--all"]).finish().code, Some(0));
    let plain = Cluster::of(&[1, 2]);
    SecretKey::generate().unwrap().save(plain.path("some.key")).unwrap();
    fs::write(plain.path("open.key"), "").unwrap();
    let table: &[(&Cluster, &[&str], &str)] = &[
        (&cluster, &["keygen"], "--out <FILE>|--all|--replace|--retire"),
        (&cluster, &["keygen", "--pid", "1"], "<--out <FILE>|--all|--replace|--retire>"),
        (&cluster, &["keygen", "--replace"], "--pid <N>"),
        (&cluster, &["keygen", "--retire"], "--pid <N>"),
        (&cluster, &["keygen", "--pid", "1", "--all"], "cannot be used with"),
        (&cluster, &["keygen", "--pid", "1", "--out", "x"], "cannot be used with"),
        (&cluster, &["keygen", "--pid", "1", "--replace", "--retire"], "cannot be used with"),
        (&cluster, &["keygen", "--pid", "1", "--replace", "--all"], "cannot be used with"),
        (&cluster, &["keygen", "--pid", "1", "--retire", "--out-dir", "x"], "cannot be used with"),
        (&cluster, &["keygen", "--pid", "-1", "--replace"], "'-1'"),
        (&cluster, &["keygen", "--pid", "7", "--replace"], "./config.json, which lists 1, 2"),
        (
            &cluster,
            &["keygen", "--pid", "7", "--retire"],
            "server 7 is not listed in ./config.json",
        ),
        (&cluster, &["keygen", "--pid", "1", "--retire"], "server 1 has one key in ./config.json"),
        (&plain, &["keygen", "--pid", "1", "--replace"], "./config.json has no keys"),
        (&plain, &["keygen", "--pid", "1", "--retire"], "./config.json has no keys"),
        (&cluster, &["keygen", "--all", "--out", "x"], "cannot be used with"),
        (&cluster, &["keygen", "--out", "x", "--out-dir", "y"], "cannot be used with"),
        (&cluster, &["--pid", "1", "keygen", "--all"], "cannot be used with"),
        (&cluster, &["--pid", "1"], "use `--secret-key FILE`"),
        (&cluster, &["--pid", "1", "--secret-key", "server-2.key"], "listed for server 2"),
        (&cluster, &["--pid", "1", "--secret-key", "none.key"], "none.key"),
        (&cluster, &["--all", "--secret-key", "server-1.key"], "is not a folder"),
        (&plain, &["--pid", "1", "--secret-key", "some.key"], "no public keys"),
        (&plain, &["--pid", "1", "--secret-key", "open.key"], "chmod 600"),
    ];
    for (cluster, arguments, words) in table {
        let Finished { code, stdout, stderr } = cluster.node(arguments).finish();
        let message = stderr.join("\n");
        assert_eq!((code, stdout), (Some(2), vec![]), "{arguments:?}: {message}");
        assert!(message.contains(words), "{arguments:?}: {words:?} is not in: {message}");
    }
}

#[test]
fn all_servers_of_an_equipped_configuration_talk() {
    let cluster = Cluster::of(&[1, 2, 3]);
    assert_eq!(cluster.node(&["keygen", "--all"]).finish().code, Some(0));
    let Finished { code, stdout, stderr } = cluster.node(&["--all", "--secret-key", "."]).finish();
    if !libzmq().curve {
        assert_eq!(code, Some(2), "{stdout:#?}");
        assert!(stderr.iter().any(|line| line.contains(".cargo/curve.toml")), "{stderr:#?}");
        return;
    }
    assert_eq!((code, &stderr), (Some(0), &vec![]), "{stdout:#?}");
    for pid in 1..=3 {
        let stopped =
            format!("[{pid}] server {pid} has stopped: 2 sent, 2 received, 0 undelivered");
        assert!(stdout.contains(&stopped), "{stdout:#?}");
    }
}
