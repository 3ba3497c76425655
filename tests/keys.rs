//! Keys as text and as files, and their place in the configuration. None of this needs CURVE.

mod support;

use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use raft_cluster::{
    Config, ConfigError, KeyError, KeyFileError, Pid, PublicKey, SecretKey, Server, StartError,
};
use support::keys::KeyedCluster;
use support::{Cluster, Transport};

/// Two pairs that libzmq's manual shows.
const PAIRS: [(&str, &str); 2] = [
    ("D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs", "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"),
    ("JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6", "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"),
];

fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

#[test]
fn a_secret_key_has_one_public_key() {
    for (secret, public) in PAIRS {
        let key = secret.parse::<SecretKey>().unwrap().public_key();
        assert_eq!(key.to_string(), public);
        assert_eq!(public.parse::<PublicKey>(), Ok(key));
    }
    let [first, second] = [0, 1].map(|_| SecretKey::generate().unwrap().public_key());
    assert_ne!(first, second);
}

#[test]
fn a_text_that_is_no_key_is_refused_with_the_place() {
    let (_, key) = PAIRS[0];
    let with = |at: usize, text: &str| {
        let mut wrong = key.to_owned();
        wrong.replace_range(at..at + text.len(), text);
        wrong
    };
    let table = [
        (String::new(), KeyError::WrongLength { found: 0 }),
        (key[1..].to_owned(), KeyError::WrongLength { found: 39 }),
        (format!("{key}\n"), KeyError::WrongLength { found: 41 }),
        (with(0, " "), KeyError::NotZ85 { position: 1 }),
        (with(7, "\""), KeyError::NotZ85 { position: 8 }),
        (with(39, "\u{7f}"), KeyError::NotZ85 { position: 40 }),
        (with(38, "é"), KeyError::NotZ85 { position: 39 }),
        // Characters that are allowed, and too large a number.
        (with(0, "#####"), KeyError::NotZ85 { position: 1 }),
        (with(5, "%nSc1"), KeyError::NotZ85 { position: 6 }),
        // Where other uses of Z85 have a padding.
        (with(35, "#"), KeyError::NotZ85 { position: 36 }),
        (with(35, "#####"), KeyError::NotZ85 { position: 36 }),
    ];
    for (text, error) in table {
        assert_eq!(text.parse::<PublicKey>(), Err(error), "{text:?}");
        assert_eq!(text.parse::<SecretKey>().unwrap_err(), error, "{text:?}");
    }
}

#[test]
fn a_saved_key_is_its_owners_alone_and_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.key");
    let key = SecretKey::generate().unwrap();
    key.save(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(SecretKey::load(&path).unwrap().public_key(), key.public_key());

    let error = SecretKey::generate().unwrap().save(&path).unwrap_err();
    assert!(matches!(error, KeyFileError::Exists { .. }), "{error}");
    assert_eq!(SecretKey::load(&path).unwrap().public_key(), key.public_key());
    let error = key.save(folder.path().join("no/such/folder")).unwrap_err();
    assert!(matches!(error, KeyFileError::Write { .. }), "{error}");
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.key");
    SecretKey::generate().unwrap().save(&path).unwrap();
    for mode in [0o644, 0o640, 0o604, 0o660, 0o602] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = SecretKey::load(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::TooOpen { .. }), "{error}");
        for words in [path.to_str().unwrap(), "chmod 600", &format!("{mode:03o}")] {
            assert!(error.to_string().contains(words), "{words:?} is not in: {error}");
        }
    }
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    SecretKey::load(&path).unwrap();
}

#[test]
fn a_file_holds_one_key_and_a_newline_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.key");
    let (secret, public) = PAIRS[0];
    let load = |text: &[u8]| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        SecretKey::load(&path)
    };
    for text in [secret.to_owned(), format!("{secret}\n"), format!("{secret}\r\n")] {
        assert_eq!(load(text.as_bytes()).unwrap().public_key().to_string(), public);
    }
    for text in [String::new(), format!("{secret}\n\n"), format!("{secret}{secret}")] {
        let error = load(text.as_bytes()).unwrap_err();
        assert!(matches!(error, KeyFileError::NotAKey { .. }), "{error}");
        assert!(!chain(&error).contains(&secret[..8]), "{error}");
    }
    for unreadable in [&path, folder.path(), &folder.path().join("none")] {
        fs::write(&path, [0xff; 40]).unwrap();
        let error = SecretKey::load(unreadable).unwrap_err();
        let read = matches!(error, KeyFileError::Read { .. } | KeyFileError::TooOpen { .. });
        assert!(read, "{error}");
    }
}

