//! The text of a configuration with other keys, and else as it was, byte for byte.
//!
//! Each edit is `None` where the text is not that of a configuration with these servers. No key
//! has a character that JSON escapes.

use std::collections::BTreeMap;

use raft_cluster::{Pid, PublicKey};
use serde_json::value::RawValue;

use super::file::Keys;

/// The text with a `public_key` at the end of each server: the first of its keys.
pub(super) fn with_keys(text: &str, keys: &Keys) -> Option<String> {
    let servers = servers(text)?;
    let mut equipped = String::with_capacity(text.len() + 80 * servers.len());
    let mut copied = 0;
    for server in servers {
        let place = offset(server.json, text) + server.json.strip_suffix('}')?.trim_end().len();
        equipped.push_str(&text[copied..place]);
        let space = space_before_fields(server.json);
        let key = keys.get(&server.pid)?.first()?;
        equipped.push_str(&format!(",{space}\"public_key\": \"{key}\""));
        copied = place;
    }
    equipped.push_str(&text[copied..]);
    Some(equipped)
}

/// The text with this key after the one of a server, which thereby becomes the old one.
pub(super) fn with_new_key(text: &str, pid: Pid, new: &PublicKey) -> Option<String> {
    let old = keys_of(text, pid)?;
    let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(old) else {
        return Some(replaced(text, old, &format!("[{old}, \"{new}\"]")));
    };
    let [old] = list[..] else { return None };
    Some(replaced(text, old.get(), &format!("{}, \"{new}\"", old.get())))
}

/// The text with the second of a server's two keys alone.
pub(super) fn without_old_key(text: &str, pid: Pid) -> Option<String> {
    let keys = keys_of(text, pid)?;
    let list: Vec<&RawValue> = serde_json::from_str(keys).ok()?;
    let [_, new] = list[..] else { return None };
    Some(replaced(text, keys, new.get()))
}

/// A server as it is written. All its parts are slices of the text.
struct Entry<'a> {
    pid: Pid,
    json: &'a str,
    fields: Object<'a>,
}

/// An object whose fields are parts of the text.
type Object<'a> = BTreeMap<String, &'a RawValue>;

fn servers(text: &str) -> Option<Vec<Entry<'_>>> {
    let json = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file: Object = serde_json::from_str(json).ok()?;
    let object: Object = serde_json::from_str(field(&file, "object")?.get()).ok()?;
    let servers: Vec<&RawValue> = serde_json::from_str(field(&object, "Servers")?.get()).ok()?;
    servers.into_iter().map(entry).collect()
}

fn entry(server: &RawValue) -> Option<Entry<'_>> {
    let json = server.get();
    let fields: Object = serde_json::from_str(json).ok()?;
    let pid = serde_json::from_str(field(&fields, "mypid")?.get()).ok()?;
    Some(Entry { pid, json, fields })
}

fn field<'a>(object: &Object<'a>, name: &str) -> Option<&'a RawValue> {
    let mut fields = object.iter();
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// The value of a server's `public_key`.
fn keys_of(text: &str, pid: Pid) -> Option<&str> {
    let server = servers(text)?.into_iter().find(|server| server.pid == pid)?;
    field(&server.fields, "public_key").map(RawValue::get)
}

/// The text with another text for one of its slices.
fn replaced(text: &str, part: &str, by: &str) -> String {
    let start = offset(part, text);
    [&text[..start], by, &text[start + part.len()..]].concat()
}

/// Where in the text one of its slices begins.
fn offset(part: &str, text: &str) -> usize {
    part.as_ptr().addr() - text.as_ptr().addr()
}

