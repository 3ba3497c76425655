//! The keys of the configuration: one for each server, or the old one and the new.
//!
//! The wrong lists are a table, each with the whole message. A model of twenty lines says for any
//! keys of any servers whether they are to be accepted.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use raft_cluster::{Config, ConfigError, Pid, PublicKey};
use serde_json::{Value, json};

/// Keys, and texts that are none.
const KEYS: [&str; 4] = [
    "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID",
    "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",
    "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6",
    "0000000000000000000000000000000000000000",
];
const NO_KEYS: [&str; 3] = ["", "Yne@", "~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~"];

/// A configuration of servers 1, 2 and so on with these as `public_key`, but where it is null.
fn text(keys: &[Value]) -> String {
    let server = |(pid, key): (usize, &Value)| {
        let mut server = json!({"mypid": pid, "url": format!("a:{pid}")});
        if !key.is_null() {
            server["public_key"] = key.clone();
        }
        server
    };
    let servers: Vec<Value> = (1..).zip(keys).map(server).collect();
    json!({"object": {"total": keys.len(), "Servers": servers}}).to_string()
}

fn parse(keys: &[Value]) -> Result<Config, ConfigError> {
    text(keys).parse()
}

fn key(index: usize) -> PublicKey {
    KEYS[index].parse().unwrap()
}

#[test]
fn a_server_has_one_key_or_the_old_one_and_the_new_in_this_order() {
    let [a, b, c, d] = KEYS;
    let config = parse(&[json!(a), json!([b]), json!([d, c])]).unwrap();
    assert_eq!(config.public_keys(Pid::new(1)), [key(0)]);
    assert_eq!(config.public_keys(Pid::new(2)), [key(1)]);
    assert_eq!(config.public_keys(Pid::new(3)), [key(3), key(2)]);
    let first = [1, 2, 3].map(|pid| config.public_key(Pid::new(pid)));
    assert_eq!(first, [0, 1, 3].map(|index| Some(key(index))));
}

#[test]
fn who_is_not_listed_or_has_no_key_has_an_empty_list() {
    let config = parse(&[Value::Null]).unwrap();
    for pid in [1, 2].map(Pid::new) {
        assert_eq!(config.public_keys(pid), []);
        assert_eq!(config.public_key(pid), None);
    }
}

#[test]
fn a_list_of_one_key_is_that_key() {
    let [a, ..] = KEYS;
    assert_eq!(parse(&[json!([a])]).unwrap(), parse(&[json!(a)]).unwrap());
}

/// Keys of a second server beside one that has the first and the second of `KEYS`, and what is
/// said of them after the place.
fn wrong_keys() -> Vec<(Value, String)> {
    let [a, b, c, d] = KEYS;
    let field = "field `public_key`";
    let wrong = [
        (json!([]), "{F} lists 0 keys; it must list one, or the old one and the new"),
        (json!([a, c, d]), "{F} lists 3 keys; it must list one, or the old one and the new"),
        (json!([7]), "entry 1 of {F} must be a string, a public key, not 7"),
        (json!([c, null]), "entry 2 of {F} must be a string, a public key, not null"),
        (json!([[c], d]), "entry 1 of {F} must be a string, a public key, not a list"),
        (
            json!([c, c]),
            "{F} lists the same key twice; list the old one and the new, or the one alone",
        ),
        (json!(b), "{F} is the key of pid 1; each must have its own"),
        (json!([a]), "{F} is the key of pid 1; each must have its own"),
        (json!([b, c]), "entry 1 of {F} is the key of pid 1; each must have its own"),
        (json!([c, a]), "entry 2 of {F} is the key of pid 1; each must have its own"),
        (json!(["~", c]), "entry 1 of {F}: a key has 40 characters, not 1"),
        (json!([c, &d[1..]]), "entry 2 of {F}: a key has 40 characters, not 39"),
        (json!([&d[1..]]), "{F}: a key has 40 characters, not 39"),
        (
            json!({"old": c}),
            "{F} must be a string, the server's public key, or a list of two, the old key and the \
             new one, not an object",
        ),
    ];
    wrong.map(|(key, message)| (key, message.replace("{F}", field))).into()
}

#[test]
fn each_wrong_list_is_refused_with_a_message_that_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.json");
    for (key, message) in wrong_keys() {
        let text = text(&[json!([KEYS[0], KEYS[1]]), key]);
        fs::write(&path, &text).unwrap();
        let error = Config::load(&path).expect_err(&text).to_string();
        assert_eq!(error, format!("{}, server 2 (pid 2): {message}", path.display()));
    }
}

#[test]
fn an_error_says_which_key_it_is_for_programs_too() {
    let [a, b, c, _] = KEYS;
    match parse(&[json!([a, b]), json!([c, b])]) {
        Err(ConfigError::RepeatedKey { place, entry, first, .. }) => {
            assert_eq!((place.pid(), entry, first), (Some(Pid::new(2)), Some(2), Pid::new(1)));
        }
        other => panic!("{other:?}"),
    }
    match parse(&[json!([a, ""])]) {
        Err(ConfigError::InvalidKey { entry, .. }) => assert_eq!(entry, Some(2)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn servers_without_a_key_are_named_where_others_have_two() {
    let [a, b, ..] = KEYS;
    let error = parse(&[Value::Null, json!([a, b])]).unwrap_err().to_string();
    assert!(error.contains("these have none: 1;"), "{error}");
}

/// What stands in the field of one server: nothing, a text, or a list of texts.
fn nearly_keys() -> impl Strategy<Value = Value> {
    let texts: Vec<&str> = [&KEYS[..], &KEYS, &KEYS, &NO_KEYS].concat();
    let text = prop::sample::select(texts);
    prop_oneof![
        1 => Just(Value::Null),
        3 => text.clone().prop_map(Value::from),
        4 => prop::collection::vec(text, 0..4).prop_map(Value::from),
    ]
}

/// The keys of one server, if they are right by themselves.
fn right_alone(value: &Value) -> Option<Vec<&str>> {
    let texts: Vec<&str> = match value {
        Value::Null => return Some(Vec::new()),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        text => text.as_str().into_iter().collect(),
    };
    let right = (1..=2).contains(&texts.len()) && texts.iter().all(|text| KEYS.contains(text));
    right.then_some(texts)
}

/// The keys of all servers, if they are right together.
fn right_together(values: &[Value]) -> Option<Vec<Vec<&str>>> {
    let keys: Vec<Vec<&str>> = values.iter().map(right_alone).collect::<Option<_>>()?;
    let without = keys.iter().filter(|keys| keys.is_empty()).count();
    let all = keys.concat();
    let unique = all.iter().collect::<BTreeSet<_>>().len() == all.len();
    (unique && [0, keys.len()].contains(&without)).then_some(keys)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_048,
        rng_seed: RngSeed::Fixed(34465),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn exactly_the_right_keys_are_accepted(
        values in prop::collection::vec(nearly_keys(), 1..4)
    ) {
        match (parse(&values), right_together(&values)) {
            (Ok(config), Some(expected)) => {
                for (&pid, expected) in config.pids().iter().zip(expected) {
                    let listed = config.public_keys(pid);
                    let texts: Vec<String> = listed.iter().map(PublicKey::to_string).collect();
                    prop_assert_eq!(texts, expected);
                    prop_assert_eq!(config.public_key(pid), listed.first().copied());
                }
            }
            (Err(error), None) => prop_assert!(error.to_string().contains("`public_key`")),
            (parsed, expected) => prop_assert!(false, "{:?}, not {:?}", parsed, expected),
        }
    }
}
