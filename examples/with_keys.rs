//! Servers that prove who they are: `cargo --config .cargo/curve.toml run --example with_keys`.
//!
//! Each server has a secret key, and the configuration lists the public ones. All traffic is
//! encrypted, and who has no listed key is not heard. This needs a libzmq with CURVE, which the
//! system's is and the one that is built by default is not.

use std::error::Error;
use std::time::Duration;

use raft_cluster::{
    Config, ConfigError, Envelope, Event, Pid, PublicKey, SecretKey, Server, libzmq,
};

const ONE: Pid = Pid::new(1);
const TWO: Pid = Pid::new(2);

fn main() -> Result<(), Box<dyn Error>> {
    if !libzmq().curve {
        println!("This is {}, and keys need one with CURVE. Link the system's:", libzmq());
        println!("    apt-get install libzmq3-dev        # on macOS: brew install zeromq");
        println!("    cargo --config .cargo/curve.toml run --example with_keys");
        return Ok(());
    }
    // In real life each secret key is made on its server's own host by `node keygen`, lies in a
    // file that only its owner can read (`SecretKey::load`), and never leaves it. Public keys are
    // no secret.
    let (key_one, key_two) = (SecretKey::generate()?, SecretKey::generate()?);
    let folder = tempfile::tempdir()?;
    let path = folder.path().display().to_string();
    let config = config(&path, key_one.public_key(), key_two.public_key())?;

    let start = |config, pid, key: &SecretKey| {
        // The linger is how long an ending server waits for those who do not answer: here, not at
        // all.
        let builder = Server::builder(config, pid).idle_timeout(None).linger(Duration::ZERO);
        builder.secret_key(key.clone()).start()
    };
    // A secret key that is not the one listed for the pid is found at the start.
    if let Err(error) = start(&config, TWO, &key_one) {
        println!("refused at the start: {error}");
    }

    let (one, server_one) = start(&config, ONE, &key_one)?;
    // An intruder on the place of server 2, whose own configuration lists a key of its own for it.
    let intruder_key = SecretKey::generate()?;
    let intruder_config = self::config(&path, key_one.public_key(), intruder_key.public_key())?;
    let (intruder, intruder_server) = start(&intruder_config, TWO, &intruder_key)?;
    intruder.outbox.send(Envelope::to(ONE, "let me in"))?;
    // Server 1 does not hear it, but says that somebody has tried.
    let rejected = server_one.events().iter().find(|it| matches!(it, Event::Rejected { .. }));
    if let Some(Event::Rejected { reason, .. }) = rejected {
        println!("rejected: {reason}");
    }
    drop(intruder_server);

    // The real server 2 is heard, and its messages cannot be read or forged on the way.
    let (two, server_two) = start(&config, TWO, &key_two)?;
    two.outbox.send(Envelope::to(ONE, "it is me"))?;
    let envelope = one.inbox.recv()?;
    println!("server {} says: {}", envelope.from, String::from_utf8_lossy(&envelope.msg));
    drop((one, two));
    server_one.join();
    server_two.join();
    Ok(())
}

/// The same as a file with `"public_key"` for every server.
fn config(path: &str, one: PublicKey, two: PublicKey) -> Result<Config, ConfigError> {
    // No character of a key needs a backslash in JSON.
    format!(
        r#"{{"object": {{"total": 2, "Servers": [
            {{"mypid": 1, "url": "ipc://{path}/one", "public_key": "{one}"}},
            {{"mypid": 2, "url": "ipc://{path}/two", "public_key": "{two}"}}]}}}}"#
    )
    .parse()
}
