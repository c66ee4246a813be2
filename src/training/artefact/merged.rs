//! The base with the adapter merged in: adapted tensors as Q8_0, fine enough to keep the change, all others byte
//! for byte.

use std::collections::HashMap;
use std::path::Path;

use crate::training::gguf::{Gguf, GgufError, GgufWriter, TensorType, pack_q8_0};
use crate::training::model::{Adapter, Slot};

/// Writes the merged model. Tensors whose rows do not fill blocks of 32 are stored as `f32`.
pub fn write_merged(path: &Path, base: &Gguf, adapter: &Adapter) -> Result<(), GgufError> {
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
    file.write(path, &mut |tensor| {
        let Some(slot) = slots.get(&tensor.name) else { return base.bytes(&tensor.name) };
        let mut weights = base.floats(&tensor.name)?;
        if weights.len() != slot.inputs * slot.outputs {
            return Err(GgufError::Damaged(format!("the adapter does not fit {}", tensor.name)));
        }
        add_change(&mut weights, slot, adapter);
        Ok(match tensor.kind {
            TensorType::Q8_0 => pack_q8_0(&weights),
            _ => weights.iter().flat_map(|weight| weight.to_le_bytes()).collect(),
        })
    })
}

/// `W += scale · B·A`.
fn add_change(weights: &mut [f32], slot: &Slot, adapter: &Adapter) {
    let a = &adapter.values[slot.a.clone()];
    let b = &adapter.values[slot.b.clone()];
    for (row, b) in weights.chunks_exact_mut(slot.inputs).zip(b.chunks_exact(adapter.settings().rank)) {
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

            write_merged(&path("merged.gguf"), &file, &adapter).unwrap();
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
