//! Signatures by their blocks, so that those near to one are found without looking at all.

use std::collections::{HashMap, VecDeque};

/// Signatures that differ in at most so many bits are of the same example.
pub(super) const NEAR: u32 = 3;
/// Two signatures within [`NEAR`] bits agree on at least one of so many 16-bit blocks.
const BLOCKS: u32 = 4;

/// Owner of nothing: a question in nobody's name is compared with all entries.
pub(super) const NOBODY: u64 = 0;

/// What an entry of a finished session has in place of a holder.
pub(super) const COMMITTED: u32 = 0;

/// Entry number, counted from 1; 0 is none.
type Slot = u32;

/// One signature. It stands in one bucket a block and in the chain of its session.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) signature: u64,
    owner: u64,
    /// `COMMITTED`, or who reserved it.
    pub(super) holder: u32,
    /// The next entry of the same session; of a free slot, the next free one.
    sibling: Slot,
}

/// An entry as it stands in the bucket of one block.
struct Sighting {
    /// The two blocks that follow, in a circle: they rule out nearly all that are not near.
    beside: u32,
    slot: Slot,
}

/// The signatures, in a bucket for each value of each of their four 16-bit blocks: whatever is within 3 bits shares
/// one. A bucket lies in one piece, since texts of one kind crowd a few of them. What came first stands first, so
/// that the oldest, which makes room, is found at once.
pub(super) struct Index {
    pub(super) capacity: usize,
    entries: Vec<Entry>,
    /// For each block and value, its place in `buckets` and 1; 0 where there is none. Empty until something is added.
    places: Vec<u32>,
    buckets: Vec<VecDeque<Sighting>>,
    /// First entry of each session.
    sessions: HashMap<u64, Slot>,
    free: Slot,
    /// How many entries are held.
    pub(super) live: usize,
    /// The next slot to give up when all are taken: they are filled, and so given up, in order of age.
    hand: usize,
}

impl Index {
    pub(super) fn new(capacity: usize) -> Self {
        Index {
            capacity: capacity.clamp(1, u32::MAX as usize - 1),
            entries: Vec::new(),
            places: Vec::new(),
            buckets: Vec::new(),
            sessions: HashMap::new(),
            free: 0,
            live: 0,
            hand: 0,
        }
    }

    /// For each signature, whether somebody else has one that is near.
    pub(super) fn near(&self, signatures: &[u64], except: u64) -> Vec<bool> {
        signatures
            .iter()
            .map(|signature| (0..BLOCKS).any(|block| self.shares(block, *signature, except)))
            .collect()
    }

    /// Whether one of those with the same block is near, and somebody else's.
    fn shares(&self, block: u32, signature: u64, except: u64) -> bool {
        let place = self.places.get(place(signature, block)).copied().unwrap_or(0);
        let Some(bucket) = self.buckets.get((place as usize).wrapping_sub(1)) else { return false };
        let beside = beside(signature, block);
        let is_near = |sighting: &Sighting| {
            (sighting.beside ^ beside).count_ones() <= NEAR && {
                let entry = &self.entries[sighting.slot as usize - 1];
                (entry.signature ^ signature).count_ones() <= NEAR && entry.owner != except
            }
        };
        let (older, newer) = bucket.as_slices();
        older.iter().any(is_near) || newer.iter().any(is_near)
    }

    pub(super) fn add(&mut self, owner: u64, holder: u32, signature: u64) {
        if self.places.is_empty() {
            self.places = vec![0; (BLOCKS as usize) << 16];
        }
        let slot = self.vacancy();
        for block in 0..BLOCKS {
            let place = &mut self.places[place(signature, block)];
            if *place == 0 {
                self.buckets.push(VecDeque::new());
                *place = self.buckets.len() as u32;
            }
            self.buckets[*place as usize - 1].push_back(Sighting { beside: beside(signature, block), slot });
        }
        let sibling = self.sessions.insert(owner, slot).unwrap_or(0);
        self.entries[slot as usize - 1] = Entry { signature, owner, holder, sibling };
        self.live += 1;
    }

    /// A slot to fill: a free one, a new one, or the oldest session makes room. It goes as a whole, so that the way
    /// along its chain is walked once.
    fn vacancy(&mut self) -> Slot {
        if self.free == 0 && self.entries.len() < self.capacity {
            self.entries.push(Entry { signature: 0, owner: 0, holder: 0, sibling: 0 });
            return self.entries.len() as Slot;
        }
        if self.free == 0 {
            let oldest = self.entries[self.hand].owner;
            self.hand = (self.hand + 1) % self.capacity;
            self.remove(oldest, |_| true);
        }
        let slot = self.free;
        self.free = self.entries[slot as usize - 1].sibling;
        slot
    }

    /// Removes those entries of a session that are wanted.
    pub(super) fn remove(&mut self, owner: u64, mut wanted: impl FnMut(&mut Entry) -> bool) {
        let mut kept = 0;
        let mut slot = self.sessions.remove(&owner).unwrap_or(0);
        while slot != 0 {
            let is_wanted = wanted(&mut self.entries[slot as usize - 1]);
            let entry = self.entries[slot as usize - 1];
            let chain = if is_wanted {
                (0..BLOCKS).for_each(|block| self.take_out(slot, entry.signature, block));
                self.live -= 1;
                &mut self.free
            } else {
                &mut kept
            };
            self.entries[slot as usize - 1].sibling = std::mem::replace(chain, slot);
            slot = entry.sibling;
        }
        if kept != 0 {
            self.sessions.insert(owner, kept);
        }
    }

    fn take_out(&mut self, slot: Slot, signature: u64, block: u32) {
        let place = self.places[place(signature, block)];
        let bucket = &mut self.buckets[place as usize - 1];
        if let Some(at) = bucket.iter().position(|sighting| sighting.slot == slot) {
            bucket.remove(at);
        }
    }
}

/// Where in `places` a signature's bucket of a block is found.
fn place(signature: u64, block: u32) -> usize {
    (block as usize) << 16 | (signature >> (16 * block)) as u16 as usize
}

/// The two blocks that follow on one, in a circle.
fn beside(signature: u64, block: u32) -> u32 {
    signature.rotate_right(16 * (block + 1)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_takes_fifty_six_bytes_and_what_its_buckets_have_to_spare() {
        assert_eq!(size_of::<Entry>() + BLOCKS as usize * size_of::<Sighting>(), 56);
    }
}