#[test]
fn a_secret_key_is_never_shown() {
    let (secret, _) = PAIRS[0];
    let key: SecretKey = secret.parse().unwrap();
    assert_eq!(format!("{key:?} {key:#?}"), "SecretKey(..) SecretKey(..)");

    let keyed = KeyedCluster::new(2, Transport::Ipc);
    let builder = Server::builder(&keyed.cluster.config, Pid::new(1)).secret_key(key);
    let shown = format!("{builder:?}");
    let error = builder.start().map(drop).unwrap_err();
    let shown = format!("{shown} {error:?} {}", chain(&error));
    let bytes = zmq::z85_decode(secret).unwrap();
    for part in [&secret[..6], &secret[34..], &format!("{}, {}", bytes[0], bytes[1])] {
        assert!(!shown.contains(part), "{part:?} is in: {shown}");
    }
}

/// A configuration of servers 1, 2 and so on with these fields for keys.
fn with_keys(keys: &[Option<&str>]) -> Result<Config, ConfigError> {
    let cluster = Cluster::new(keys.len() as u32, Transport::Ipc);
    let mut text: serde_json::Value = serde_json::from_str(&cluster.text).unwrap();
    for (at, key) in keys.iter().enumerate() {
        if let Some(key) = key {
            text["object"]["Servers"][at]["Public_Key"] = (*key).into();
        }
    }
    text.to_string().parse()
}

#[test]
fn all_servers_have_keys_or_none() {
    let [(_, one), (_, two)] = PAIRS;
    let config = with_keys(&[Some(one), Some(two)]).unwrap();
    assert_eq!(config.public_key(Pid::new(2)), Some(two.parse().unwrap()));
    assert_eq!(config.public_key(Pid::new(3)), None);
    assert_eq!(with_keys(&[None, None]).unwrap().public_key(Pid::new(1)), None);

    let error = with_keys(&[None, Some(one), None, Some(two)]).unwrap_err();
    let ConfigError::MissingKeys { ref without, .. } = error else { panic!("{error}") };
    assert_eq!(without[..], [1, 3].map(Pid::new));
    assert!(error.to_string().contains("none: 1, 3;"), "{error}");
}

#[test]
fn a_wrong_key_in_the_configuration_is_named() {
    let [(_, one), (_, two)] = PAIRS;
    let table = [
        (&[Some(one), Some(one)][..], "server 2 (pid 2): field `public_key` is the key of pid 1"),
        (&[Some(one), Some(&two[1..])], "server 2 (pid 2): field `public_key`: a key has 40"),
        (&[Some("~")], "server 1 (pid 1): field `public_key`: a key has 40 characters, not 1"),
    ];
    for (keys, words) in table {
        let error = with_keys(keys).unwrap_err().to_string();
        assert!(error.contains(words), "{words:?} is not in: {error}");
    }
    let text =
        r#"{"object": {"total": 1, "Servers": [{"mypid": 1, "url": "a:1", "public_key": 7}]}}"#;
    let error = text.parse::<Config>().unwrap_err().to_string();
    assert!(error.contains("`public_key` must be a string"), "{error}");
}

#[test]
fn the_secret_of_either_listed_key_is_the_servers_own() {
    let cluster = Cluster::new(1, Transport::Ipc);
    let [old, new, other] = [0, 1, 2].map(|_| SecretKey::generate().unwrap());
    let mut text: serde_json::Value = serde_json::from_str(&cluster.text).unwrap();
    let listed = [&old, &new].map(|key| key.public_key().to_string());
    text["object"]["Servers"][0]["public_key"] = listed.as_slice().into();
    let config: Config = text.to_string().parse().unwrap();
    let start = |key| Server::builder(&config, Pid::new(1)).secret_key(key).start().map(drop);

    for own in [old, new] {
        let started = start(own);
        let usable = matches!(started, Ok(()) | Err(StartError::NoCurve { .. }));
        assert!(usable, "{started:?}");
    }
    let error = start(other).unwrap_err();
    assert!(matches!(error, StartError::WrongSecretKey { owner: None, .. }), "{error}");
}
