//! Questions and answers: every question ends, with the answer to itself or none, whatever the peer
//! does.

mod support;

use std::thread;
use std::time::Duration;

use raft_cluster::{Asker, Builder, Envelope, Event, Mailbox, NoAnswer, Pid, Reason, Server};
use support::load::await_stats;
use support::waits::{poll, within};
use support::{
    BOUND, Cluster, Transport, assert_ends, await_all_up, await_event, join, receive, shut_down,
};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);
const SHORT: Duration = Duration::from_millis(50);

fn small(builder: Builder<'_>) -> Builder<'_> {
    builder.idle_timeout(None).inbox_capacity(4).outbox_capacity(2).linger(SHORT)
}

fn start(cluster: &Cluster, pid: Pid) -> (Mailbox, Server) {
    small(cluster.builder(pid)).start().unwrap()
}

fn start_two(cluster: &Cluster) -> [(Mailbox, Server); 2] {
    let servers = [ONE, TWO].map(|pid| start(cluster, pid));
    servers.iter().for_each(|(_, server)| await_all_up(server));
    servers
}

/// Answers what comes until the inbox ends, and counts what is no question.
fn serve(mailbox: &Mailbox, asker: &Asker) -> usize {
    let answer = |question: &Envelope| {
        let msg = [b"re: ", &question.msg[..]].concat();
        // A question that finds no room for its answer is asked again.
        let _ = asker.answer(question, msg);
    };
    mailbox
        .inbox
        .iter()
        .filter(|envelope| {
            if envelope.is_question() {
                answer(envelope);
            }
            !envelope.is_question()
        })
        .count()
}

/// Asks until there is an answer: what finds no room for it is given up by who answers.
fn ask(asker: &Asker, peer: Pid, text: &str) -> Envelope {
    within(BOUND, format!("an answer to {text}"), || {
        loop {
            match asker.ask(peer, text.to_owned(), Duration::from_secs(1)) {
                Ok(answer) => return answer,
                Err(error) => assert_eq!(error, NoAnswer::TimedOut),
            }
        }
    })
}

#[test]
fn many_threads_of_both_ask_each_other_and_each_gets_its_own_answer() {
    const THREADS: usize = 4;
    const QUESTIONS: usize = 500;
    let cluster = Cluster::new(2, Transport::Tcp);
    let servers = start_two(&cluster);
    let asked = |(mailbox, server): &(Mailbox, Server), peer| {
        let asker = server.asker();
        let ask_many = |thread: usize| {
            for n in 0..QUESTIONS {
                let text = format!("{} {thread} {n}", server.pid());
                let answer = ask(&asker, peer, &text);
                assert_eq!(
                    (answer.from, &answer.msg[..]),
                    (peer, format!("re: {text}").as_bytes())
                );
            }
        };
        thread::scope(|scope| {
            let ask_many = &ask_many;
            let askers: Vec<_> =
                (0..THREADS).map(|thread| scope.spawn(move || ask_many(thread))).collect();
            askers.into_iter().for_each(|thread| thread.join().unwrap());
        });
        assert!(mailbox.inbox.len() <= 4);
    };
    thread::scope(|scope| {
        let readers = servers.each_ref().map(|(mailbox, server)| {
            let (inbox, asker) = (mailbox.clone(), server.asker());
            scope.spawn(move || serve(&inbox, &asker))
        });
        let [one, two] = servers.each_ref();
        thread::scope(|scope| {
            scope.spawn(|| asked(one, TWO));
            scope.spawn(|| asked(two, ONE));
        });
        for (mailbox, server) in servers {
            drop(mailbox);
            shut_down(server);
        }
        // No answer has entered an inbox.
        assert_eq!(readers.map(|reader| reader.join().unwrap()), [0, 0]);
    });
}

#[test]
fn a_question_ends_in_time_and_a_late_answer_is_nobodys() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let [(one, server_one), (two, server_two)] = start_two(&cluster);
    let asker = server_one.asker();
    for nobody in [ONE, Pid::new(9)] {
        assert_eq!(asker.ask(nobody, "you?", BOUND), Err(NoAnswer::NoSuchPeer));
    }
    assert_eq!(asker.ask(TWO, "first", SHORT), Err(NoAnswer::TimedOut));
    let first = receive(&two);
    assert_eq!((first.is_question(), &first.msg[..]), (true, &b"first"[..]));
    // The answer to the first comes before that to the second, and both before the message.
    let second = thread::scope(|scope| {
        let second = scope.spawn(|| asker.ask(TWO, "second", BOUND));
        let question = receive(&two);
        for question in [&first, &question] {
            two.outbox.send(question.reply(question.msg.clone())).unwrap();
        }
        second.join().unwrap().unwrap()
    });
    assert_eq!(second.msg, "second");
    assert_eq!(second.session, server_two.session());
    two.outbox.send(Envelope::to(ONE, "a message")).unwrap();
    let message = receive(&one);
    assert_eq!((message.is_question(), &message.msg[..]), (false, &b"a message"[..]));
    // A reply to what is no question is a message too.
    one.outbox.send(message.reply("a reply")).unwrap();
    let reply = receive(&two);
    assert_eq!((reply.is_question(), &reply.msg[..]), (false, &b"a reply"[..]));
    // So is an answer that was asked for by nobody.
    server_two.asker().answer(&reply, "another").unwrap();
    assert_eq!(receive(&one).msg, "another");
    drop((one, two));
    shut_down(server_one);
    shut_down(server_two);
}

