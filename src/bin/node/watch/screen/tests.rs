//! A panic while the screen is on: it takes a terminal and a process of its own, which is this test
//! program again.

use std::env;
use std::io::Read;
use std::thread;

use crossbeam_channel::bounded;
use nix::sys::termios::tcgetattr;
use pty_process::blocking::{Command, open};

use super::{Screen, keep};

const PLAYS: &str = "RAFT_CLUSTER_TEST_PANICS";

/// The terminal is the shell's, so that it is there after the end of the process.
const SHELL: &str = r#""$@"; echo "that was $?"; read -r line"#;

#[test]
fn a_panic_of_any_thread_gives_the_terminal_back_before_it_is_told() {
    let (mut terminal, slave) = open().unwrap();
    let modes = tcgetattr(&terminal).unwrap();
    let this = env::current_exe().unwrap();
    let role = "watch::screen::tests::a_process_of_which_a_thread_panics";
    let mut shell = Command::new("sh")
        .args(["-c", SHELL, "sh"])
        .arg(this)
        .args(["--exact", role, "--ignored", "--nocapture"])
        .env(PLAYS, "1")
        .spawn(slave)
        .unwrap();
    let (mut parser, mut bytes) = (vt100::Parser::new(50, 120, 0), [0; 4096]);
    while !parser.screen().contents().contains("that was 0") {
        let count = terminal.read(&mut bytes).unwrap();
        parser.process(&bytes[..count]);
    }
    let contents = parser.screen().contents();
    for said in ["node: a complaint", "panicked at", "as a test", "went on"] {
        assert!(contents.contains(said), "{said} is not in {contents}");
    }
    assert!(!contents.contains("the table"), "{contents}");
    assert!(!parser.screen().alternate_screen() && !parser.screen().hide_cursor(), "{contents}");
    assert_eq!(tcgetattr(&terminal).unwrap(), modes);
    shell.kill().unwrap();
    shell.wait().unwrap();
}

#[test]
#[ignore = "it is played by the test above, in a process of its own"]
fn a_process_of_which_a_thread_panics() {
    if env::var_os(PLAYS).is_none() {
        return;
    }
    let (notes, _taken) = bounded(8);
    let mut screen = Screen::enter(notes).unwrap();
    let mut draw = || screen.draw(|frame| frame.render_widget("the table", frame.area()));
    draw().unwrap();
    assert!(keep("node: a complaint\n"));
    thread::spawn(|| panic!("as a test")).join().unwrap_err();
    // Whoever does not know of it yet draws no more.
    draw().unwrap();
    assert!(!keep("node: another complaint\n"));
    println!("went on");
}
