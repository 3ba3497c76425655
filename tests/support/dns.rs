//! A network and a DNS of a test's own: a network namespace whose resolver asks a server that runs
//! here, and that can be silent, slow, or of another mind than before.

use std::collections::HashMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, unbounded};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;

use super::waits::BOUND;

/// Where the resolver asks. Nobody else is in the namespace, so no port in it is taken.
const SERVER: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 53);

/// A name that is in the hosts file, for an address of IPv6.
pub const IPV6_NAME: &str = "six.test";

const RESPONSE: [u8; 2] = [0x81, 0x80];
const NO_SUCH_NAME: u8 = 3;
const TYPE_A: u16 = 1;
const HEADER: usize = 12;

/// What the server says about a name. Of those it has not been told, there are none.
#[derive(Clone, Debug)]
pub enum Answer {
    Addresses(Vec<Ipv4Addr>),
    NoSuchName { after: Duration },
    Silence,
}

/// The server. It ends when it goes out of scope.
pub struct Dns {
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    /// The names whose addresses have been asked for.
    asked: Receiver<String>,
    thread: Option<JoinHandle<()>>,
}

/// Does something in a network of its own, or says why there can be none here. What sockets,
/// threads and processes come of it stay there.
pub fn in_network_with_dns<T: Send>(action: impl FnOnce(&Dns) -> T + Send) -> Result<T, String> {
    let name = thread::current().name().unwrap_or("a test").to_owned();
    thread::scope(|scope| {
        let inside = move || Dns::start().map(|dns| action(&dns));
        let thread = thread::Builder::new().name(name).spawn_scoped(scope, inside).unwrap();
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Dns {
    /// Takes this thread to a new network and starts the server there.
    fn start() -> Result<Self, String> {
        if !Uid::effective().is_root() {
            return Err("only root can make network namespaces".to_owned());
        }
        enter_network()?;
        let socket = UdpSocket::bind(SERVER).unwrap();
        let answers = Arc::default();
        let (asks, asked) = unbounded();
        let zone = Arc::clone(&answers);
        let serve = move || serve(&socket, &zone, &asks);
        let thread = Some(thread::spawn(serve));
        Ok(Self { answers, asked, thread })
    }

    /// From now on the server says this about a name.
    pub fn set(&self, name: &str, answer: Answer) {
        lock(&self.answers).insert(name.to_owned(), answer);
    }

    /// From now on a name has these addresses.
    pub fn list(&self, name: &str, addresses: &[[u8; 4]]) {
        let addresses = addresses.iter().copied().map(Ipv4Addr::from).collect();
        self.set(name, Answer::Addresses(addresses));
    }

    /// How often the server has been asked for a name since this was called last.
    pub fn times_asked(&self, name: &str) -> usize {
        self.asked.try_iter().filter(|asked| asked == name).count()
    }

    /// Waits until the server is asked for a name.
    pub fn await_question(&self, name: &str) {
        while self.asked.recv_timeout(BOUND).expect("the server is asked") != name {}
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        // An empty question ends it.
        let asked = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map(|own| own.send_to(&[], SERVER));
        if let (Ok(Ok(_)), Some(thread)) = (asked, self.thread.take()) {
            // A panic in it has been printed.
            let _ = thread.join();
        }
    }
}

/// Gives this thread a loopback interface and files of its own that name the resolver.
fn enter_network() -> Result<(), String> {
    let error = |what: &str, error: nix::Error| format!("{what}: {error}");
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .map_err(|errno| error("no namespace can be made", errno))?;
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    if !up.as_ref().is_ok_and(std::process::ExitStatus::success) {
        return Err(format!("`ip link set lo up` fails: {up:?}"));
    }
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .map_err(|errno| error("mounts cannot be made private", errno))?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let hosts = format!("127.0.0.1 localhost\n::1 localhost {IPV6_NAME}\n");
    for (file, content) in [
        ("resolv.conf", "nameserver 127.0.0.1\n"),
        ("nsswitch.conf", "hosts: files dns\n"),
        ("hosts", hosts.as_str()),
    ] {
        let (own, real) = (folder.path().join(file), Path::new("/etc").join(file));
        std::fs::write(&own, content).map_err(|error| error.to_string())?;
        mount(Some(&own), &real, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|errno| error(&format!("{} cannot be replaced", real.display()), errno))?;
    }
    Ok(())
}

fn lock(answers: &Mutex<HashMap<String, Answer>>) -> MutexGuard<'_, HashMap<String, Answer>> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(socket: &UdpSocket, answers: &Mutex<HashMap<String, Answer>>, asks: &Sender<String>) {
    let mut packet = [0; 512];
    loop {
        let Ok((bytes, from)) = socket.recv_from(&mut packet) else { continue };
        let Some((name, kind, end)) = parse_question(&packet[..bytes]) else { return };
        if kind == TYPE_A {
            // Not every test looks.
            let _ = asks.send(name.clone());
        }
        let answer = lock(answers).get(&name).cloned();
        let answer = answer.unwrap_or(Answer::NoSuchName { after: Duration::ZERO });
        if let Some(response) = respond(&packet[..end], kind, &answer) {
            // Who asked may have given up.
            let _ = socket.send_to(&response, from);
        }
    }
}

/// The name and the type that are asked for, and where the question ends.
fn parse_question(packet: &[u8]) -> Option<(String, u16, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    while let length @ 1.. = usize::from(*packet.get(at)?) {
        labels.push(std::str::from_utf8(packet.get(at + 1..=at + length)?).ok()?);
        at += 1 + length;
    }
    let kind = packet.get(at + 1..at + 3)?.try_into().map(u16::from_be_bytes).ok()?;
    Some((labels.join(".").to_ascii_lowercase(), kind, at + 5))
}

fn respond(question: &[u8], kind: u16, answer: &Answer) -> Option<Vec<u8>> {
    let mut response = question.to_vec();
    response[2..4].copy_from_slice(&RESPONSE);
    // No records of any section but of the one question and of the answer.
    response[6..HEADER].fill(0);
    match answer {
        Answer::Silence => return None,
        Answer::NoSuchName { after: delay } => {
            // Only the time passes: nobody sends on this channel.
            let _ = after(*delay).recv();
            response[3] |= NO_SUCH_NAME;
        }
        Answer::Addresses(addresses) if kind == TYPE_A => {
            response[7] = addresses.len() as u8;
            for address in addresses {
                // The name of the question, type A, class IN, to be forgotten at once, 4 bytes.
                response.extend([0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
                response.extend(address.octets());
            }
        }
        Answer::Addresses(_) => {}
    }
    Some(response)
}
