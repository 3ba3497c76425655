//! The configuration file: what is accepted and what comes of it, and that each wrong file is
//! refused with a message that names the place and says what would be right.
//!
//! The wrong files are a table. Each is read both from a file and from text, and the words that
//! matter are looked for in the error and its sources, joined as the `node` program prints them.

use std::error::Error;
use std::fs;
use std::iter;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use raft_cluster::{Config, ConfigError, ConfigWarning, Pid, UrlError};

/// A configuration of as many servers as there are urls, with pids from 1.
fn with_urls(urls: &[&str]) -> String {
    let servers: Vec<_> = iter::zip(1.., urls)
        .map(|(pid, url)| serde_json::json!({"mypid": pid, "url": url}))
        .collect();
    serde_json::json!({"object": {"total": servers.len(), "Servers": servers}}).to_string()
}

/// A configuration with these entries for `Servers`, and `total` to match.
fn with_servers(servers: &[&str]) -> String {
    let (total, servers) = (servers.len(), servers.join(","));
    format!(r#"{{"object": {{"total": {total}, "Servers": [{servers}]}}}}"#)
}

fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

/// What becomes of `url` when it is that of the only server, if it is accepted.
fn normalised(url: &str) -> Option<String> {
    let config: Config = with_urls(&[url]).parse().ok()?;
    config.url(Pid::new(1)).map(str::to_owned)
}

#[test]
fn the_shipped_file_has_five_servers_and_no_warnings() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.json");
    let config = Config::load(path).unwrap();
    assert_eq!(config.pids(), [1, 2, 3, 4, 5].map(Pid::new));
    for (pid, port) in iter::zip(config.pids(), 34465..) {
        assert_eq!(config.url(*pid), Some(format!("tcp://127.0.0.1:{port}").as_str()));
    }
    assert_eq!(config.cluster(), None);
    assert_eq!(config.warnings(), []);
}

#[test]
fn ports_above_65535_wrap_and_are_warned_of() {
    let config: Config = r#"{"object": {"total": 2, "Servers": [
            {"mypid": 1, "url": "127.0.0.1:100001"},
            {"mypid": 2, "url": "127.0.0.1:100002"}]}}"#
        .parse()
        .unwrap();
    assert_eq!(config.url(Pid::new(1)), Some("tcp://127.0.0.1:34465"));
    assert_eq!(config.url(Pid::new(2)), Some("tcp://127.0.0.1:34466"));

    let [first, second] = config.warnings() else { panic!("{:?}", config.warnings()) };
    let ConfigWarning::WrappedPort { position, pid, listed, port, .. } = first else {
        panic!("{first:?}")
    };
    assert_eq!((*position, *pid, *listed, *port), (1, Pid::new(1), 100_001, 34_465));
    assert_has(&second.to_string(), &["server 2 (pid 2)", "100002", "34466"], "a warning");
}

#[test]
fn names_of_fields_match_whatever_their_case() {
    let config: Config = r#"{"OBJECT": {"Total": 1, "Cluster": "orders", "servers": [
            {"MyPid": 7, "URL": "localhost:80"}]}}"#
        .parse()
        .unwrap();
    assert_eq!(config.pids(), [Pid::new(7)]);
    assert_eq!(config.cluster(), Some("orders"));
}

#[test]
fn pids_stay_in_the_order_of_the_file() {
    let config: Config = with_servers(&[
        r#"{"mypid": 9, "url": "a:1"}"#,
        r#"{"url": "b:1", "mypid": 0}"#,
        r#"{"mypid": 4294967295, "url": "c:1"}"#,
    ])
    .parse()
    .unwrap();
    assert_eq!(config.pids(), [9, 0, u32::MAX].map(Pid::new));
    assert_eq!(config.url(Pid::new(0)), Some("tcp://b:1"));
    assert_eq!(config.url(Pid::new(1)), None);
}

#[test]
fn one_address_has_one_spelling() {
    for (listed, url) in [
        ("127.0.0.1:34465", "tcp://127.0.0.1:34465"),
        ("tcp://127.0.0.1:34465", "tcp://127.0.0.1:34465"),
        ("TCP://127.0.0.1:034465", "tcp://127.0.0.1:34465"),
        ("Db-1.Example.COM:65535", "tcp://db-1.example.com:65535"),
        ("node_1:65537", "tcp://node_1:1"),
        ("[::1]:34465", "tcp://[::1]:34465"),
        ("tcp://[0:0:0:0:0:0:0:1]:100001", "tcp://[::1]:34465"),
        ("[FE80::0001%eth0]:1", "tcp://[fe80::1%eth0]:1"),
        ("ipc:///run/orders/1", "ipc:///run/orders/1"),
        ("ipc:///run//./With Space", "ipc:///run/With Space"),
    ] {
        assert_eq!(normalised(listed).as_deref(), Some(url), "of {listed}");
    }
}

