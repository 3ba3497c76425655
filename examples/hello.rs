//! Two servers of one process greet each other: `cargo run --example hello`.
//!
//! It shows the way of every program on this library: configuration, start, send, receive, end. And
//! it shows the one default that may surprise: an inbox in which nothing arrives for two seconds
//! ends.

use std::error::Error;
use std::time::Instant;

use raft_cluster::{Config, Envelope, Event, Pid, Server};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);

fn main() -> Result<(), Box<dyn Error>> {
    // Every server knows the whole cluster. In real life this text is a file for `Config::load`,
    // the servers are processes on several hosts, and the urls are like "10.0.0.7:34465".
    let folder = tempfile::tempdir()?;
    let path = folder.path().display();
    let config: Config = format!(
        r#"{{"object": {{"total": 2, "Servers": [
            {{"mypid": 1, "url": "ipc://{path}/one"}},
            {{"mypid": 2, "url": "ipc://{path}/two"}}]}}}}"#
    )
    .parse()?;

    // A mailbox is what a server says and hears; the second half is the handle to its threads.
    // Server 1 has all defaults. Server 2 is told to listen for good, which most long-lived
    // services want.
    let (one, server_one) = Server::start(&config, ONE)?;
    let (two, server_two) = Server::builder(&config, TWO).idle_timeout(None).start()?;

    // A broadcast goes to every other server. It may be sent before anybody else has started.
    one.outbox.send(Envelope::broadcast("hello there"))?;
    let greeting = two.inbox.recv()?;
    println!("server 2 hears from server {}: {}", greeting.from, text(&greeting));
    two.outbox.send(Envelope::to(greeting.from, "hello yourself"))?;
    let answer = one.inbox.recv()?;
    println!("server 1 hears from server {}: {}", answer.from, text(&answer));

    // The idle timeout. Nobody says anything more, so the inbox of server 1 ends after two seconds,
    // as `Server::start` has it: that is for programs that are done when all is quiet. With
    // `Server::builder(..).idle_timeout(None)` an inbox ends only with its server or with its
    // peers.
    let silence = Instant::now();
    let ended = one.inbox.recv();
    println!(
        "server 1 waits {} seconds for more: {}",
        silence.elapsed().as_secs_f64().round(),
        if ended.is_err() { "its inbox has ended" } else { "something came" }
    );
    // What is sent to it now is not lost in silence: the sender gets it back, as an event.
    two.outbox.send(Envelope::to(ONE, "are you still there?"))?;
    let returned = server_two.events().iter().find_map(|event| match event {
        Event::Undeliverable { envelope, reason, .. } => Some((envelope, reason)),
        _ => None,
    });
    if let Some((envelope, reason)) = returned {
        println!("server 2 gets back: {} ({reason})", text(&envelope));
    }

    // Dropping the outbox says: nothing more to send. What it held is delivered first. A server
    // ends when its peers have said the same, and its report tells what became of all that it sent.
    drop((one.outbox, two.outbox));
    let (report_one, report_two) = (server_one.join(), server_two.join());
    println!("server 1 leaves {} messages undelivered", report_one.undelivered());
    println!("server 2 leaves {} messages undelivered", report_two.undelivered());
    Ok(())
}

/// A message is bytes; here they are text.
fn text(envelope: &Envelope) -> String {
    String::from_utf8_lossy(&envelope.msg).into_owned()
}
