//! One server: it shows what arrives until its peers have left, or until it is told to leave.

use std::convert::Infallible;
use std::error::Error;
use std::io::{self, IsTerminal};
use std::panic;
use std::process::ExitCode;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, after, bounded, never, select, tick};
use raft_cluster::{Config, Envelope, Event, Mailbox, Monitor, Pid, Report, Server};

use crate::args::{Arguments, IdleTimeout, Seconds};
use crate::metrics::Metrics;
use crate::output::{Lines, Output};
use crate::reconfigure::{Files, Outcome, Reader, Reading, Request};
use crate::signals::{self, Orders};
use crate::watch::{self, Snapshot, Tester, Watched};
use crate::{INCOMPLETE, chain, complain, lead, terminal};

/// Starts the server `pid` and stays until it has ended.
pub(crate) fn run(
    arguments: &Arguments,
    config: &Config,
    pid: Pid,
) -> Result<ExitCode, Box<dyn Error>> {
    let started = Instant::now();
    let (leave, told_to_leave) = bounded(1);
    let (reread, told_to_reread) = bounded(1);
    let orders = Orders { leave, reread };
    signals::watch(orders.clone())?;
    let (IdleTimeout(idle_timeout), Seconds(linger)) = (arguments.idle_timeout, arguments.linger);
    let mut builder = Server::builder(config, pid).idle_timeout(idle_timeout).linger(linger);
    let files = Files::of(arguments, pid);
    let secret = files.secret_key()?;
    if let Some(secret) = secret.clone() {
        builder = builder.secret_key(secret);
    }
    let metrics = arguments.metrics.map(Metrics::bind).transpose()?;
    let (Mailbox { outbox, inbox, .. }, server) = builder.start()?;
    if let Some(metrics) = metrics {
        metrics.serve(server.monitor())?;
    }
    // The outbox is empty, so this does not wait; and it only fails where the inbox ends as well.
    let _ = outbox.send(Envelope::broadcast(arguments.message.clone()));
    let mut output = output(arguments, &server, &outbox, started)?;
    output.listening(server.url());
    let typing = heed_stdin(&Input::of(arguments), outbox, orders, server.monitor())?;
    let (requests, requested) = bounded(0);
    let reader = Reader { files, told_to_reread, requests };
    match arguments.watch_config {
        true => reader.start_to_watch(Reading::of(config, secret))?,
        false => reader.start()?,
    }
    let session = Session {
        pid,
        output,
        inbox,
        events: server.events().clone(),
        typing,
        linger,
        patience: never(),
        told_to_leave,
        monitor: server.monitor(),
        counting: if arguments.watched { tick(watch::TICK) } else { never() },
        ending: Ending::of(server, requested)?,
    };
    Ok(session.run())
}

/// Where the server says what happens to it.
fn output(
    arguments: &Arguments,
    server: &Server,
    outbox: &Sender<Envelope>,
    started: Instant,
) -> io::Result<Box<dyn Output>> {
    Ok(match arguments.watch {
        true => Box::new(Watched::start(server.monitor(), server.url(), outbox.clone(), started)?),
        false => Box::new(Lines::new(server.pid(), arguments.format(), started)),
    })
}

/// What stdin is to this server.
enum Input {
    /// Somebody types.
    Terminal,
    /// The parent says when to leave.
    Lead,
    /// The parent says when to send a test message, and when to leave.
    WatchedLead,
    /// The parent says what to send, and when to leave.
    Dictation,
    /// It is not read, or for keys only.
    Nothing,
}

impl Input {
    fn of(arguments: &Arguments) -> Self {
        if arguments.watch {
            Self::Nothing
        } else if arguments.watched {
            Self::WatchedLead
        } else if arguments.supervised {
            Self::Lead
        } else if arguments.dictated {
            Self::Dictation
        } else if io::stdin().is_terminal() {
            Self::Terminal
        } else {
            Self::Nothing
        }
    }
}

/// Begins to read stdin. The channel that it returns ends with what is typed or dictated, and so
/// does the outbox; where there is neither, the outbox ends here.
fn heed_stdin(
    input: &Input,
    outbox: Sender<Envelope>,
    orders: Orders,
    monitor: Monitor,
) -> io::Result<Receiver<()>> {
    match input {
        Input::Terminal => return terminal::read_lines(outbox, monitor),
        Input::Dictation => return lead::take_dictation(outbox, monitor),
        Input::WatchedLead => {
            lead::follow(orders, Some(Tester::new(monitor.pid(), outbox)))?;
        }
        Input::Lead => lead::follow(orders, None)?,
        Input::Nothing => {}
    }
    Ok(never())
}

/// All that a running server waits for.
struct Session {
    pid: Pid,
    output: Box<dyn Output>,
    inbox: Receiver<Envelope>,
    events: Receiver<Event>,
    /// Ends with the typed input.
    typing: Receiver<()>,
    linger: Duration,
    /// How long the peers may take to leave once the typed input has ended.
    patience: Receiver<Instant>,
    told_to_leave: Receiver<()>,
    monitor: Monitor,
    /// When to tell what is counted.
    counting: Receiver<Instant>,
    ending: Ending,
}