#[test]
fn a_path_may_have_107_bytes() {
    let longest = format!("ipc:///{}", "x".repeat(106));
    assert_eq!(normalised(&longest).as_ref(), Some(&longest));
    match with_urls(&[&format!("{longest}x")]).parse::<Config>() {
        Err(ConfigError::InvalidUrl { reason, .. }) => {
            assert_eq!(reason, UrlError::PathTooLong { length: 108 });
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let text = with_urls(&["a:1"]);
    let marked: Config = format!("\u{feff}{text}").parse().unwrap();
    assert_eq!(marked, text.parse().unwrap());
}

#[test]
fn a_configuration_is_the_same_from_file_and_from_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cluster.json");
    let text = with_urls(&["a:100001", "b:2"]);
    fs::write(&path, &text).unwrap();
    assert_eq!(Config::load(&path).unwrap(), text.parse().unwrap());
}

/// Wrong texts, and the words that the error must have.
fn wrong_texts() -> Vec<(String, &'static [&'static str])> {
    [wrong_json(), wrong_fields(), wrong_servers(), wrong_urls()].concat()
}

fn wrong_json() -> Vec<(String, &'static [&'static str])> {
    [
        ("", ["is empty", "`object`"].as_slice()),
        (" \n\t", &["is empty"]),
        ("Servers: 1", &["is not JSON", "line 1 column 1"]),
        ("{\"object\":\n {\"total\": 1,,}}", &["is not JSON", "line 2 column 14"]),
        ("{\"object\": {", &["is not JSON", "EOF", "line 1 column 12"]),
        (r#"{"object": {"total": 1, "Servers": []}} {}"#, &["trailing", "line 1 column 41"]),
        (r#"{"object": {"cluster": "\ud800"}}"#, &["is not JSON", "line 1 column"]),
        (r#"{"object": {"total": 1e999}}"#, &["is not JSON", "out of range"]),
    ]
    .map(|(text, words)| (text.to_owned(), words))
    .into()
}

fn wrong_fields() -> Vec<(String, &'static [&'static str])> {
    let object = |fields: &str| format!(r#"{{"object": {{{fields}}}}}"#);
    let server = r#"{"mypid": 1, "url": "a:1"}"#;
    vec![
        ("[]".to_owned(), &["must be an object with `object`", "not a list"]),
        ("7".to_owned(), &["must be an object with `object`", "not 7"]),
        ("{}".to_owned(), &["field `object` is missing"]),
        (r#"{"total": 1}"#.to_owned(), &["unknown field \"total\"", "known here: `object`"]),
        (r#"{"object": {}, "Object": {}}"#.to_owned(), &["field `object`", "twice"]),
        (r#"{"object": 5}"#.to_owned(), &["in `object`", "`total`, `cluster`, `Servers`", "not 5"]),
        (object(r#""Servers": []"#), &["in `object`", "field `total` is missing"]),
        (object(r#""total": 1"#), &["in `object`", "field `Servers` is missing", "a list"]),
        (
            object(r#""total": 1, "server": []"#),
            &["unknown field \"server\"", "`total`, `cluster`, `Servers`"],
        ),
        (object(r#""total": 1, "TOTAL": 1"#), &["field `total`", "twice"]),
        (object(r#""total": "1", "Servers": []"#), &["field `total`", "number", "not \"1\""]),
        (object(r#""total": -1, "Servers": []"#), &["field `total`", "not -1"]),
        (object(r#""total": 1.5, "Servers": []"#), &["field `total`", "not 1.5"]),
        (object(r#""total": null, "Servers": []"#), &["field `total`", "not null"]),
        (object(r#""total": 1, "Servers": {}"#), &["field `Servers`", "a list", "not an object"]),
        (object(r#""total": 0, "Servers": []"#), &["`Servers` is empty", "at least one"]),
        (
            object(&format!(r#""total": 2, "Servers": [{server}]"#)),
            &["`total` is 2", "`Servers` lists 1"],
        ),
        (
            object(&format!(r#""total": 1, "cluster": " ", "Servers": [{server}]"#)),
            &["`cluster` is blank", "leave the field out"],
        ),
        (
            object(&format!(r#""total": 1, "cluster": 3, "Servers": [{server}]"#)),
            &["field `cluster` must be a string", "not 3"],
        ),
    ]
}

fn wrong_servers() -> Vec<(String, &'static [&'static str])> {
    let good = r#"{"mypid": 1, "url": "a:1"}"#;
    [
        ("5", ["server 2:", "`mypid`, `url`", "not 5"].as_slice()),
        ("{}", &["server 2:", "field `mypid` is missing", "whole number"]),
        (r#"{"mypid": 7}"#, &["server 2 (pid 7):", "field `url` is missing", "`host:port`"]),
        (r#"{"MYPID": 7, "port": 1}"#, &["server 2 (pid 7):", "unknown field \"port\"", "`url`"]),
        (r#"{"mypid": 7, "mypid": 8}"#, &["server 2 (pid 7):", "field `mypid`", "twice"]),
        (r#"{"mypid": 7, "url": "", "Url": ""}"#, &["server 2 (pid 7):", "field `url`", "twice"]),
        (r#"{"mypid": "7", "url": "b:1"}"#, &["server 2:", "`mypid`", "number", "not \"7\""]),
        (r#"{"mypid": -1, "url": "b:1"}"#, &["server 2:", "`mypid`", "from 0", "not -1"]),
        (r#"{"mypid": 4294967296, "url": "b:1"}"#, &["server 2:", "to 4294967295", "not 42949672"]),
        (r#"{"mypid": 1.0, "url": "b:1"}"#, &["server 2:", "`mypid`", "whole", "not 1.0"]),
        (r#"{"mypid": 7, "url": 34465}"#, &["server 2 (pid 7):", "`url`", "string", "not 34465"]),
        (r#"{"mypid": 1, "url": "b:1"}"#, &["server 2 (pid 1):", "`mypid` is 1", "server 1"]),
        (r#"{"mypid": 7, "url": "A:1"}"#, &["server 2 (pid 7):", "\"A:1\"", "tcp://a:1", "pid 1"]),
        (r#"{"mypid": 7, "url": "a:65537"}"#, &["server 2 (pid 7):", "a:65537", "tcp://a:1"]),
        (r#"{"mypid": 7, "url": "tcp://a:1"}"#, &["server 2 (pid 7):", "tcp://a:1", "its own"]),
    ]
    .map(|(server, words)| (with_servers(&[good, server]), words))
    .into()
}

fn wrong_urls() -> Vec<(String, &'static [&'static str])> {
    [
        ("", ["server 1 (pid 1)", "field `url` is \"\"", "no port"].as_slice()),
        ("127.0.0.1", &["no port", "`host:port`"]),
        ("127.0.0.1:", &["no port"]),
        ("[::1]", &["no port"]),
        ("127.0.0.1:0", &["port 0", "1 to 65535"]),
        ("127.0.0.1:131072", &["port 131072", "wraps to 0"]),
        ("127.0.0.1:http", &["invalid port \"http\""]),
        ("127.0.0.1:+80", &["invalid port \"+80\""]),
        ("127.0.0.1:-1", &["invalid port \"-1\""]),
        ("127.0.0.1:99999999999999999999", &["invalid port", "1 to 65535"]),
        ("127.0.0.1:80/path", &["invalid port \"80/path\""]),
        (":34465", &["no host"]),
        ("tcp://:34465", &["no host"]),
        ("*:34465", &["`*` is a wildcard", "no peer can connect", "this server's address"]),
        ("0.0.0.0:34465", &["`0.0.0.0` is a wildcard"]),
        ("[::]:34465", &["`::` is a wildcard"]),
        ("[::ffff:0.0.0.0]:34465", &["is a wildcard"]),
        ("::1:34465", &["must stand in brackets", "`[::1]:34465`"]),
        ("fe80::1", &["must stand in brackets"]),
        ("[::1:34465", &["invalid IPv6 address", "`[::1]:34465`"]),
        ("[127.0.0.1]:34465", &["invalid IPv6 address"]),
        ("[::1%]:34465", &["invalid IPv6 address"]),
        ("my host:34465", &["invalid host \"my host\""]),
        (" localhost:34465", &["invalid host \" localhost\""]),
        ("a..b:34465", &["invalid host \"a..b\""]),
        ("a:b:34465", &["invalid host \"a:b\""]),
        ("a\0:34465", &["invalid host"]),
        ("256.0.0.1:34465", &["invalid IPv4 address \"256.0.0.1\"", "0 to 255"]),
        ("127.1:34465", &["invalid IPv4 address \"127.1\""]),
        (
            "http://127.0.0.1:34465",
            &["unknown scheme `http`", "`tcp://host:port` or `ipc:///path`"],
        ),
        ("ipc://", &["must begin with `/`", "`ipc:///path`"]),
        ("ipc://run/1", &["must begin with `/`"]),
        ("ipc://*", &["must begin with `/`"]),
        ("ipc:///", &["the name of a file"]),
        ("ipc:///run/", &["the name of a file"]),
        ("ipc:///a\0b", &["control characters"]),
    ]
    .map(|(url, words)| (with_urls(&[url]), words))
    .into()
}

#[track_caller]
fn assert_has(message: &str, words: &[&str], text: &str) {
    for word in words {
        assert!(message.contains(word), "{message:?} lacks {word:?}, for {text}");
    }
    assert!(!message.contains('\n'), "{message:?} has more than one line, for {text}");
}

#[test]
fn each_wrong_file_is_refused_with_a_message_that_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.json");
    let name = path.to_str().unwrap();
    for (text, words) in wrong_texts() {
        fs::write(&path, &text).unwrap();
        let message = chain(&Config::load(&path).expect_err(&text));
        assert_has(&message, words, &text);
        assert_has(&message, &[name], &text);
    }
}

#[test]
fn each_wrong_text_is_refused_in_the_same_words() {
    for (text, words) in wrong_texts() {
        let error = text.parse::<Config>().expect_err(&text);
        assert_has(&chain(&error), words, &text);
        assert_has(&error.to_string(), &["the configuration"], &text);
        let source = error.source().map(ToString::to_string);
        assert!(!source.is_some_and(|source| error.to_string().contains(&source)), "{error}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.json");
    let error = Config::load(&path).unwrap_err();
    assert!(matches!(&error, ConfigError::Read { path: named, .. } if *named == path));
    assert_has(&chain(&error), &["cannot read", "none.json", "No such file"], "no file");
}

#[test]
fn a_directory_is_not_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let error = Config::load(folder.path()).unwrap_err();
    let name = folder.path().to_str().unwrap();
    assert_has(&chain(&error), &["cannot read", name, "directory"], "a directory");
}

#[test]
fn a_file_that_is_not_utf8_is_named_with_the_position() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latin1.json");
    fs::write(&path, b"{\"object\": \"caf\xe9\"}").unwrap();
    let error = Config::load(&path).unwrap_err();
    assert_has(&chain(&error), &["latin1.json", "is not UTF-8", "index 15"], "Latin 1");
}

#[test]
fn an_error_says_where_it_is_for_programs_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cluster.json");
    fs::write(&path, with_urls(&["a:1", "b"])).unwrap();
    match Config::load(&path) {
        Err(ConfigError::InvalidUrl { place, url, reason, .. }) => {
            assert_eq!(place.file(), Some(path.as_path()));
            assert_eq!((place.position(), place.pid()), (Some(2), Some(Pid::new(2))));
            assert_eq!((url.as_str(), reason), ("b", UrlError::NoPort));
        }
        other => panic!("{other:?}"),
    }
}

/// Urls that are right or nearly so, from the pieces that right ones are made of.
fn nearly_a_url() -> impl Strategy<Value = String> {
    let scheme = prop::sample::select(&["", "", "tcp://", "TCP://", "ipc:///", "ipc://", "x://"]);
    let piece = prop_oneof![
        4 => prop::sample::select(&[
            "a", "B", "a", "B", ".", "-", "/", "/./", "%", "*", "[::1]", "[::", "]", ":", "127.0.0.1",
        ])
        .prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    let middle = prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat());
    let port = prop::sample::select(&["", ":1", ":34465", ":100001", ":65536", ":0", ":"]);
    (scheme, middle, port).prop_map(|(scheme, middle, port)| format!("{scheme}{middle}{port}"))
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(34465),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = text.parse::<Config>();
    }

    #[test]
    fn no_text_of_json_pieces_panics(
        text in r#"([{}\[\],:]|"object"|"total"|"Servers"|"mypid"|"url"|"a:1"|1|-1|null| ){0,24}"#
    ) {
        let _ = text.parse::<Config>();
    }

    #[test]
    fn no_url_panics_and_a_normalised_one_stays_as_it_is(listed in nearly_a_url()) {
        if let Some(url) = normalised(&listed) {
            prop_assert!(!url.contains('\0'));
            prop_assert_eq!(normalised(&url), Some(url));
        }
    }

    #[test]
    fn every_port_wraps_modulo_65536_or_is_refused(listed in any::<u64>()) {
        let result = with_urls(&[&format!("a:{listed}")]).parse::<Config>();
        match listed % 65536 {
            0 => prop_assert!(result.is_err()),
            port => {
                let expected = format!("tcp://a:{port}");
                let config = result.unwrap();
                prop_assert_eq!(config.url(Pid::new(1)), Some(expected.as_str()));
                prop_assert_eq!(config.warnings().is_empty(), listed < 65536);
            }
        }
    }
}
