use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::session::Identity;

/// The identities that are under way. Two files of the same chat are worked on one after the other, so that the
/// second sees what the first left in the ledger.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    taken: Mutex<HashMap<Identity, Arc<Notify>>>,
}

/// Gives the identities back when dropped.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    from: &'a Reservations,
    identities: Vec<Identity>,
}

impl Reservations {
    /// Waits until all of these identities are free, and takes them.
    pub(super) async fn take(&self, mut identities: Vec<Identity>) -> Reserved<'_> {
        identities.sort_unstable();
        identities.dedup();
        let mut reserved = Reserved { from: self, identities: Vec::with_capacity(identities.len()) };
        // Taken one by one in a fixed order: two files that share several identities cannot wait for each other.
        for identity in identities {
            while let Some(taken) = self.try_take(identity) {
                taken.notified().await;
            }
            reserved.identities.push(identity);
        }
        reserved
    }

    /// `None` once taken, else whom to wait for. The waiter is registered before the lock is let go.
    fn try_take(&self, identity: Identity) -> Option<WaitFor> {
        use std::collections::hash_map::Entry;
        match self.lock().entry(identity) {
            Entry::Vacant(free) => {
                free.insert(Arc::new(Notify::new()));
                None
            }
            Entry::Occupied(taken) => Some(WaitFor(taken.get().clone())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, Arc<Notify>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct WaitFor(Arc<Notify>);

impl WaitFor {
    async fn notified(self) {
        self.0.notified().await;
        // One permit is stored by `notify_one`; it is handed on, so that every waiter wakes and tries again.
        self.0.notify_one();
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut taken = self.from.lock();
        for identity in &self.identities {
            if let Some(waiters) = taken.remove(identity) {
                waiters.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn files_of_the_same_chat_never_run_side_by_side_and_all_get_their_turn() {
        let reservations = Arc::new(Reservations::default());
        let inside = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..200_usize {
            let (reservations, inside) = (reservations.clone(), inside.clone());
            tasks.spawn(async move {
                let both = [Identity([0; 32]), Identity([1; 32])];
                let wanted = if n % 3 == 0 { both.to_vec() } else { vec![both[n % 2]] };
                let _reserved = reservations.take(wanted.iter().rev().copied().collect()).await;
                for identity in &wanted {
                    assert_eq!(inside[usize::from(identity.0[0])].fetch_add(1, Ordering::SeqCst), 0);
                }
                tokio::task::yield_now().await;
                for identity in &wanted {
                    inside[usize::from(identity.0[0])].fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert!(reservations.lock().is_empty());
    }
}
