//! Work for many: `cargo run --example worker_pool`.
//!
//! Server 1 hands out jobs, servers 2 and 3 do them with several threads each, and the results come
//! back. All three are in this process, where each would have one of its own. It shows how threads
//! share an inbox, how nobody is flooded, what becomes of the order, and who ends first.

use std::collections::BTreeMap;
use std::error::Error;
use std::thread;

use raft_cluster::{Config, Envelope, Event, Mailbox, Pid, Sender, Server};

const BOSS: Pid = Pid::new(1);
const THREADS: usize = 3;

/// How many jobs a server has at a time: one for each of its threads, and as many waiting in its
/// inbox.
const AHEAD: usize = 2 * THREADS;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().display();
    let config: Config = format!(
        r#"{{"object": {{"total": 3, "Servers": [
            {{"mypid": 1, "url": "ipc://{path}/one"}},
            {{"mypid": 2, "url": "ipc://{path}/two"}},
            {{"mypid": 3, "url": "ipc://{path}/three"}}]}}}}"#
    )
    .parse()?;
    // How long a job takes is anybody's guess, so a silence is no reason to end.
    let start = |pid| Server::builder(&config, pid).idle_timeout(None).start();
    let (boss, workers) = (start(BOSS)?, [start(Pid::new(2))?, start(Pid::new(3))?]);
    let jobs: Vec<u32> = (1..=40).map(|n| n * 1_000).collect();
    thread::scope(|scope| {
        for (mailbox, server) in workers {
            scope.spawn(move || work(&mailbox, server));
        }
        let (mailbox, server) = boss;
        let results = hand_out(&jobs, &mailbox, &server.peers())?;
        for (id, primes) in results.iter().filter(|(id, _)| *id % 10 == 0) {
            println!("job {id}: {primes} primes");
        }
        // Here the boss leaves, every result in its hands. That is the sign for the workers to end.
        Ok(())
    })
}

/// Has the jobs done, and returns the results by the numbers of their jobs.
///
/// A worker that dies takes its jobs with it: `Event::Down` and `Event::Restarted` tell, as the
/// example `failover` shows, and what it had would be handed out again.
fn hand_out(
    jobs: &[u32],
    mailbox: &Mailbox,
    workers: &[Pid],
) -> Result<BTreeMap<i64, usize>, Box<dyn Error>> {
    let mut jobs_left = (1..).zip(jobs);
    // Some jobs for everybody, then one for each result: who is fast gets more. And since so few
    // are on their way, they always fit into the inboxes. A thread that sends without a bound
    // before it reads would one day wait for room in its outbox, while its peers wait for it to
    // read.
    let mut free: Vec<Pid> = workers.iter().flat_map(|worker| [*worker; AHEAD]).collect();
    let mut results = BTreeMap::new();
    while results.len() < jobs.len() {
        for (worker, (id, job)) in free.drain(..).zip(jobs_left.by_ref()) {
            // The number of the job travels as `msg_id`, and comes back with the result.
            mailbox.outbox.send(Envelope::json(worker, job)?.with_id(id))?;
        }
        // Results come in the order in which threads finish. The map puts them into that of the
        // jobs.
        let result = mailbox.inbox.recv()?;
        free.push(result.from);
        results.insert(result.msg_id, result.parse_json()?);
    }
    Ok(results)
}

/// A server whose threads share one inbox, until the boss has left.
fn work(mailbox: &Mailbox, server: Server) {
    let pid = server.pid();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                // Both ends of a mailbox can be cloned. Each job goes to one thread, whichever is
                // free.
                let (inbox, outbox) = (mailbox.inbox.clone(), mailbox.outbox.clone());
                scope.spawn(move || inbox.iter().filter(|job| serve(job, &outbox)).count())
            })
            .collect();
        // The threads hold the outbox, so this server does not leave by itself, and its inbox does
        // not end. The boss leaves when nothing is left to do; a shutdown then ends the inbox.
        let over = |event: &Event| matches!(event, Event::Left(BOSS) | Event::Down(BOSS));
        let _ = server.events().iter().find(over);
        server.shutdown();
        let jobs: usize = threads.into_iter().filter_map(|thread| thread.join().ok()).sum();
        println!("server {pid} has done {jobs} jobs");
    });
}

/// Does one job, and tells whether the result is on its way.
fn serve(job: &Envelope, outbox: &Sender<Envelope>) -> bool {
    let Ok(below) = job.parse_json::<u32>() else { return false };
    let is_prime = |n: &u32| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0);
    let primes = (2..below).filter(is_prime).count();
    let result = Envelope::json(job.from, &primes);
    result.is_ok_and(|result| outbox.send(result.with_id(job.msg_id)).is_ok())
}
