//! Takes JSON objects apart, field by field, with errors that say where and what.
//!
//! Serde alone could do it, but not so that names match in any case, that a name given twice is an
//! error, and that each message names the server.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::error::ConfigError;
use crate::envelope::Pid;

/// Where in which configuration something is wrong.
///
/// It reads as `config.json, server 3 (pid 7)`, or begins with `the configuration` if that was not
/// read from a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigPlace {
    file: Option<PathBuf>,
    part: Part,
}

/// The part of a configuration that a place is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Whole,
    Object,
    Server {
        position: usize,
        pid: Option<Pid>,
    },
}

impl ConfigPlace {
    /// The file, if the configuration was read from one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The server's place in the list, counted from 1, if it is about a server.
    pub fn position(&self) -> Option<usize> {
        match self.part {
            Part::Server { position, .. } => Some(position),
            Part::Whole | Part::Object => None,
        }
    }

    /// The server's pid, if it is about a server whose pid can be read.
    pub fn pid(&self) -> Option<Pid> {
        match self.part {
            Part::Server { pid, .. } => pid,
            Part::Whole | Part::Object => None,
        }
    }

    pub(super) fn file_at(path: &Path) -> Self {
        Self { file: Some(path.to_owned()), part: Part::Whole }
    }

    pub(super) fn object(&self) -> Self {
        Self { file: self.file.clone(), part: Part::Object }
    }

    /// The entry at this position of the list, with its pid if that can be read.
    pub(super) fn server(&self, position: usize, entry: &RawValue) -> Self {
        Self { file: self.file.clone(), part: Part::Server { position, pid: pid_of(entry) } }
    }
}

impl fmt::Display for ConfigPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => file.display().fmt(f)?,
            None => f.write_str("the configuration")?,
        }
        match self.part {
            Part::Whole => Ok(()),
            Part::Object => f.write_str(", in `object`"),
            Part::Server { position, pid: None } => write!(f, ", server {position}"),
            Part::Server { position, pid: Some(pid) } => {
                write!(f, ", server {position} (pid {pid})")
            }
        }
    }
}

/// The fields of the object `json`, in the order of `known`.
///
/// Fails when it is no object, when it has a field that is not `known`, or one of them twice.
pub(super) fn fields<'a, const N: usize>(
    json: &'a RawValue,
    known: &'static [&'static str; N],
    place: &'a ConfigPlace,
) -> Result<[Field<'a>; N], ConfigError> {
    let Ok(Entries(entries)) = serde_json::from_str(json.get()) else {
        let (place, found) = (place.clone(), describe(json));
        return Err(ConfigError::NotAnObject { place, known, found });
    };
    let mut fields = known.map(|name| Field { name, place, value: None });
    for (name, value) in entries {
        let Some(field) = fields.iter_mut().find(|field| field.name.eq_ignore_ascii_case(&name))
        else {
            let place = place.clone();
            return Err(ConfigError::UnknownField { place, field: name, known });
        };
        if field.value.replace(value).is_some() {
            let (place, field) = (place.clone(), field.name);
            return Err(ConfigError::RepeatedField { place, field });
        }
    }
    Ok(fields)
}

/// One field of an object, there or not.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    name: &'static str,
    place: &'a ConfigPlace,
    value: Option<&'a RawValue>,
}

impl<'a> Field<'a> {
    /// The value of a field that must be there. `wanted` says for the error what it must be.
    pub(super) fn required<T: Deserialize<'a>>(
        self,
        wanted: &'static str,
    ) -> Result<T, ConfigError> {
        let (place, field) = (self.place, self.name);
        self.optional(wanted)?.ok_or_else(|| {
            let place = place.clone();
            ConfigError::MissingField { place, field, wanted }
        })
    }

    /// The value of a field that may be left out.
    pub(super) fn optional<T: Deserialize<'a>>(
        self,
        wanted: &'static str,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.value else { return Ok(None) };
        serde_json::from_str(value.get()).map(Some).map_err(|_| ConfigError::WrongType {
            place: self.place.clone(),
            field: self.name,
            wanted,
            found: describe(value),
        })
    }
}

/// The names of fields, as messages list them.
pub(super) struct Names<'a>(pub(super) &'a [&'a str]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}`{name}`")?;
        }
        Ok(())
    }
}

/// An object as it is written: all its fields, in order, not yet decoded.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(EntriesVisitor)
    }
}

fn pid_of(entry: &RawValue) -> Option<Pid> {
    let Entries(entries) = serde_json::from_str(entry.get()).ok()?;
    let (_, pid) = entries.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("mypid"))?;
    serde_json::from_str(pid.get()).ok()
}

/// What a value is, in few words: a number or a string is itself.
pub(super) fn describe(json: &RawValue) -> String {
    match json.get() {
        text if text.starts_with('{') => "an object".to_owned(),
        text if text.starts_with('[') => "a list".to_owned(),
        text => text.to_owned(),
    }
}
