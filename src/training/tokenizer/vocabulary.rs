//! The vocabulary of a GGUF file.

use std::collections::HashMap;

use super::TokenizerError;
use crate::training::gguf::{Gguf, Value};

/// `tokenizer.ggml.token_type`.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// Tokens, merges and special tokens.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// Token text (in byte-level BPE's alphabet, specials as they are) to id.
    pub(super) ids: HashMap<String, u32>,
    /// Pair of ids to rank and merged id.
    pub(super) merges: HashMap<(u32, u32), (u32, u32)>,
    /// Special tokens, and whether they steer the model (others are merely never split).
    pub(super) specials: Vec<(String, u32, bool)>,
    /// Tokens that end a turn or the text.
    pub(super) ends: Vec<u32>,
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) adds_bos: bool,
    pub(super) whole_words: bool,
    pub(super) size: usize,
}

/// Texts of tokens that end a turn in the families we know, besides the file's own end tokens.
const END_OF_TURN: [&str; 6] =
    ["<|im_end|>", "<|eot_id|>", "<|end|>", "<|endoftext|>", "<|end_of_text|>", "<end_of_turn>"];

impl Vocabulary {
    pub(super) fn read(file: &Gguf, pre: &str) -> Result<Self, TokenizerError> {
        let damaged = |what: &str| TokenizerError::Damaged(what.to_owned());
        let tokens = file
            .get("tokenizer.ggml.tokens")
            .and_then(Value::as_texts)
            .ok_or_else(|| damaged("it has no list of tokens"))?;
        if tokens.len() > 1 << 24 {
            return Err(damaged("it has too many tokens"));
        }
        let ids: HashMap<String, u32> =
            tokens.iter().enumerate().map(|(id, token)| (token.clone(), id as u32)).collect();
        let listed = file
            .get("tokenizer.ggml.merges")
            .and_then(Value::as_texts)
            .ok_or_else(|| damaged("it has no list of merges"))?;
        let mut merges = HashMap::with_capacity(listed.len());
        for (rank, merge) in listed.iter().enumerate() {
            // The first half may itself begin with a space-like sign, never with a plain space.
            let Some((left, right)) = merge.split_once(' ') else {
                return Err(damaged("a merge is not a pair"));
            };
            let whole = ids.get(&format!("{left}{right}"));
            if let (Some(left), Some(right), Some(whole)) = (ids.get(left), ids.get(right), whole) {
                merges.entry((*left, *right)).or_insert((rank as u32, *whole));
            }
        }
        let types = file.get("tokenizer.ggml.token_type").and_then(Value::as_integers).unwrap_or_default();
        let specials: Vec<(String, u32, bool)> = tokens
            .iter()
            .zip(types)
            .enumerate()
            .filter(|(_, (token, kind))| matches!(**kind, CONTROL | USER_DEFINED) && !token.is_empty())
            .map(|(id, (token, kind))| (token.clone(), id as u32, *kind == CONTROL))
            .collect();
        let id = |key: &str| {
            let id = file.get(key).and_then(Value::as_u64)?;
            u32::try_from(id).ok().filter(|id| (*id as usize) < tokens.len())
        };
        let eos = id("tokenizer.ggml.eos_token_id");
        let mut ends: Vec<u32> = eos.into_iter().chain(id("tokenizer.ggml.eot_token_id")).collect();
        ends.extend(specials.iter().filter(|(text, ..)| END_OF_TURN.contains(&text.as_str())).map(|s| s.1));
        let llama3 = matches!(pre, "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "pixtral");
        Ok(Vocabulary {
            ids,
            merges,
            specials,
            ends,
            bos: id("tokenizer.ggml.bos_token_id"),
            eos,
            adds_bos: file
                .get("tokenizer.ggml.add_bos_token")
                .and_then(Value::as_bool)
                .unwrap_or(matches!(pre, "llama-bpe" | "llama3" | "llama-v3")),
            whole_words: llama3,
            size: tokens.len(),
        })
    }
}