impl Session {
    fn run(mut self) -> ExitCode {
        loop {
            select! {
                recv(self.inbox) -> envelope => match envelope {
                    Ok(envelope) => self.show(Some(envelope), None),
                    Err(_) => {
                        self.inbox = never();
                        self.ending.begin();
                    }
                },
                recv(self.events) -> event => match event {
                    Ok(event) => self.show(None, Some(event)),
                    Err(_) => self.events = never(),
                },
                recv(self.typing) -> _ => {
                    self.typing = never();
                    self.patience = after(self.linger);
                }
                recv(self.patience) -> _ => self.ending.begin(),
                recv(self.told_to_leave) -> _ => self.ending.begin(),
                recv(self.counting) -> _ => {
                    self.output.counted(&Snapshot::of(self.pid, &self.monitor.stats()));
                }
                recv(self.ending.reconfigured) -> outcome => match outcome {
                    Ok(outcome) => self.output.reconfigured(&outcome),
                    Err(_) => self.ending.reconfigured = never(),
                },
                recv(self.ending.ended) -> _ => break,
            }
            if self.output.has_failed() {
                self.ending.begin();
            }
        }
        self.show(None, None);
        self.finish()
    }

    /// Shows what was taken out of the channels and what else waits in them.
    ///
    /// A peer is up before its first message and has left after its last one. The library puts each
    /// on its channel in that order, so the messages are collected before the events, and shown
    /// after them but before the goodbyes.
    fn show(&mut self, envelope: Option<Envelope>, event: Option<Event>) {
        let waiting = self.inbox.len();
        let envelopes: Vec<_> =
            envelope.into_iter().chain(self.inbox.try_iter().take(waiting)).collect();
        let events: Vec<_> = event.into_iter().chain(self.events.try_iter()).collect();

        let mut goodbyes = Vec::new();
        for (index, event) in events.iter().enumerate() {
            match event {
                Event::Left(peer) if !is_back(*peer, &events[index..]) => goodbyes.push(event),
                _ => self.output.event(event),
            }
        }
        envelopes.iter().for_each(|envelope| self.output.message(envelope));
        goodbyes.into_iter().for_each(|event| self.output.event(event));
    }

    fn finish(mut self) -> ExitCode {
        let pid = self.pid;
        let report = self.ending.join();
        self.output.stopped(&report);
        let shown = self.output.finish();
        if let Some(failure) = &report.failure {
            complain(&format!("server {pid} has failed: {}", chain(failure)));
        }
        if let Err(error) = &shown {
            complain(&format!("cannot write to stdout: {error}"));
        }
        ExitCode::from(status(&report, &shown))
    }
}

/// What the program ends with: all is well only where the server worked to its end, all that it
/// accepted was acknowledged, and all was shown.
fn status(report: &Report, shown: &io::Result<()>) -> u8 {
    match report.failure.is_none() && report.all_acknowledged() && shown.is_ok() {
        true => 0,
        false => INCOMPLETE,
    }
}

/// Whether a new process of the peer has come since it left.
fn is_back(peer: Pid, since: &[Event]) -> bool {
    since.contains(&Event::Up(peer)) || since.contains(&Event::Restarted(peer))
}

/// The thread that has the server: it reconfigures it when that is requested, and shuts it down in
/// the end. Meanwhile what arrives is still shown.
struct Ending {
    /// Dropped, it begins, and takes no more requests.
    begin: Option<Sender<Infallible>>,
    /// What came of each request.
    reconfigured: Receiver<Outcome>,
    /// Ends with the thread.
    ended: Receiver<Infallible>,
    thread: JoinHandle<Report>,
}

impl Ending {
    fn of(server: Server, requests: Receiver<Request>) -> io::Result<Self> {
        let (begin, begun) = bounded::<Infallible>(0);
        let (running, ended) = bounded::<Infallible>(0);
        // Without room: what came of a request has been taken before the thread goes on.
        let (tell, reconfigured) = bounded(0);
        let thread = thread::Builder::new().name("ending".into()).spawn(move || {
            let _running = running;
            serve(&server, &begun, requests, &tell);
            server.shutdown()
        })?;
        Ok(Self { begin: Some(begin), reconfigured, ended, thread })
    }

    /// Leaves in order; asked again, it goes on doing so.
    fn begin(&mut self) {
        self.begin = None;
    }

    /// What the server left behind. A panic of its threads goes on here.
    fn join(self) -> Report {
        self.thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    }
}

/// Carries out what is requested until the ending has begun.
fn serve(
    server: &Server,
    begun: &Receiver<Infallible>,
    mut requests: Receiver<Request>,
    tell: &Sender<Outcome>,
) {
    loop {
        select! {
            recv(begun) -> _ => return,
            recv(requests) -> request => match request {
                Ok(request) => request.carry_out(server, tell),
                Err(_) => requests = never(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use raft_cluster::{PeerStats, Stats};

    use super::*;

    fn report(failure: Option<io::Error>, accepted: u64, acknowledged: u64) -> Report {
        let mut peer = PeerStats::default();
        (peer.accepted, peer.acknowledged) = (accepted, acknowledged);
        let mut stats = Stats::default();
        stats.peers = vec![peer];
        let mut report = Report::default();
        (report.failure, report.stats) = (failure, stats);
        report
    }

    #[test]
    fn a_server_whose_socket_failed_has_not_ended_well() {
        let broken = || io::Error::other("the socket is broken");
        assert_eq!(status(&report(None, 4, 4), &Ok(())), 0);
        assert_eq!(status(&report(Some(broken()), 4, 4), &Ok(())), INCOMPLETE);
        assert_eq!(status(&report(None, 4, 3), &Ok(())), INCOMPLETE);
        assert_eq!(status(&report(None, 4, 4), &Err(broken())), INCOMPLETE);
    }
}
