//! Questions and answers: `cargo run --example request_reply`.
//!
//! Two processes ask each other at the same time, several threads each, and every question has a
//! deadline. Then server 2 is killed while it owes an answer, and started again.
//!
//! A thread that reads the inbox must never wait for room in an outbox. Else two servers that each
//! answer from there, while other threads ask, stop for good as soon as each waits for the other to
//! read. `Asker::answer` waits for nobody.

use std::env;
use std::error::Error;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use raft_cluster::{Asker, Config, Envelope, Mailbox, NoAnswer, Pid, Server};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);
const THREADS: usize = 4;
const QUESTIONS: usize = 500;
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    match env::args().nth(1) {
        Some(folder) => second(Path::new(&folder)),
        None => first(tempfile::tempdir()?.path()),
    }
}

/// Server 1, which also starts and kills server 2.
fn first(folder: &Path) -> Result<(), Box<dyn Error>> {
    let (mailbox, server) = start(folder, ONE)?;
    let asker = server.asker();
    thread::scope(|scope| {
        scope.spawn(|| serve(&mailbox, &asker));
        let two = story(&asker, folder);
        // The inbox ends with the server, and the thread that reads it with the inbox.
        server.shutdown();
        two.map(drop)
    })
}

fn story(asker: &Asker, folder: &Path) -> Result<Second, Box<dyn Error>> {
    // It need not be there to be asked: who asks waits for it, as long as there is time.
    let mut two = Second::start(folder)?;
    println!("server 1 got {} right answers", ask_many(asker, TWO));
    two.show_until("right answers")?;

    thread::scope(|scope| {
        scope.spawn(|| {
            let answer = shown(asker.ask(TWO, "keep this", PATIENCE));
            println!("server 1 asked one that was killed: {answer}");
        });
        two.show_until("keeps a question")?;
        two.kill()
    })?;
    let nobody = asker.ask(TWO, "is anybody there?", Duration::from_millis(100));
    println!("server 1 asked nobody: {}", shown(nobody));

    // What the dead one was asked its successor never sees, and what that one had asked was answered
    // to itself alone: the successor gets the answers to its own questions, all of them.
    let mut two = Second::start(folder)?;
    two.show_until("right answers")?;
    println!("server 1 asked the successor: {}", shown(asker.ask(TWO, "who is there?", PATIENCE)));
    Ok(two)
}

/// Server 2: it asks at once, and answers until nothing comes any more.
fn second(folder: &Path) -> Result<(), Box<dyn Error>> {
    let (mailbox, server) = start(folder, TWO)?;
    let asker = server.asker();
    thread::scope(|scope| {
        scope.spawn(|| serve(&mailbox, &asker));
        println!("server 2 got {} right answers", ask_many(&asker, ONE));
    });
    Ok(())
}

fn start(folder: &Path, pid: Pid) -> Result<(Mailbox, Server), Box<dyn Error>> {
    let path = folder.display();
    let config: Config = format!(
        r#"{{"object": {{"total": 2, "Servers": [
            {{"mypid": 1, "url": "ipc://{path}/one"}},
            {{"mypid": 2, "url": "ipc://{path}/two"}}]}}}}"#
    )
    .parse()?;
    // Who is killed says no goodbye, but is down when it has refused connections for half a second.
    Ok(Server::builder(&config, pid).idle_timeout(Some(PATIENCE)).start()?)
}

/// Answers what comes, until the server ends. Work that takes long belongs on other threads, as in
/// the example `worker_pool`.
fn serve(mailbox: &Mailbox, asker: &Asker) {
    for question in mailbox.inbox.iter().filter(Envelope::is_question) {
        if question.msg == "keep this" {
            println!("server 2 keeps a question");
        } else if let Err(error) = asker.answer(&question, question.msg.to_ascii_uppercase()) {
            // Too many answers wait for the peer, or it is the end: who asked has a deadline.
            eprintln!("an answer is given up: {error}");
        }
    }
}

/// Has several threads ask at once, and counts the right answers.
fn ask_many(asker: &Asker, peer: Pid) -> usize {
    let is_right = |n: &usize| {
        let answer = asker.ask(peer, format!("question {n}"), PATIENCE);
        answer.is_ok_and(|answer| answer.msg == format!("QUESTION {n}"))
    };
    let ask = || (0..QUESTIONS).filter(is_right).count();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).sum()
    })
}

fn shown(answer: Result<Envelope, NoAnswer>) -> String {
    let text = |answer: Envelope| String::from_utf8_lossy(&answer.msg).into_owned();
    answer.map_or_else(|error| error.to_string(), text)
}

/// Server 2 as a process of its own: this program again. It is killed when it goes out of scope.
struct Second(Child, BufReader<ChildStdout>);

impl Second {
    fn start(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let mut child =
            Command::new(env::current_exe()?).arg(folder).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or("its stdout is not piped")?;
        Ok(Self(child, BufReader::new(stdout)))
    }

    /// Shows what it prints up to the line with this text.
    fn show_until(&mut self, text: &str) -> io::Result<()> {
        loop {
            let mut line = String::new();
            if self.1.read_line(&mut line)? == 0 {
                return Err(io::Error::other("server 2 has ended"));
            }
            print!("{line}");
            if line.contains(text) {
                return Ok(());
            }
        }
    }

    fn kill(&mut self) -> io::Result<()> {
        self.0.kill()?;
        self.0.wait().map(drop)
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.kill();
    }
}
