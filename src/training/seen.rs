mod index;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::index::{COMMITTED, Index, NEAR, NOBODY};
use crate::session::{Identity, SessionKey};

/// The training examples of the whole corpus, by [`signature`](super::signature).
///
/// Filled from the state store when the daemon starts, and kept in step with it: [`reserve`](Self::reserve) when a
/// session is under way, then [`commit`](Self::commit) when it is durable or [`release`](Self::release) when it
/// failed. An example that a session in flight holds is seen by all others, so of two in flight with the same
/// example one gets it.
///
/// A session never meets its own examples: a revision is compared with the examples of all other sessions, and its
/// commit takes the place of what the earlier one left.
pub struct SeenExamples {
    index: Mutex<Index>,
}

impl SeenExamples {
    /// An empty index that holds at most `capacity` signatures (about 90 bytes each; nothing is set aside in
    /// advance). Beyond that the oldest are forgotten.
    pub fn new(capacity: usize) -> Self {
        SeenExamples { index: Mutex::new(Index::new(capacity)) }
    }

    /// An index filled with what earlier runs committed.
    pub fn load(capacity: usize, committed: impl IntoIterator<Item = (Identity, u64)>) -> Self {
        let mut index = Index::new(capacity);
        for (identity, signature) in committed {
            index.add(owner(&identity), COMMITTED, signature);
        }
        SeenExamples { index: Mutex::new(index) }
    }

    /// For each signature: whether another session than this one has, or holds, nearly the same example.
    pub fn near_duplicates(&self, session: &Identity, signatures: &[u64]) -> Vec<bool> {
        self.lock().near(signatures, owner(session))
    }

    /// Reserves examples for a session in flight. For each signature: whether the session got it, that is, no
    /// other session has nearly the same. What an earlier attempt at the same session (same key) held is
    /// released first, so a repetition changes nothing.
    pub fn reserve(&self, session: &Identity, key: &SessionKey, signatures: &[u64]) -> Vec<bool> {
        let (owner, holder) = (owner(session), holder(key));
        let mut index = self.lock();
        index.remove(owner, |entry| entry.holder == holder);
        let free: Vec<bool> = index.near(signatures, owner).into_iter().map(|near| !near).collect();
        for (signature, _) in signatures.iter().zip(&free).filter(|(_, free)| **free) {
            index.add(owner, holder, *signature);
        }
        free
    }

    /// The session is durable: exactly these are its examples now, whatever an earlier revision had.
    pub fn commit(&self, session: &Identity, key: &SessionKey, signatures: &[u64]) {
        let (owner, holder) = (owner(session), holder(key));
        let mut index = self.lock();
        // What was reserved, the last first as it stands in the session's chain, mostly is what is committed.
        let mut coming = signatures.iter().rev().peekable();
        index.remove(owner, |entry| {
            let stays = entry.holder == holder && coming.next_if_eq(&&entry.signature).is_some();
            if stays {
                entry.holder = COMMITTED;
                return false;
            }
            entry.holder == COMMITTED || entry.holder == holder
        });
        for signature in coming.rev() {
            index.add(owner, COMMITTED, *signature);
        }
    }

    /// The session did not make it: others may have what it reserved. What an earlier revision committed stays.
    pub fn release(&self, session: &Identity, key: &SessionKey) {
        let holder = holder(key);
        self.lock().remove(owner(session), |entry| entry.holder == holder);
    }

    /// Adds a committed example.
    pub fn insert(&self, session: &Identity, signature: u64) {
        self.lock().add(owner(session), COMMITTED, signature);
    }

    /// Forgets all examples of a session, committed and reserved.
    pub fn remove_session(&self, session: &Identity) {
        self.lock().remove(owner(session), |_| true);
    }

    /// Forgets everything, to be filled anew.
    pub fn clear(&self) {
        let mut index = self.lock();
        *index = Index::new(index.capacity);
    }

