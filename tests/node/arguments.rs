//! What cannot be run: status 2, one readable message on stderr, nothing on stdout.

use std::fs;
use std::net::TcpListener;
use std::slice;

use crate::cluster::Cluster;
use crate::process::Finished;

#[test]
fn a_wrong_argument_is_named() {
    let table: &[(&[&str], &str)] = &[
        (&[], "--pid <N>|--all|--demo"),
        (&["--pid", "1", "--all"], "cannot be used with"),
        (&["--demo", "--pid", "1"], "'--demo' cannot be used with '--pid <N>'"),
        (&["--all", "--demo"], "'--all' cannot be used with '--demo'"),
        (&["--demo", "--config", "config.json"], "'--demo' cannot be used with '--config <FILE>'"),
        (&["--demo", "--secret-key", "x"], "'--demo' cannot be used with '--secret-key <FILE>'"),
        (&["--demo", "--message", "x"], "'--demo' cannot be used with '--message <TEXT>'"),
        (&["--demo", "--idle-timeout", "1"], "'--demo' cannot be used with '--idle-timeout <SEC"),
        (&["--demo", "--linger", "1"], "'--demo' cannot be used with '--linger <SECONDS>'"),
        (&["--demo", "--metrics", "[::1]:1"], "'--demo' cannot be used with '--metrics <ADDR>'"),
        (&["--all", "--metrics", "[::1]:1"], "'--all' cannot be used with '--metrics <ADDR>'"),
        (&["--pid", "1", "--metrics", "here"], "invalid socket address syntax"),
        (&["--demo", "--watch-config"], "'--demo' cannot be used with '--watch-config'"),
        (&["--demo", "--json"], "'--demo' cannot be used with '--json'"),
        (&["--demo", "--watch"], "'--demo' cannot be used with '--watch'"),
        (&["--pid", "1", "--watch", "--json"], "'--watch' cannot be used with '--json'"),
        (&["--pid", "1", "--watch"], "`--watch` needs a terminal, and stdout is none"),
        (&["--all", "--watch"], "`--watch` needs a terminal, and stdout is none"),
        (&["--pid"], "--pid <N>"),
        (&["--pid", "one"], "'one'"),
        (&["--pid", "-1"], "-1"),
        (&["--pid", "4294967296"], "4294967296"),
        (&["--pid", "1", "--pid", "2"], "multiple times"),
        (&["--pid", "1", "--idle-timeout", "soon"], "a number of seconds is expected"),
        (&["--pid", "1", "--idle-timeout", "-2"], "a number of seconds is expected"),
        (&["--pid", "1", "--idle-timeout", "never ever"], "or `never`"),
        (&["--pid", "1", "--linger", "never"], "a number of seconds is expected"),
        (&["--pid", "1", "--linger", "NaN"], "a number of seconds is expected"),
        (&["--pid", "1", "--linger", "1e99"], "a number of seconds is expected"),
        (&["--pid", "1", "--message"], "--message <TEXT>"),
        (&["--pid", "1", "--json=yes"], "--json"),
        (&["--pid", "1", "--log", "loud"], "possible values: text, json"),
        (&["--demo", "--log", "json"], "'--demo' cannot be used with '--log <FORMAT>'"),
        (&["--pid", "1", "--verbose"], "--verbose"),
        (&["--pid", "1", "extra"], "extra"),
        (&["--pid", "3"], "1, 2"),
        (&["--pid", "1", "--config", "elsewhere.json"], "elsewhere.json"),
    ];
    let cluster = Cluster::of(&[1, 2]);
    for (arguments, words) in table {
        let message = refusal(&cluster, arguments);
        assert!(message.contains(words), "{arguments:?}: {words:?} is not in: {message}");
    }
}

