//! The end of a server whose process is killed, as a test makes it.

use super::Server;
use crate::lifecycle::Order;

impl Server {
    /// Ends the server as if its process were killed: it says no goodbye, what its outboxes and its
    /// queues hold is gone, and its connections are closed. What had entered the inbox stays there, and
    /// what is on its way still arrives, as it does of a process.
    ///
    /// When this returns both threads have ended, and the server can be started again: another
    /// [`Session`](crate::Session), as after any restart. It takes the feature `testing`, and works
    /// over a [`Network`](crate::testing::Network) and over libzmq.
    ///
    /// # Panics
    ///
    /// Re-raises a panic of one of the threads.
    ///
    /// ```
    /// use raft_cluster::testing::Network;
    /// use raft_cluster::{Config, Event, Pid};
    ///
    /// let network = Network::new(4711);
    /// let config = Config::local(2);
    /// let (_mailbox_1, server_1) = network.start(&config, Pid::new(1))?;
    /// let (_mailbox_2, server_2) = network.start(&config, Pid::new(2))?;
    /// assert_eq!(server_1.events().recv()?, Event::Up(Pid::new(2)));
    /// server_2.abort();
    /// // It did not leave: half a second later it counts as down.
    /// assert_eq!(server_1.events().recv()?, Event::Down(Pid::new(2)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn abort(mut self) {
        if let Some(stop) = self.stop.take() {
            // A server that has ended by itself takes no orders.
            let _ = stop.try_send(Order::Abort);
        }
        drop(self.wait());
    }
}