    /// How many signatures are held, committed and reserved.
    pub fn len(&self) -> usize {
        self.lock().live
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A panic elsewhere does not make the index unusable: each change is small, and a lost entry costs no more
    /// than a duplicate.
    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for SeenExamples {
    /// Room for a million examples.
    fn default() -> Self {
        SeenExamples::new(1_000_000)
    }
}

impl fmt::Debug for SeenExamples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeenExamples").field("len", &self.len()).finish()
    }
}

/// The examples of one session while it is cut up: finds near-duplicates within it.
#[derive(Default)]
pub struct OwnExamples {
    few: Vec<u64>,
    many: Option<Index>,
}

impl OwnExamples {
    /// Up to so many, comparing with each is cheaper than an index.
    const FEW: usize = 256;

    /// Adds an example; `false`, and nothing added, when there is nearly the same one already.
    pub fn add(&mut self, signature: u64) -> bool {
        let near = match &self.many {
            None => self.few.iter().any(|seen| (seen ^ signature).count_ones() <= NEAR),
            Some(index) => index.near(&[signature], NOBODY) == [true],
        };
        if near {
            return false;
        }
        if self.few.len() < Self::FEW {
            self.few.push(signature);
            return true;
        }
        let few = &self.few;
        let index = self.many.get_or_insert_with(|| {
            let mut index = Index::new(usize::MAX);
            few.iter().zip(1..).for_each(|(signature, owner)| index.add(owner, COMMITTED, *signature));
            index
        });
        let owner = index.live as u64 + 1;
        index.add(owner, COMMITTED, signature);
        true
    }
}

