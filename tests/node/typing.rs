//! `node` at a terminal: what is typed there is sent.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::process::Finished;
use crate::typist::Typist;

#[test]
fn a_line_is_broadcast_and_an_address_picks_one_server() {
    let cluster = Cluster::of(&[1, 2, 3]);
    let arguments = |pid| ["--pid", pid, "--json", "--linger=20"];
    let mut typists = ["1", "2", "3"].map(|pid| Typist::at(&mut cluster.command(&arguments(pid))));
    let [first, ..] = &mut typists;
    for line in ["good morning", "@3 only for you", "@x", "@3", "@9 who?", "@1 me?", "good bye"] {
        first.types(line);
    }
    typists.iter_mut().for_each(Typist::ends_input);

    let [first, second, third] = typists.map(|typist| typist.server.finish());
    let all = |text: &str| (Value::from("broadcast"), text.to_owned());
    let hello = all("hello there");
    let (morning, bye) = (all("good morning"), all("good bye"));
    let only = (Value::from(3), "only for you".to_owned());
    assert_eq!(heard_from(1, &second), [hello.clone(), morning.clone(), bye.clone()]);
    assert_eq!(heard_from(1, &third), [hello.clone(), morning, only, bye]);
    assert_eq!(heard_from(2, &first), [hello]);

    assert_eq!(first.stderr.len(), 4, "{:#?}", first.stderr);
    assert!(first.stderr[..2].iter().all(|line| line.contains("`@3 text`")), "{first:#?}");
    assert!(first.stderr[2].contains("server 9 is not a peer: the peers are 2, 3"), "{first:#?}");
    assert!(first.stderr[3].contains("server 1 is not a peer"), "{first:#?}");
}

#[test]
fn a_server_at_a_terminal_stays_until_its_input_ends() {
    let cluster = Cluster::of(&[1, 2]);
    let mut typist = Typist::at(&mut cluster.command(&["--pid=1", "--linger=0.2"]));
    let other = cluster.node(&["--pid=2", "--message=passing by"]);
    typist.server.stdout.until("peer 2 to all: passing by");
    typist.types("@2 are you there?");
    other.stdout.until("peer 1 to 2: are you there?");
    typist.ends_input();
    for server in [typist.server, other] {
        let Finished { code, stdout, stderr } = server.finish();
        assert_eq!((code, stderr), (Some(0), vec![]), "{stdout:#?}");
    }
}

#[test]
fn the_end_of_input_leaves_even_if_a_peer_stays() {
    let cluster = Cluster::of(&[1, 2]);
    let [mut leaves, mut stays] =
        ["--pid=1", "--pid=2"].map(|pid| Typist::at(&mut cluster.command(&[pid, "--linger=0.2"])));
    stays.server.stdout.until("peer 1 to all: hello there");
    leaves.server.stdout.until("peer 2 to all: hello there");
    leaves.ends_input();
    assert_eq!(leaves.server.finish().code, Some(0));
    stays.server.stdout.until("peer 1 has left");
    stays.ends_input();
    assert_eq!(stays.server.finish().code, Some(0));
}

/// What a server showed of another one's messages: for whom they were and what they said.
fn heard_from(pid: u32, listener: &Finished) -> Vec<(Value, String)> {
    assert_eq!(listener.code, Some(0), "{listener:#?}");
    let lines = listener.stdout.iter().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &Value| line["event"] == "message" && line["from"] == pid)
        .map(|line| (line["to"].clone(), line["msg"].as_str().unwrap().to_owned()))
        .collect()
}
