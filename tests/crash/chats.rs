//! Chats like no other, and what should come of the files they are dropped in.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Numbers that look random and are the same for the same seed: Knuth's generator, of which the upper bits are good.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice(seed ^ 0x9E37_79B9_7F4A_7C15);
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).unwrap() % limit.max(1)
    }

    /// True so many times in a hundred.
    pub(crate) fn percent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }

    fn word(&mut self) -> String {
        const FRONT: [&str; 16] =
            ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "br", "st", "pl"];
        const BACK: [&str; 8] = ["a", "e", "i", "o", "u", "an", "el", "or"];
        (0..3).map(|_| format!("{}{}", FRONT[self.below(16)], BACK[self.below(8)])).collect()
    }

    fn words(&mut self, count: usize) -> String {
        (0..count).map(|_| self.word()).collect::<Vec<_>>().join(" ")
    }
}

/// One chat: its id, and its turns, which alternate between user and assistant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chat {
    pub(crate) id: String,
    pub(crate) turns: Vec<String>,
}

impl Chat {
    pub(crate) fn new(id: String, exchanges: usize, dice: &mut Dice) -> Self {
        let mut chat = Chat { id, turns: Vec::new() };
        (0..exchanges.max(1)).for_each(|_| chat.go_on(dice));
        chat
    }

    /// One more question and its answer: the chat becomes a revision of itself.
    pub(crate) fn go_on(&mut self, dice: &mut Dice) {
        self.turns.push(format!("What becomes of the {}?", dice.words(6)));
        self.turns.push(format!("The {} lies beyond the {}.", dice.words(9), dice.words(9)));
    }

    /// As our own format has it.
    pub(crate) fn text(&self) -> String {
        let turns: Vec<&str> = self.turns.iter().map(String::as_str).collect();
        crate::support::chat(&self.id, &turns)
    }

    /// As an element of a ShareGPT export.
    fn in_export(&self) -> Value {
        let from = ["human", "gpt"].into_iter().cycle();
        let turns: Vec<Value> =
            from.zip(&self.turns).map(|(from, turn)| json!({ "from": from, "value": turn })).collect();
        json!({ "id": self.id, "conversations": turns })
    }

    pub(crate) fn export(chats: &[Chat]) -> String {
        Value::from_iter(chats.iter().map(Chat::in_export)).to_string()
    }
}

/// A file that no daemon can learn from.
pub(crate) fn broken(dice: &mut Dice) -> Vec<u8> {
    let chat = Chat::new("broken".into(), 1, dice).text();
    match dice.below(5) {
        0 => chat.as_bytes()[..chat.len() / 2].to_vec(),
        1 => format!("[] {}", dice.word()).into_bytes(),
        2 => json!({ "note": dice.words(3) }).to_string().into_bytes(),
        3 => [b"\xff\xfe\x00".as_slice(), dice.words(4).as_bytes()].concat(),
        _ => json!([{ "id": "x", "conversations": [{ "from": "human", "value": { "not": dice.word() } }] }])
            .to_string()
            .into_bytes(),
    }
}

/// What must be there in the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    /// Every file that was dropped, by its inode, which renames keep.
    pub(crate) files: BTreeMap<u64, Dropped>,
    /// The sessions in good files by id, as long as they ever became.
    pub(crate) chats: BTreeMap<String, Chat>,
}

/// A file that was dropped.
#[derive(Debug, Clone)]
pub(crate) struct Dropped {
    pub(crate) name: String,
    pub(crate) hash: blake3::Hash,
    pub(crate) fate: Fate,
}

/// Where a file belongs in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    Failed,
    Either,
}

impl Expected {
    pub(crate) fn learn(&mut self, chat: &Chat) {
        let known = self.chats.entry(chat.id.clone()).or_insert_with(|| chat.clone());
        if known.turns.len() < chat.turns.len() {
            *known = chat.clone();
        }
    }
}
