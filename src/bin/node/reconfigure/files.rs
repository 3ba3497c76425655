//! The files by which a server goes: what they say, and whether they say something else by now.

use std::path::PathBuf;
use std::time::Duration;

use raft_cluster::{Config, KeyFileError, Pid, PublicKey, SecretKey};

use crate::args::Arguments;
use crate::{chain, keygen};

/// How often the files are looked at. A running server gives a sign of life as often.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long files that have changed must stay as they are. Whoever writes them is done by then.
const SETTLING: Duration = Duration::from_millis(200);

/// Where a server's configuration and its key lie.
pub(crate) struct Files {
    pid: Pid,
    config: PathBuf,
    secret_key: Option<PathBuf>,
}

impl Files {
    pub(crate) fn of(arguments: &Arguments, pid: Pid) -> Self {
        let (config, secret_key) = (arguments.config.clone(), arguments.secret_key.clone());
        Self { pid, config, secret_key }
    }

    /// The server's key, if it is to have one.
    pub(crate) fn secret_key(&self) -> Result<Option<SecretKey>, KeyFileError> {
        self.secret_key.as_ref().map(|path| keygen::load(path, self.pid)).transpose()
    }

    pub(super) fn read(&self) -> Reading {
        Reading {
            config: Config::load(&self.config).map_err(|error| chain(&error)),
            secret: self.secret_key().map_err(|error| chain(&error)),
        }
    }
}

/// What the files say at one time, or what is wrong with each.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(super) config: Result<Config, String>,
    pub(super) secret: Result<Option<SecretKey>, String>,
}

impl Reading {
    /// What a server has been started with.
    pub(crate) fn of(config: &Config, secret: Option<SecretKey>) -> Self {
        Self { config: Ok(config.clone()), secret: Ok(secret) }
    }

    /// The key, as it can be compared.
    fn key(&self) -> Result<Option<PublicKey>, &String> {
        self.secret.as_ref().map(|secret| secret.as_ref().map(SecretKey::public_key))
    }
}

impl PartialEq for Reading {
    fn eq(&self, other: &Self) -> bool {
        self.config == other.config && self.key() == other.key()
    }
}

/// Tells when files say something new. It looks at what they say, over and over, and not at how
/// they were written: an editor puts another file in the place of the old one, a mounted
/// configuration changes a link somewhere on the path, and a file system of another machine tells
/// nobody.
///
/// ```text
///            the same                    something else
///          ┌───────────┐  something else  ┌───────────┐
///          └──► known ─┴────────────────► unsettled ◄─┘
///                 ▲                          │
///                 └──────────────────────────┘
///                  as before, or the same again: news
/// ```
pub(super) struct Watch {
    known: Reading,
    /// What was seen once.
    unsettled: Option<Reading>,
}

impl Watch {
    pub(super) fn new(known: Reading) -> Self {
        Self { known, unsettled: None }
    }

    /// When to look again.
    pub(super) fn pause(&self) -> Duration {
        if self.unsettled.is_some() { SETTLING } else { INTERVAL }
    }

    /// What the files say is known.
    pub(super) fn know(&mut self, reading: Reading) {
        *self = Self::new(reading);
    }

    /// Takes note of what the files say. Returns whether that is new, and is known from now on.
    pub(super) fn is_news(&mut self, seen: &Reading) -> bool {
        let before = self.unsettled.take();
        if *seen == self.known {
            return false;
        }
        let is_settled = before.is_some_and(|before| before == *seen);
        match is_settled {
            true => self.known = seen.clone(),
            false => self.unsettled = Some(seen.clone()),
        }
        is_settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Reading {
        Reading { config: Err(text.into()), secret: Ok(None) }
    }

    fn config(url: &str) -> Config {
        let servers = serde_json::json!([{"mypid": 1, "url": url}]);
        serde_json::json!({"object": {"total": 1, "Servers": servers}}).to_string().parse().unwrap()
    }

    #[test]
    fn what_stays_is_news_once() {
        let started = Reading::of(&config("a:1"), None);
        let mut watch = Watch::new(started.clone());
        let other = Reading::of(&config("a:2"), None);
        for reading in [&fault("half of it"), &other, &started] {
            assert_eq!(watch.pause(), INTERVAL);
            assert!(!watch.is_news(reading), "{reading:?}");
            assert_eq!(watch.pause(), SETTLING);
            assert!(watch.is_news(reading), "{reading:?}");
            (0..3).for_each(|_| assert!(!watch.is_news(reading), "{reading:?}"));
        }
    }

    #[test]
    fn what_passes_is_no_news() {
        let started = Reading::of(&config("a:1"), None);
        let mut watch = Watch::new(started.clone());
        let seen = [fault("empty"), fault("half of it"), started.clone(), fault("empty"), started];
        assert_eq!(seen.iter().filter(|seen| watch.is_news(seen)).count(), 0);
        assert_eq!(watch.pause(), INTERVAL);
    }

    #[test]
    fn what_was_read_for_another_reason_is_no_news() {
        let mut watch = Watch::new(Reading::of(&config("a:1"), None));
        let other = Reading::of(&config("a:2"), None);
        assert!(!watch.is_news(&other));
        watch.know(other.clone());
        (0..3).for_each(|_| assert!(!watch.is_news(&other)));
    }

    #[test]
    fn another_key_is_news_and_the_same_in_another_file_is_none() {
        let (config, key) = (config("a:1"), SecretKey::generate().unwrap());
        let mut watch = Watch::new(Reading::of(&config, Some(key.clone())));
        (0..2).for_each(|_| assert!(!watch.is_news(&Reading::of(&config, Some(key.clone())))));
        let other = Reading::of(&config, Some(SecretKey::generate().unwrap()));
        assert_eq!([watch.is_news(&other), watch.is_news(&other)], [false, true]);
        let broken = Reading { secret: Err("no key".into()), ..other };
        assert_eq!([watch.is_news(&broken), watch.is_news(&broken)], [false, true]);
    }
}
