//! A server's public keys: one, or while that is replaced the old one and the new.

use serde_json::value::RawValue;

use super::error::ConfigError;
use super::fields::{ConfigPlace, Field, describe};
use super::{Config, Member};
use crate::envelope::Pid;
use crate::key::PublicKey;

/// How many keys a server has at most: an old one and a new one.
const MOST: usize = 2;

/// What the field must be.
const WANTED: &str =
    "a string, the server's public key, or a list of two, the old key and the new one";

/// The keys that the field lists, in its order, or none if the server has no such field.
pub(super) fn listed(field: Field<'_>, place: &ConfigPlace) -> Result<Vec<PublicKey>, ConfigError> {
    let entries: Vec<&RawValue> = match field.optional::<String>(WANTED) {
        Ok(None) => return Ok(Vec::new()),
        Ok(Some(text)) => return Ok(vec![parse(&text, None, place)?]),
        Err(_) => field.required(WANTED)?,
    };
    if !(1..=MOST).contains(&entries.len()) {
        return Err(ConfigError::WrongNumberOfKeys { place: place.clone(), found: entries.len() });
    }
    let mut keys = Vec::with_capacity(MOST);
    for (index, json) in entries.iter().enumerate() {
        let text: String = serde_json::from_str(json.get()).map_err(|_| {
            let (place, found) = (place.clone(), describe(json));
            ConfigError::KeyNotAString { place, entry: index + 1, found }
        })?;
        keys.push(parse(&text, entry(index, entries.len()), place)?);
    }
    if matches!(keys[..], [old, new] if old == new) {
        return Err(ConfigError::SameKeyTwice { place: place.clone() });
    }
    Ok(keys)
}

fn parse(text: &str, entry: Option<usize>, place: &ConfigPlace) -> Result<PublicKey, ConfigError> {
    text.parse().map_err(|reason| ConfigError::InvalidKey { place: place.clone(), entry, reason })
}

/// Which key an error is about, counted from 1. One that is alone needs no number.
fn entry(index: usize, keys: usize) -> Option<usize> {
    (keys > 1).then_some(index + 1)
}

impl Config {
    /// No key is that of two servers, else either could speak as the other.
    pub(super) fn refuse_taken_key(
        &self,
        place: &ConfigPlace,
        keys: &[PublicKey],
    ) -> Result<(), ConfigError> {
        for (index, key) in keys.iter().enumerate() {
            let has_it = |(_, member): &(&Pid, &Member)| member.public_keys.contains(key);
            if let Some((&first, _)) = self.members.iter().find(has_it) {
                let (place, entry) = (place.clone(), entry(index, keys.len()));
                return Err(ConfigError::RepeatedKey { place, entry, first });
            }
        }
        Ok(())
    }

    /// A server without a key among some that have one could not be heard by them.
    pub(super) fn refuse_half_of_the_keys(&self, place: ConfigPlace) -> Result<(), ConfigError> {
        let has_none = |pid: &&Pid| self.public_keys(**pid).is_empty();
        let without: Vec<_> = self.pids.iter().filter(has_none).copied().collect();
        if without.is_empty() || without.len() == self.pids.len() {
            return Ok(());
        }
        Err(ConfigError::MissingKeys { place, without })
    }
}