#[test]
fn who_is_not_up_yet_is_waited_for_as_long_as_there_is_time() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let (_one, server_one) = start(&cluster, ONE);
    let asker = server_one.asker();
    assert_eq!(asker.ask(TWO, "too early", SHORT), Err(NoAnswer::TimedOut));
    let answer = thread::scope(|scope| {
        let answer = scope.spawn(|| asker.ask(TWO, "early", Duration::MAX));
        let (two, server_two) = start(&cluster, TWO);
        let question = receive(&two);
        server_two.asker().answer(&question, "here").unwrap();
        let answer = within(BOUND, "the answer", || answer.join().unwrap());
        drop(two);
        shut_down(server_two);
        answer
    });
    assert_eq!(answer.unwrap().msg, "here");
}

#[test]
fn who_goes_leaves_its_questions_unanswered_at_once_and_its_successor_never_sees_them() {
    let cluster = Cluster::new(2, Transport::Tcp);
    let [(_one, server_one), (two, server_two)] = start_two(&cluster);
    let asker = server_one.asker();
    // More than its inbox holds, so that most are still on their way.
    const OPEN: u64 = 12;
    let gone = thread::scope(|scope| {
        let asked: Vec<_> =
            (0..OPEN).map(|_| scope.spawn(|| asker.ask(TWO, "old", Duration::MAX))).collect();
        await_stats(&server_one, 2, |peer| peer.accepted == OPEN);
        poll("a full inbox", || two.inbox.len(), |held| *held == 4);
        shut_down(server_two);
        within(BOUND, "all to end", || {
            asked.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        })
    });
    for answer in gone {
        let is_gone = matches!(
            answer,
            Err(NoAnswer::PeerGone | NoAnswer::Undeliverable(Reason::InboxClosed))
        );
        assert!(is_gone, "{answer:?}");
    }
    let old_session = two.inbox.try_iter().last().unwrap();
    drop(two);
    let (two, server_two) = start(&cluster, TWO);
    let answer = thread::scope(|scope| {
        let answer = scope.spawn(|| asker.ask(TWO, "new", BOUND));
        let question = receive(&two);
        assert_eq!(question.msg, "new");
        // An answer to what its predecessor was asked is no answer to this.
        two.outbox.send(old_session.reply("old")).unwrap();
        two.outbox.send(question.reply("new")).unwrap();
        within(BOUND, "the answer", || answer.join().unwrap())
    });
    assert_eq!(answer.unwrap().msg, "new");
    shut_down(server_two);
}

#[test]
fn a_question_that_cannot_be_delivered_says_why() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let max_message = |builder: Builder<'_>| small(builder).max_message(1_000).start().unwrap();
    let [(_one, server_one), (two, server_two)] =
        [ONE, TWO].map(|pid| max_message(cluster.builder(pid)));
    let asker = server_one.asker();
    let too_large = asker.ask(TWO, vec![0; 1_001], BOUND);
    assert_eq!(too_large, Err(NoAnswer::Undeliverable(Reason::TooLarge)));
    assert!(too_large.unwrap_err().to_string().contains("larger"));
    drop(two.inbox);
    let closed = asker.ask(TWO, "still there?", BOUND);
    assert_eq!(closed, Err(NoAnswer::Undeliverable(Reason::InboxClosed)));
    // Who asked has been told: no event says it again.
    let came_back = server_one
        .events()
        .try_iter()
        .filter(|event| matches!(event, Event::Undeliverable { .. }))
        .count();
    assert_eq!(came_back, 0);
    shut_down(server_one);
    shut_down(server_two);
}

