//! `node keygen`: the keys of one server, or of a whole configuration.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use raft_cluster::{Config, KeyFileError, Pid, PublicKey, SecretKey};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::args::Keygen;

/// Makes what is asked for, and says on stdout what there is now.
pub(crate) fn run(keygen: &Keygen) -> Result<ExitCode, Box<dyn Error>> {
    let made = match keygen.out() {
        Some(path) => {
            let key = SecretKey::generate()?;
            key.save(path)?;
            format!("{}\n", key.public_key())
        }
        None => equip(&keygen.config, &keygen.out_dir)?,
    };
    io::stdout().write_all(made.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The secret key of a server, out of a file or out of a folder with those of all servers.
pub(crate) fn load(path: &Path, pid: Pid) -> Result<SecretKey, KeyFileError> {
    match path.is_dir() {
        true => SecretKey::load(file_of(path, pid)),
        false => SecretKey::load(path),
    }
}

fn file_of(folder: &Path, pid: Pid) -> PathBuf {
    folder.join(format!("server-{pid}.key"))
}

/// Why a configuration did not get its keys.
#[derive(Debug, Error)]
enum EquipError {
    #[error("{path} has keys already; to give it new ones, take them out first", path = .0.display())]
    HasKeys(PathBuf),
    #[error("cannot read {path}", path = .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("cannot replace {path}", path = .0.display())]
    Replace(PathBuf, #[source] io::Error),
    #[error("{path} was changed in the meantime; try again", path = .0.display())]
    Changed(PathBuf),
}

/// Gives every server of a configuration a key. All goes well or nothing stays of it, but for the
/// secret keys that could not be removed again.
fn equip(path: &Path, folder: &Path) -> Result<String, Box<dyn Error>> {
    let config = Config::load(path)?;
    if config.pids().iter().any(|&pid| config.public_key(pid).is_some()) {
        return Err(EquipError::HasKeys(path.to_owned()).into());
    }
    let text = fs::read_to_string(path).map_err(|e| EquipError::Read(path.to_owned(), e))?;
    let mut saved = Saved::default();
    let mut keys = BTreeMap::new();
    for &pid in config.pids() {
        let (key, file) = (SecretKey::generate()?, file_of(folder, pid));
        key.save(&file)?;
        saved.0.push(file);
        keys.insert(pid, key.public_key());
    }
    let equipped = with_keys(&text, &keys)
        .filter(|text| has_keys(text, &keys))
        .ok_or_else(|| EquipError::Changed(path.to_owned()))?;
    replace(path, &equipped).map_err(|source| EquipError::Replace(path.to_owned(), source))?;

    let lines = saved.keep().into_iter().map(|file| format!("{}\n", file.display()));
    Ok(lines.chain([format!("{}\n", path.display())]).collect())
}

/// Secret keys that are removed again unless they are kept.
#[derive(Default)]
struct Saved(Vec<PathBuf>);

impl Saved {
    fn keep(mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        for file in &self.0 {
            // What failed before is what the user has to know.
            let _ = fs::remove_file(file);
        }
    }
}

/// The text of a configuration with a `public_key` at the end of each server, and else as it was;
/// or `None` if it is not that of these servers.
fn with_keys(text: &str, keys: &BTreeMap<Pid, PublicKey>) -> Option<String> {
    let json = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file: Object = serde_json::from_str(json).ok()?;
    let object: Object = serde_json::from_str(field(&file, "object")?.get()).ok()?;
    let servers: Vec<&RawValue> = serde_json::from_str(field(&object, "Servers")?.get()).ok()?;

    let mut equipped = String::with_capacity(text.len() + 80 * servers.len());
    let mut copied = 0;
    for server in servers {
        let fields: Object = serde_json::from_str(server.get()).ok()?;
        let pid: Pid = serde_json::from_str(field(&fields, "mypid")?.get()).ok()?;
        let end = server.get().strip_suffix('}')?.trim_end().len();
        // The server is a part of the text, so this is where it stands.
        let place = server.get().as_ptr().addr() - text.as_ptr().addr() + end;
        equipped.push_str(&text[copied..place]);
        let space = space_before_fields(server.get());
        equipped.push_str(&format!(",{space}\"public_key\": \"{}\"", keys.get(&pid)?));
        copied = place;
    }
    equipped.push_str(&text[copied..]);
    Some(equipped)
}

/// An object whose fields are parts of the text.
type Object<'a> = BTreeMap<String, &'a RawValue>;

fn field<'a>(object: &Object<'a>, name: &str) -> Option<&'a RawValue> {
    let mut fields = object.iter();
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// What stands between fields: a line break and an indentation if the first one has them before it.
fn space_before_fields(server: &str) -> &str {
    let inside = server.trim_start_matches('{');
    let space = &inside[..inside.len() - inside.trim_start().len()];
    if space.contains('\n') { space } else { " " }
}

/// Whether it is a configuration of these servers with these keys.
fn has_keys(text: &str, keys: &BTreeMap<Pid, PublicKey>) -> bool {
    let Ok(config) = text.parse::<Config>() else { return false };
    config.pids().len() == keys.len()
        && keys.iter().all(|(pid, key)| config.public_key(*pid) == Some(*key))
}

/// Puts the text in the place of the file, so that nobody ever reads half of it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A link stays one: what it points to is replaced.
    let path = fs::canonicalize(path)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", process::id()));
    let new = PathBuf::from(name);
    let result = write(&new, text, &path).and_then(|()| fs::rename(&new, &path));
    if result.is_err() {
        let _ = fs::remove_file(&new);
    }
    result
}

/// Writes the text to a new file with the permissions of another.
fn write(new: &Path, text: &str, like: &Path) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(new)?;
    file.set_permissions(fs::metadata(like)?.permissions())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";

    fn equipped(text: &str) -> Option<String> {
        let keys = [1, 2].map(|pid| (Pid::new(pid), KEY.parse().unwrap()));
        with_keys(text, &keys.into())
    }

    #[test]
    fn a_server_on_one_line_gets_its_key_there() {
        let text = "\u{feff}{\"Object\": {\"total\": 2,\t\"servers\": [\r\n\
                    {\"mypid\":1,\"url\":\"a:1\"},{ \"MyPid\": 2, \"url\": \"ü:2\" }]}}\n";
        let key = format!(r#", "public_key": "{KEY}""#);
        let expected = text.replace("\"a:1\"", &format!("\"a:1\"{key}"));
        let expected = expected.replace("\"ü:2\"", &format!("\"ü:2\"{key}"));
        assert_eq!(equipped(text), Some(expected));
    }

    #[test]
    fn a_server_on_many_lines_gets_a_line_more() {
        let text = "{\"object\": {\"Servers\": [{\n    \"url\": \"a:1\",\n    \"mypid\": 2\n  }]}}";
        let line = format!("2,\n    \"public_key\": \"{KEY}\"\n  }}");
        assert_eq!(equipped(text), Some(text.replace("2\n  }", &line)));
    }

    #[test]
    fn what_is_not_a_configuration_of_these_servers_is_left_alone() {
        for text in ["", "{}", r#"{"object": {"Servers": [{"mypid": 3}]}}"#] {
            assert_eq!(equipped(text), None, "{text}");
        }
    }
}
