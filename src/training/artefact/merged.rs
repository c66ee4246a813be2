//! The base with the adapter merged in: adapted tensors as Q8_0, fine enough to keep the change, all others byte
//! for byte.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::training::gguf::{Gguf, GgufError, GgufWriter, TensorInfo, TensorType, expand, pack_q8_0};
use crate::training::model::{Adapter, Slot};

/// Bytes of the base that are worked on at once: a stop waits for no more.
const PIECE: usize = 1 << 20;

/// Writes the merged model. Tensors whose rows do not fill blocks of 32 are stored as `f32`.
///
/// # Errors
/// [`GgufError::Stopped`] soon after `stop` was set; then, as with any error, what was written is no whole file.
pub fn write_merged(path: &Path, base: &Gguf, adapter: &Adapter, stop: &AtomicBool) -> Result<(), GgufError> {
    let slots: HashMap<String, &Slot> = adapter.slots().iter().map(|slot| (slot.tensor(), slot)).collect();
    let mut file = GgufWriter::with_metadata_of(base)?;
    for tensor in base.tensors() {
        let kind = match slots.get(&tensor.name) {
            None => tensor.kind,
            Some(slot) if slot.inputs.is_multiple_of(32) => TensorType::Q8_0,
            Some(_) => TensorType::F32,
        };
        file.tensor(&tensor.name, &tensor.sizes, kind)?;
    }
    file.write(path, &mut |tensor, put| {
        let mut go_on = |bytes: &[u8]| {
            if stop.load(Ordering::Relaxed) { Err(GgufError::Stopped) } else { put(bytes) }
        };
        match slots.get(&tensor.name) {
            None => base.pieces(&tensor.name, PIECE, &mut go_on),
            Some(slot) => changed(base, tensor, slot, adapter, &mut go_on),
        }
    })
}

/// The tensor's rows with the change, as they are to be stored.
fn changed(
    base: &Gguf,
    tensor: &TensorInfo,
    slot: &Slot,
    adapter: &Adapter,
    put: &mut dyn FnMut(&[u8]) -> Result<(), GgufError>,
) -> Result<(), GgufError> {
    let sizes = [slot.inputs as u64, slot.outputs as u64];
    let stored = base.tensor(&tensor.name).filter(|stored| stored.sizes == sizes);
    let unfit = || GgufError::Damaged(format!("the adapter does not fit {}", tensor.name));
    let kind = stored.ok_or_else(unfit)?.kind;
    let row = slot.inputs / kind.block_weights() * kind.block_bytes();
    let rows = (PIECE / row).max(1);
    let mut weights = Vec::new();
    let mut done = 0;
    base.pieces(&tensor.name, rows * row, &mut |bytes| {
        weights.resize(bytes.len() / row * slot.inputs, 0.0);
        expand(kind, bytes, &mut weights);
        add_change(&mut weights, done, slot, adapter);
        done += weights.len() / slot.inputs;
        match tensor.kind {
            TensorType::Q8_0 => put(&pack_q8_0(&weights)),
            _ => put(&weights.iter().flat_map(|weight| weight.to_le_bytes()).collect::<Vec<u8>>()),
        }
    })
}

/// `W += scale · B·A` for the rows of W from `first` on.
fn add_change(weights: &mut [f32], first: usize, slot: &Slot, adapter: &Adapter) {
    let a = &adapter.values[slot.a.clone()];
    let b = &adapter.values[slot.b.clone()];
    let b = b.chunks_exact(adapter.settings().rank).skip(first);
    for (row, b) in weights.chunks_exact_mut(slot.inputs).zip(b) {
        for (b, a) in b.iter().zip(a.chunks_exact(slot.inputs)) {
            let factor = adapter.scale() * b;
            for (weight, a) in row.iter_mut().zip(a) {
                *weight += factor * a;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::training::artefact::{read_adapter, write_adapter};
    use crate::training::model::{Base, Engine, EngineSettings, LoraSettings, Sequence, tiny};

    #[test]
    fn merged_and_adapted_models_say_the_same_and_the_rest_is_untouched() {
        for architecture in ["llama", "qwen2"] {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            tiny::write(&path("base.gguf"), architecture, 4);
            let file = Gguf::open(&path("base.gguf")).unwrap();
            let base = Arc::new(Base::load(&file).unwrap());
            let mut adapter = Adapter::new(base.shape(), LoraSettings { rank: 4, alpha: 8.0 }, 1);
            let mut random = fastrand::Rng::with_seed(2);
            adapter.values.iter_mut().for_each(|value| *value += (random.f32() - 0.5) * 0.3);

            write_adapter(&path("adapter.gguf"), base.shape(), &adapter, "test").unwrap();
            let adapter_file = Gguf::open(&path("adapter.gguf")).unwrap();
            assert_eq!(adapter_file.text("general.type").unwrap(), "adapter");
            assert_eq!(adapter_file.tensors().len(), 2 * 7 * 2);
            assert_eq!(adapter_file.tensor("blk.1.ffn_down.weight.lora_b").unwrap().sizes, [4, 64]);
            assert_eq!(read_adapter(&path("adapter.gguf"), base.shape()).unwrap(), adapter);
            assert!(Base::load(&adapter_file).is_err(), "an adapter is not a base");

            let stopped = write_merged(&path("merged.gguf"), &file, &adapter, &AtomicBool::new(true));
            assert!(matches!(stopped, Err(GgufError::Stopped)));
            write_merged(&path("merged.gguf"), &file, &adapter, &AtomicBool::new(false)).unwrap();
            let merged = Gguf::open(&path("merged.gguf")).unwrap();
            for name in ["token_embd.weight", "blk.0.attn_norm.weight", "output_norm.weight"] {
                assert_eq!(file.bytes(name).unwrap(), merged.bytes(name).unwrap());
            }
            let tokens: Vec<u32> = (10..50).collect();
            let text = [Sequence { tokens: &tokens, learn: &[true; 40] }];
            let loss = |base: Arc<Base>, adapter: Option<&Adapter>| {
                let mut engine = Engine::new(base, EngineSettings::default()).unwrap();
                engine.losses(adapter, &text).unwrap()[0].mean()
            };
            let plain = loss(base.clone(), None);
            let adapted = loss(base, Some(&adapter));
            let merged = loss(Arc::new(Base::load(&merged).unwrap()), None);
            assert!((plain - adapted).abs() > 0.1, "the adapter does something: {plain} {adapted}");
            assert!((adapted - merged).abs() < 0.02, "{adapted} {merged}");
        }
    }
}
