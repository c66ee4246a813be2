//! Seeded models of a few thousand weights, written as real GGUF files.

use std::path::Path;

use crate::training::gguf::{GgufWriter, TensorType, Value, pack_q8_0};

pub(crate) const LETTERS: usize = 256;

/// Writes a model with two blocks, ChatML tokens and a byte-level vocabulary without merges.
pub(crate) fn write(path: &Path, architecture: &str, seed: u64) {
    let (width, heads, kv_heads, wide, layers) = (64u64, 4u64, 2u64, 96u64, 2u64);
    let head = width / heads;
    let mut tokens: Vec<String> = vec!["<|endoftext|>".into(), "<|im_start|>".into(), "<|im_end|>".into()];
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 0x100;
    for byte in 0..=255u8 {
        let letter = if printable(byte) {
            char::from(byte)
        } else {
            next += 1;
            char::from_u32(next - 1).unwrap()
        };
        tokens.push(letter.into());
    }
    assert_eq!(tokens.len(), LETTERS + 3);
    tokens.extend(["th", "the", "Ġthe", "an"].map(String::from));
    tokens.push("<|unused|>".into());
    let vocabulary = tokens.len() as u64;
    let mut types = vec![1; tokens.len()];
    types[..3].fill(3);
    let mut file = GgufWriter::new();
    let text = |text: &str| Value::Text(text.into());
    file.pair("general.architecture", &text(architecture));
    let numbers = [
        ("block_count", layers),
        ("embedding_length", width),
        ("feed_forward_length", wide),
        ("attention.head_count", heads),
        ("attention.head_count_kv", kv_heads),
        ("context_length", 512),
    ];
    for (key, value) in numbers {
        file.pair(&format!("{architecture}.{key}"), &Value::Unsigned(value));
    }
    file.pair(&format!("{architecture}.attention.layer_norm_rms_epsilon"), &Value::F32(1e-5));
    file.pair(&format!("{architecture}.rope.freq_base"), &Value::F32(10_000.0));
    file.pair("tokenizer.ggml.model", &text("gpt2"));
    file.pair("tokenizer.ggml.pre", &text("smollm"));
    file.pair("tokenizer.ggml.tokens", &Value::Texts(tokens));
    file.pair("tokenizer.ggml.token_type", &Value::Integers(types));
    let merges = ["t h", "th e", "Ġ the", "a n"].map(String::from).to_vec();
    file.pair("tokenizer.ggml.merges", &Value::Texts(merges));
    file.pair("tokenizer.ggml.bos_token_id", &Value::Unsigned(1));
    file.pair("tokenizer.ggml.eos_token_id", &Value::Unsigned(2));

    let mut tensors: Vec<(String, Vec<u64>, TensorType)> = vec![
        ("token_embd.weight".into(), vec![width, vocabulary], TensorType::Q8_0),
        ("output_norm.weight".into(), vec![width], TensorType::F32),
    ];
    for layer in 0..layers {
        let mut add =
            |name: &str, sizes: Vec<u64>, kind| tensors.push((format!("blk.{layer}.{name}"), sizes, kind));
        add("attn_norm.weight", vec![width], TensorType::F32);
        add("ffn_norm.weight", vec![width], TensorType::F32);
        add("attn_q.weight", vec![width, heads * head], TensorType::F32);
        add("attn_k.weight", vec![width, kv_heads * head], TensorType::Q8_0);
        add("attn_v.weight", vec![width, kv_heads * head], TensorType::F32);
        add("attn_output.weight", vec![heads * head, width], TensorType::Q8_0);
        add("ffn_gate.weight", vec![width, wide], TensorType::F32);
        add("ffn_up.weight", vec![width, wide], TensorType::Q8_0);
        add("ffn_down.weight", vec![wide, width], TensorType::Q8_0);
        if architecture == "qwen2" {
            add("attn_q.bias", vec![heads * head], TensorType::F32);
            add("attn_k.bias", vec![kv_heads * head], TensorType::F32);
            add("attn_v.bias", vec![kv_heads * head], TensorType::F32);
        }
    }
    for (name, sizes, kind) in &tensors {
        file.tensor(name, sizes, *kind).unwrap();
    }
    let mut random = fastrand::Rng::with_seed(seed);
    file.write(path, &mut |tensor, put| {
        let count = tensor.weights() as usize;
        let norm = tensor.name.contains("norm");
        let size = if tensor.sizes.len() == 1 { 0.2 } else { 1.7 / (tensor.sizes[0] as f32).sqrt() };
        let values: Vec<f32> =
            (0..count).map(|_| f32::from(norm) + (random.f32() * 2.0 - 1.0) * size).collect();
        match tensor.kind {
            TensorType::Q8_0 => put(&pack_q8_0(&values)),
            _ => values.iter().try_for_each(|x| put(&x.to_le_bytes())),
        }
    })
    .unwrap();
}