/// Sessions are told apart by the first 8 bytes of their identity, which is a hash.
fn owner(session: &Identity) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = session.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Two revisions of one session in flight at once are told apart by 4 bytes of their keys.
fn holder(key: &SessionKey) -> u32 {
    let [a, b, c, d, ..] = key.0;
    u32::from_le_bytes([a, b, c, d]).max(COMMITTED + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn who(n: u8) -> Identity {
        Identity([n + 1; 32])
    }

    fn key(n: u8) -> SessionKey {
        SessionKey([n + 1; 32])
    }

    fn has(seen: &SeenExamples, signature: u64, session: u8) -> bool {
        seen.near_duplicates(&who(session), &[signature]) == [true]
    }

    #[test]
    fn of_two_sessions_in_flight_one_gets_the_example_and_the_other_may_have_it_when_that_one_fails() {
        let seen = SeenExamples::default();
        assert_eq!(seen.reserve(&who(1), &key(1), &[0b1111, !0]), [true, true]);
        assert_eq!(seen.reserve(&who(2), &key(2), &[0b1000]), [false], "3 bits away from one in flight");
        seen.release(&who(1), &key(1));
        assert_eq!(seen.reserve(&who(2), &key(2), &[0b1000]), [true]);
        seen.commit(&who(2), &key(2), &[0b1000]);
        assert_eq!(seen.reserve(&who(1), &key(1), &[0b1111, !0]), [false, true]);
    }

    #[test]
    fn a_revision_does_not_meet_its_own_examples_and_its_commit_takes_their_place() {
        let seen = SeenExamples::load(100, [(who(1), 0), (who(1), 0xff)]);
        assert_eq!(seen.reserve(&who(1), &key(9), &[0, 0xffff]), [true, true]);
        assert!(has(&seen, 0xff, 2), "the earlier revision stands until the commit");
        seen.commit(&who(1), &key(9), &[0, 0xffff]);
        assert!(!has(&seen, 0xff, 2));
        assert!(has(&seen, 0xffff, 2));
        assert_eq!(seen.len(), 2);
        seen.reserve(&who(1), &key(10), &[0xff00_0000]);
        seen.release(&who(1), &key(10));
        assert_eq!(seen.len(), 2, "a failed revision leaves the earlier one as it was");
    }

    #[test]
    fn threads_that_race_for_one_example_get_it_once() {
        let seen = SeenExamples::default();
        let got = std::thread::scope(|scope| {
            let race = |n| {
                let seen = &seen;
                scope.spawn(move || seen.reserve(&who(n), &key(n), &[7, u64::from(n) << 32 | 0xff00])[0])
            };
            let racers: Vec<_> = (0..16).map(race).collect();
            racers.into_iter().filter_map(|racer| racer.join().ok()).filter(|got| *got).count()
        });
        assert_eq!(got, 1);
    }

    #[test]
    fn when_it_is_full_the_oldest_session_makes_room() {
        let seen = SeenExamples::new(4);
        for n in 0..100u8 {
            seen.insert(&who(n / 2), u64::from(n) * 0x0101_0101_0101_0101);
            assert!(seen.len() <= 4);
        }
        assert!(has(&seen, 99 * 0x0101_0101_0101_0101, 200));
        assert!(!has(&seen, 0, 200));
    }

    #[test]
    fn of_very_many_that_are_alike_the_oldest_makes_room_at_once() {
        let seen = SeenExamples::new(20_000);
        let began = std::time::Instant::now();
        for n in 0..60_000_u64 {
            seen.insert(&Identity(*blake3::hash(&n.to_le_bytes()).as_bytes()), 0x1234_5678_9abc | n << 48);
        }
        assert_eq!(seen.len(), 20_000);
        // A walk along the chains for each would take two thousand million steps.
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Reserve(u8, u8, Vec<u64>),
        Commit(u8, u8, Vec<u64>),
        Release(u8, u8),
        Remove(u8),
    }

    /// Signatures that are close to one another more often than not.
    fn signatures() -> impl Strategy<Value = Vec<u64>> {
        let one = (0..3u64, prop::collection::vec(0..64u32, 0..5))
            .prop_map(|(base, flips)| flips.iter().fold(base * 0x5555_1234_9999_7777, |s, bit| s ^ 1 << bit));
        prop::collection::vec(one, 0..5)
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let ids = || (0..4u8, 0..2u8);
        let step = prop_oneof![
            (ids(), signatures()).prop_map(|((who, key), s)| Step::Reserve(who, key, s)),
            (ids(), signatures()).prop_map(|((who, key), s)| Step::Commit(who, key, s)),
            ids().prop_map(|(who, key)| Step::Release(who, key)),
            (0..4u8).prop_map(Step::Remove),
        ];
        prop::collection::vec(step, 0..40)
    }

    proptest! {
        #[test]
        fn the_index_answers_as_a_plain_list_does(steps in steps()) {
            let seen = SeenExamples::default();
            // (session, holder, signature)
            let mut list: Vec<(u8, Option<u8>, u64)> = Vec::new();
            for step in steps {
                match step {
                    Step::Reserve(w, k, signatures) => {
                        list.retain(|e| (e.0, e.1) != (w, Some(k)));
                        let mut expected = Vec::new();
                        for s in &signatures {
                            let free = !list.iter().any(|e| e.0 != w && (e.2 ^ s).count_ones() <= NEAR);
                            expected.push(free);
                            list.extend(free.then_some((w, Some(k), *s)));
                        }
                        prop_assert_eq!(seen.reserve(&who(w), &key(k), &signatures), expected);
                    }
                    Step::Commit(w, k, signatures) => {
                        list.retain(|e| e.0 != w || e.1.is_some_and(|holder| holder != k));
                        list.extend(signatures.iter().map(|s| (w, None, *s)));
                        seen.commit(&who(w), &key(k), &signatures);
                    }
                    Step::Release(w, k) => {
                        list.retain(|e| (e.0, e.1) != (w, Some(k)));
                        seen.release(&who(w), &key(k));
                    }
                    Step::Remove(w) => {
                        list.retain(|e| e.0 != w);
                        seen.remove_session(&who(w));
                    }
                }
                prop_assert_eq!(seen.len(), list.len());
            }
        }

        #[test]
        fn within_a_session_few_and_many_examples_are_compared_alike(
            flips in prop::collection::vec((0..500u64, 0..64u32, 0..64u32), 300..600)
        ) {
            let (mut own, mut list) = (OwnExamples::default(), Vec::<u64>::new());
            for (base, a, b) in flips {
                let s = base.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 1 << a ^ 1 << b;
                let fresh = !list.iter().any(|seen| (seen ^ s).count_ones() <= NEAR);
                list.extend(fresh.then_some(s));
                prop_assert_eq!(own.add(s), fresh);
            }
        }
    }
}
