//! Values of which there is one copy each, so that they are copied and compared in no time: the
//! states of a search differ in few of their parts.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, Mutex};

/// A value out of a [`Pool`]. Equal ones out of the same pool are the same one.
#[derive(Debug)]
pub(super) struct Interned<T>(Arc<T>);

/// All values of a kind.
#[derive(Debug)]
pub(super) struct Pool<T>(Mutex<HashSet<Arc<T>>>);

impl<T: Eq + Hash> Pool<T> {
    pub(super) fn intern(&self, value: T) -> Interned<T> {
        let mut known = self.0.lock().unwrap();
        if let Some(known) = known.get(&value) {
            return Interned(Arc::clone(known));
        }
        let value = Arc::new(value);
        known.insert(Arc::clone(&value));
        Interned(value)
    }
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Clone for Interned<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Interned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> PartialEq for Interned<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Eq for Interned<T> {}

impl<T> Hash for Interned<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}
