//! JSON that is nearly a configuration.

use std::net::{Ipv4Addr, Ipv6Addr};

use arbitrary::Arbitrary;
use serde_json::{Map, Value, json};

/// A configuration as a person with a bad day may write it.
#[derive(Arbitrary, Debug)]
pub struct Draft {
    case: Case,
    /// How much `total` is off.
    off: i8,
    cluster: Option<Scalar>,
    servers: Vec<Server>,
    stray: Option<Scalar>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Case {
    Usual,
    Upper,
    Lower,
}

#[derive(Arbitrary, Debug)]
enum Scalar {
    Nothing,
    Number(i64),
    Fraction(f64),
    Text(String),
    List(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
struct Server {
    pid: Number,
    url: Url,
    key: Option<Key>,
    info: Option<Info>,
    stray: Option<Scalar>,
}

#[derive(Arbitrary, Debug)]
enum Number {
    Small(u8),
    Other(Scalar),
}

#[derive(Arbitrary, Debug)]
enum Url {
    Local { port: u32 },
    Named { scheme: Scheme, host: Host, port: Option<u64> },
    Ipc { path: String },
    Other(Scalar),
}

#[derive(Arbitrary, Debug)]
enum Scheme {
    None,
    Tcp,
    TcpInCapitals,
    Other(String),
}

#[derive(Arbitrary, Debug)]
enum Host {
    Name(String),
    V4(Ipv4Addr),
    V6 { address: Ipv6Addr, zone: Option<String>, brackets: Brackets },
    Wildcard,
}

#[derive(Arbitrary, Debug)]
enum Brackets {
    Both,
    One,
    None,
}

#[derive(Arbitrary, Debug)]
enum Key {
    One(KeyText),
    List(Vec<KeyText>),
}

#[derive(Arbitrary, Debug)]
enum KeyText {
    Right([u8; 32]),
    Other(Scalar),
}

#[derive(Arbitrary, Debug)]
enum Info {
    Scalar(Scalar),
    Object(Vec<(String, Scalar)>),
}

impl Draft {
    pub fn text(&self) -> String {
        let total = self.servers.len() as i64 + i64::from(self.off);
        let servers: Vec<Value> =
            self.servers.iter().map(|server| server.value(self.case)).collect();
        let mut object = Map::new();
        object.insert(self.case.of("total"), total.into());
        object.insert(self.case.of("Servers"), servers.into());
        if let Some(name) = &self.cluster {
            object.insert(self.case.of("cluster"), name.value());
        }
        if let Some(stray) = &self.stray {
            object.insert("Cluster".to_owned(), stray.value());
        }
        json!({self.case.of("object"): object}).to_string()
    }
}

impl Case {
    fn of(self, name: &str) -> String {
        match self {
            Self::Usual => name.to_owned(),
            Self::Upper => name.to_uppercase(),
            Self::Lower => name.to_lowercase(),
        }
    }
}

impl Scalar {
    fn value(&self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Number(number) => (*number).into(),
            Self::Fraction(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
            Self::List(list) => list.as_slice().into(),
        }
    }
}

impl Server {
    fn value(&self, case: Case) -> Value {
        let pid = match &self.pid {
            Number::Small(pid) => (*pid).into(),
            Number::Other(scalar) => scalar.value(),
        };
        let mut server = Map::new();
        server.insert(case.of("mypid"), pid);
        server.insert(case.of("url"), self.url.value());
        if let Some(key) = &self.key {
            server.insert(case.of("public_key"), key.value());
        }
        if let Some(info) = &self.info {
            server.insert(case.of("info"), info.value());
        }
        if let Some(stray) = &self.stray {
            server.insert("MyPid".to_owned(), stray.value());
        }
        server.into()
    }
}

impl Key {
    fn value(&self) -> Value {
        match self {
            Self::One(key) => key.value(),
            Self::List(keys) => keys.iter().map(KeyText::value).collect(),
        }
    }
}

impl KeyText {
    fn value(&self) -> Value {
        match self {
            Self::Right(bytes) => z85(bytes).into(),
            Self::Other(scalar) => scalar.value(),
        }
    }
}

impl Info {
    fn value(&self) -> Value {
        match self {
            Self::Scalar(scalar) => scalar.value(),
            Self::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), value.value())).collect()
            }
        }
    }
}

impl Url {
    fn value(&self) -> Value {
        match self {
            Self::Local { port } => format!("127.0.0.1:{port}").into(),
            Self::Named { scheme, host, port } => {
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                format!("{}{}{port}", scheme.text(), host.text()).into()
            }
            Self::Ipc { path } => format!("ipc:///{path}").into(),
            Self::Other(scalar) => scalar.value(),
        }
    }
}

impl Scheme {
    fn text(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Tcp => "tcp://".to_owned(),
            Self::TcpInCapitals => "TCP://".to_owned(),
            Self::Other(scheme) => format!("{scheme}://"),
        }
    }
}

impl Host {
    fn text(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::V4(address) => address.to_string(),
            Self::V6 { address, zone, brackets } => {
                let zone = zone.as_ref().map(|zone| format!("%{zone}")).unwrap_or_default();
                match brackets {
                    Brackets::Both => format!("[{address}{zone}]"),
                    Brackets::One => format!("[{address}{zone}"),
                    Brackets::None => format!("{address}{zone}"),
                }
            }
            Self::Wildcard => "*".to_owned(),
        }
    }
}

/// Bytes as Z85: five characters for four bytes.
fn z85(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 85] =
        b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    let words =
        bytes.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    let digits = words.flat_map(|word| {
        (0..5).rev().map(move |place| DIGITS[(word / 85_u32.pow(place) % 85) as usize] as char)
    });
    digits.collect()
}
