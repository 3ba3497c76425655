//! A chat of several processes. In three terminals:
//!
//! ```sh
//! cargo run --example chat -- --pid 1
//! cargo run --example chat -- --pid 2
//! cargo run --example chat -- --pid 3
//! ```
//!
//! What is typed goes to all, what comes is printed, and the end of input (Ctrl-D) leaves. It shows
//! how a program waits for several things at once, and how it ends by letting go of its outbox.

use std::error::Error;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::Parser;
use crossbeam_channel::{Receiver, Sender, after, bounded, never, select};
use raft_cluster::{Config, Envelope, Event, Pid, Server};

/// How long a chat that has ended its input listens to those who still talk.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Parser)]
struct Arguments {
    /// Which server of the configuration to be
    #[arg(long)]
    pid: Pid,
    /// The servers of the chat
    #[arg(long, default_value = "config.json")]
    config: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let config = Config::load(arguments.config)?;
    // People fall silent for longer than two seconds, so there is no idle timeout. Who is not there
    // yet gets what was said before as soon as it comes.
    let (mailbox, server) =
        Server::builder(&config, arguments.pid).idle_timeout(None).linger(PATIENCE).start()?;
    eprintln!("server {} listens on {}", server.pid(), server.url());

    let typing = read_lines(mailbox.outbox);
    listen(&mailbox.inbox, server.events().clone(), typing);

    // Whatever is still on its way to peers that are there is waited for, `PATIENCE` at most.
    let report = server.shutdown();
    for peer in report.peers.iter().filter(|peer| !peer.undelivered.is_empty()) {
        eprintln!("{} lines have not reached server {}", peer.undelivered.len(), peer.pid);
    }
    Ok(())
}

/// Broadcasts what is typed. The channel that it returns ends with the input.
///
/// A thread of its own reads, because reading a terminal blocks. It takes the only outbox there is:
/// when it ends, the outbox is dropped, and that tells the peers that this server has left.
fn read_lines(outbox: Sender<Envelope>) -> Receiver<()> {
    let (open, typing) = bounded(0);
    thread::spawn(move || {
        let _open: Sender<()> = open;
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if outbox.send(Envelope::broadcast(line)).is_err() {
                return;
            }
        }
    });
    typing
}

/// Prints what comes until the inbox ends: once this server and all its peers have left. Peers that
/// go on talking, or never came, are not waited for longer than `PATIENCE` after the end of the own
/// input.
fn listen(inbox: &Receiver<Envelope>, mut events: Receiver<Event>, mut typing: Receiver<()>) {
    let mut leaving = never();
    loop {
        select! {
            recv(inbox) -> envelope => match envelope {
                Ok(envelope) => {
                    println!("{}: {}", envelope.from, String::from_utf8_lossy(&envelope.msg));
                }
                Err(_) => return,
            },
            // Events come through a channel of their own: one may be seen a little before or after
            // the messages around it.
            recv(events) -> event => match event {
                Ok(event) => eprintln!("{event}"),
                Err(_) => events = never(),
            },
            recv(typing) -> _ => {
                typing = never();
                leaving = after(PATIENCE);
            }
            recv(leaving) -> _ => return,
        }
    }
}