#[test]
fn a_wrong_configuration_is_named() {
    let server = |pid: i64, url: &str| format!(r#"{{"mypid": {pid}, "url": "{url}"}}"#);
    let object = |total: u32, servers: &[String]| {
        format!(r#"{{"object": {{"total": {total}, "Servers": [{}]}}}}"#, servers.join(","))
    };
    let good = server(1, "127.0.0.1:34465");
    let table = [
        (String::new(), "is empty"),
        ("{\n\"object\": 3x}".into(), "line 2"),
        ("{}".into(), "object"),
        (r#"{"object": {"total": 0}}"#.into(), "Servers"),
        (object(0, &[]), "at least one server"),
        (object(3, slice::from_ref(&good)), "total"),
        (object(2, &[good.clone(), server(1, "127.0.0.1:34466")]), "1"),
        (object(2, &[good.clone(), server(-1, "127.0.0.1:34466")]), "-1"),
        (object(2, &[good.clone(), server(2, "127.0.0.1:100001")]), "100001"),
        (object(1, &[server(1, "127.0.0.1:0")]), "port"),
        (object(1, &[server(1, "127.0.0.1")]), "port"),
        (object(1, &[server(1, "udp://127.0.0.1:34465")]), "udp"),
    ];
    for (config, words) in table {
        let cluster = Cluster::empty();
        fs::write(cluster.config(), &config).unwrap();
        for role in [&["--pid", "1"][..], &["--all"]] {
            let message = refusal(&cluster, role);
            assert!(message.contains("config.json"), "{config}: the file is not in: {message}");
            assert!(message.contains(words), "{config}: {words:?} is not in: {message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}

#[test]
fn a_port_in_use_is_named_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let cluster = Cluster::empty();
    cluster.configure(&[(1, format!("127.0.0.1:{port}")), (2, cluster.ipc(2))]);
    let message = refusal(&cluster, &["--pid", "1"]);
    assert_eq!(message.lines().count(), 1, "{message}");
    for words in [&port.to_string(), "in use", "another"] {
        assert!(message.contains(words), "{words:?} is not in: {message}");
    }
}

#[test]
fn a_port_that_wraps_is_warned_of_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = u32::from(taken.local_addr().unwrap().port());
    let cluster = Cluster::empty();
    let wrapping = (port + 65536).to_string();
    cluster.configure(&[(1, format!("127.0.0.1:{wrapping}")), (2, cluster.ipc(2))]);
    let Finished { code, stdout, stderr } = cluster.node(&["--all", "--linger=0.2"]).finish();
    assert_eq!(code, Some(2), "{stdout:#?}");
    let warnings: Vec<_> = stderr.iter().filter(|line| line.contains(&wrapping)).collect();
    assert_eq!(warnings.len(), 1, "{stderr:#?}");
    assert!(warnings[0].contains(&port.to_string()), "{stderr:#?}");
}

#[test]
fn help_and_version_are_answers() {
    let cluster = Cluster::empty();
    let Finished { code, stdout, stderr } = cluster.node(&["--version"]).finish();
    assert_eq!((code, stderr), (Some(0), vec![]));
    let libzmq = raft_cluster::libzmq();
    assert_eq!(stdout, [format!("node {} ({libzmq})", env!("CARGO_PKG_VERSION"))]);

    let Finished { code, stdout, stderr } = cluster.node(&["--help"]).finish();
    assert_eq!((code, stderr), (Some(0), vec![]));
    let help = stdout.join("\n");
    let flags = "--pid --all --demo --config --secret-key --message --idle-timeout --linger \
                 --watch-config --watch --json SIGHUP";
    for flag in flags.split(' ').chain(["--help", "--version"]) {
        assert!(help.contains(flag), "{flag} is not in: {help}");
    }
    for hidden in ["supervised", "watched", "dictated"] {
        assert!(!help.contains(hidden), "{help}");
    }
}

/// What `node` says on stderr when it refuses to run.
fn refusal(cluster: &Cluster, arguments: &[&str]) -> String {
    let Finished { code, stdout, stderr } = cluster.node(arguments).finish();
    let message = stderr.join("\n");
    assert_eq!((code, stdout), (Some(2), vec![]), "{arguments:?}: {message}");
    assert!(message.starts_with("node: "), "{arguments:?}: {message}");
    assert!(!message.contains("panicked"), "{arguments:?}: {message}");
    message
}