#[test]
fn a_question_that_is_sent_on_is_a_message() {
    let cluster = Cluster::new(3, Transport::Ipc);
    let servers = [1, 2, 3].map(|pid| start(&cluster, Pid::new(pid)));
    servers.iter().for_each(|(_, server)| await_all_up(server));
    let [(_one, server_one), (two, server_two), (three, server_three)] = servers;
    let (one_asks, two_asks) = (server_one.asker(), server_two.asker());
    thread::scope(|scope| {
        let answer = scope.spawn(|| one_asks.ask(TWO, "of server 1", BOUND));
        let mut question = receive(&two);
        // Server 2 asks too, by the same id, and sends on what it was asked.
        let other = scope.spawn(|| two_asks.ask(Pid::new(3), "of server 2", BOUND));
        let asked = receive(&three);
        assert_eq!((asked.msg_id, asked.is_question()), (question.msg_id, true));
        question.to = Pid::new(3).into();
        two.outbox.send(question.clone()).unwrap();
        let sent_on = receive(&three);
        assert_eq!((&sent_on.msg[..], sent_on.is_question()), (&b"of server 1"[..], false));
        three.outbox.send(sent_on.reply("to server 1")).unwrap();
        three.outbox.send(asked.reply("to server 2")).unwrap();
        let reply = receive(&two);
        two.outbox.send(question.reply(reply.msg)).unwrap();
        assert_eq!(answer.join().unwrap().unwrap().msg, "to server 1");
        assert_eq!(other.join().unwrap().unwrap().msg, "to server 2");
    });
    drop((two, three));
    [server_one, server_two, server_three].into_iter().for_each(|server| drop(shut_down(server)));
}

#[test]
fn a_question_that_is_sent_on_and_comes_back_ends_no_other() {
    const THREE: Pid = Pid::new(3);
    let cluster = Cluster::new(3, Transport::Ipc);
    let max_message = |pid| small(cluster.builder(pid)).max_message(1_000).start().unwrap();
    let servers = [ONE, TWO, THREE].map(max_message);
    servers.iter().for_each(|(_, server)| await_all_up(server));
    let [(_one, server_one), (two, server_two), (three, server_three)] = servers;
    let (one_asks, two_asks) = (server_one.asker(), server_two.asker());
    thread::scope(|scope| {
        let answer = scope.spawn(|| one_asks.ask(TWO, "of server 1", BOUND));
        let question = receive(&two);
        let other = scope.spawn(|| two_asks.ask(THREE, "of server 2", BOUND));
        let asked = receive(&three);
        assert_eq!(asked.msg_id, question.msg_id);
        let mut sent_on = question.clone();
        (sent_on.to, sent_on.msg) = (THREE.into(), vec![0; 1_001].into());
        two.outbox.send(sent_on).unwrap();
        let returned = within(BOUND, "what is too large to come back", || {
            server_two.events().iter().find_map(|event| match event {
                Event::Undeliverable { envelope, reason, .. } => Some((envelope.msg.len(), reason)),
                _ => None,
            })
        });
        assert_eq!(returned, Some((1_001, Reason::TooLarge)));
        three.outbox.send(asked.reply("to server 2")).unwrap();
        two.outbox.send(question.reply("to server 1")).unwrap();
        assert_eq!(answer.join().unwrap().unwrap().msg, "to server 1");
        assert_eq!(other.join().unwrap().unwrap().msg, "to server 2");
    });
    drop((two, three));
    [server_one, server_two, server_three].into_iter().for_each(|server| drop(shut_down(server)));
}

#[test]
fn a_question_and_an_answer_may_be_large() {
    let cluster = Cluster::new(2, Transport::Tcp);
    let [(_one, server_one), (two, server_two)] = start_two(&cluster);
    let asker = server_one.asker();
    for bytes in [200_000, 3_000_000] {
        let (question, answer) = (vec![1; bytes], vec![2; bytes]);
        let answered = thread::scope(|scope| {
            let answered = scope.spawn(|| asker.ask(TWO, question.clone(), BOUND));
            let asked = receive(&two);
            assert!(asked.is_question() && asked.msg[..] == question);
            server_two.asker().answer(&asked, answer.clone()).unwrap();
            answered.join().unwrap().unwrap()
        });
        assert!(answered.msg[..] == answer);
    }
    drop(two);
    shut_down(server_one);
    shut_down(server_two);
}

#[test]
fn with_the_server_or_its_inbox_questions_end_and_askers_keep_it_alive() {
    let cluster = Cluster::new(2, Transport::Ipc);
    let [(one, server_one), (two, server_two)] = start_two(&cluster);
    let (asker, other) = (server_one.asker(), server_two.asker());
    let open = {
        let asker = asker.clone();
        thread::spawn(move || asker.ask(TWO, "who answers?", Duration::MAX))
    };
    receive(&two);
    shut_down(server_one);
    let ended = |thread: thread::JoinHandle<_>| within(BOUND, "the end", || thread.join().unwrap());
    assert_eq!(ended(open), Err(NoAnswer::Ended));
    assert_eq!(asker.ask(TWO, "too late", BOUND), Err(NoAnswer::Ended));
    await_event(server_two.events(), &Event::Left(ONE));
    assert_ends(&one.inbox);

    // The other server has left nothing but its asker.
    drop((one, two.outbox));
    assert_eq!(other.ask(ONE, "are you back?", SHORT), Err(NoAnswer::TimedOut));
    drop(other);
    assert!(join(server_two).all_acknowledged());
    assert_ends(&two.inbox);
}
