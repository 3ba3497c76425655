//! Bytes that Rust and libzmq own together: the one room with unsafe code.

use std::ffi::c_void;
use std::io;
use std::panic::{self, AssertUnwindSafe};

use bytes::Bytes;

use super::held::{Counted, Held};

/// How many bytes libzmq reads at once. A message that came as part of them keeps them all.
const READ: usize = 8 * 1024;

/// A received message as `Bytes`: without a copy, unless it is small. Else one that waits for the
/// application would keep whatever came with it, of which the window knows nothing.
pub(super) fn into_bytes(message: zmq::Message) -> Bytes {
    struct Owner(zmq::Message);

    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    if message.len() < READ {
        return Bytes::copy_from_slice(&message);
    }
    Bytes::from_owner(Owner(message))
}

/// A body that libzmq holds.
struct Lent {
    /// Dropped first: it counts until it is gone.
    _body: Bytes,
    _counted: Counted,
}

/// Sends `body` as the last part of a message, without a copy. It counts among what is `held` until
/// libzmq lets go of it.
#[allow(unsafe_code, reason = "libzmq takes shared memory through its C interface alone")]
pub(super) fn send(socket: &mut zmq::Socket, body: Bytes, held: &Held) -> io::Result<()> {
    let (data, len) = (body.as_ptr(), body.len());
    let hint = Box::into_raw(Box::new(Lent { _counted: held.count(len), _body: body }));
    let mut message = zmq_sys::zmq_msg_t::default();
    // SAFETY: `data` points to `len` bytes that neither move nor change while the `Bytes` in `hint`
    // is alive, wherever that is, and libzmq only reads them, since the message is sent. Once the
    // init has succeeded the message owns `hint`: libzmq calls `release` when it drops its last
    // reference to the message, once, on this thread or one of its own, and at the latest when it
    // closes the socket or ends the context; if the process ends first, never. However late that
    // is, the box borrows nothing, both its parts are `Send`, and `release` touches neither socket
    // nor context. `message` stays where it is from the init to the send, which empties it. When a
    // call fails nothing else owns `hint` (a failed init) or the message (a failed send), and it is
    // let go of here.
    unsafe {
        let data = data.cast_mut().cast::<c_void>();
        let rc = zmq_sys::zmq_msg_init_data(
            &mut message,
            data,
            len,
            Some(release),
            hint.cast::<c_void>(),
        );
        if rc == -1 {
            let error = io::Error::last_os_error();
            drop(Box::from_raw(hint));
            return Err(error);
        }
        if zmq_sys::zmq_msg_send(&mut message, socket.as_mut_ptr(), zmq::DONTWAIT) == -1 {
            let error = io::Error::last_os_error();
            zmq_sys::zmq_msg_close(&mut message);
            return Err(error);
        }
    }
    Ok(())
}

#[allow(unsafe_code, reason = "the other half of `send`")]
unsafe extern "C" fn release(_data: *mut c_void, hint: *mut c_void) {
    // SAFETY: `hint` is the box that `send` made, and libzmq calls this once.
    let lent = unsafe { Box::from_raw(hint.cast::<Lent>()) };
    // The application may own these bytes, and its `Drop` may panic: not across C.
    let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(lent)));
}