/// What stands between fields: a line break and an indentation if the first one has them before it.
fn space_before_fields(server: &str) -> &str {
    let inside = server.trim_start_matches('{');
    let space = &inside[..inside.len() - inside.trim_start().len()];
    if space.contains('\n') { space } else { " " }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
    const NEW: &str = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";

    fn equipped(text: &str) -> Option<String> {
        let keys = [1, 2].map(|pid| (Pid::new(pid), vec![NEW.parse().unwrap()]));
        with_keys(text, &keys.into())
    }

    fn with_new(text: &str) -> Option<String> {
        with_new_key(text, Pid::new(2), &NEW.parse().unwrap())
    }

    fn without_old(text: &str) -> Option<String> {
        without_old_key(text, Pid::new(2))
    }

    /// Server 2 with these keys behind server 1, in a text with all that must stay as it is.
    fn text(keys: &str) -> String {
        format!(
            "\u{feff}{{\"Object\": {{\"total\": 2,\t\"servers\": [\r\n\
             {{\"mypid\":1,\"url\":\"ü:1\", \"public_key\":\"JTKV\"}},\r\n\
             {{ \"PUBLIC_KEY\" :  {keys} , \"MyPid\": 2, \"url\": \"b:2\",\n\
             \"info\": {{\"public_key\": 7}} }}]}}}}\n\n"
        )
    }

    #[test]
    fn a_server_on_one_line_gets_its_key_there() {
        let text = "\u{feff}{\"Object\": {\"total\": 2,\t\"servers\": [\r\n\
                    {\"mypid\":1,\"url\":\"a:1\"},{ \"MyPid\": 2, \"url\": \"ü:2\" }]}}\n";
        let key = format!(r#", "public_key": "{NEW}""#);
        let expected = text.replace("\"a:1\"", &format!("\"a:1\"{key}"));
        let expected = expected.replace("\"ü:2\"", &format!("\"ü:2\"{key}"));
        assert_eq!(equipped(text), Some(expected));
    }

    #[test]
    fn a_server_on_many_lines_gets_a_line_more() {
        let text = "{\"object\": {\"Servers\": [{\n    \"url\": \"a:1\",\n    \"mypid\": 2\n  }]}}";
        let line = format!("2,\n    \"public_key\": \"{NEW}\"\n  }}");
        assert_eq!(equipped(text), Some(text.replace("2\n  }", &line)));
    }

    #[test]
    fn a_key_becomes_a_list_of_itself_and_the_new_one() {
        let both = text(&format!("[\"{OLD}\", \"{NEW}\"]"));
        assert_eq!(with_new(&text(&format!("\"{OLD}\""))), Some(both.clone()));
        assert_eq!(with_new(&text(&format!("[\"{OLD}\"]"))), Some(both));
    }

    #[test]
    fn a_list_of_one_key_keeps_its_lines_and_how_the_key_is_written() {
        let old = OLD.replacen('/', "\\/", 1);
        let before = text(&format!("[\n\t\"{old}\"\n]"));
        let after = text(&format!("[\n\t\"{old}\", \"{NEW}\"\n]"));
        assert_eq!(with_new(&before), Some(after));
    }

    #[test]
    fn of_two_keys_the_second_stays_alone() {
        let alone = Some(text(&format!("\"{NEW}\"")));
        assert_eq!(without_old(&text(&format!("[\"{OLD}\", \"{NEW}\"]"))), alone);
        assert_eq!(without_old(&text(&format!("[ \"{OLD}\"\n,\t\"{NEW}\"\n]"))), alone);
    }

    #[test]
    fn two_keys_get_no_third_and_the_only_one_is_not_taken() {
        assert_eq!(with_new(&text(&format!("[\"{OLD}\", \"{NEW}\"]"))), None);
        assert_eq!(without_old(&text(&format!("\"{NEW}\""))), None);
        assert_eq!(without_old(&text(&format!("[\"{NEW}\"]"))), None);
    }

    #[test]
    fn what_is_not_a_configuration_of_these_servers_is_left_alone() {
        let keyless = r#"{"object": {"Servers": [{"mypid": 2}]}}"#;
        for text in ["", "{}", r#"{"object": {"Servers": [{"mypid": 3}]}}"#] {
            assert_eq!(equipped(text), None, "{text}");
        }
        for text in ["", "{}", r#"{"object": {"Servers": [{"mypid": 3}]}}"#, keyless] {
            assert_eq!((with_new(text), without_old(text)), (None, None), "{text}");
        }
    }
}
