//! `adapter.gguf`, as llama.cpp and its relatives load it.

use std::path::Path;

use crate::training::gguf::{Gguf, GgufError, GgufWriter, TensorType, Value};
use crate::training::model::{Adapter, LoraSettings, ModelError, Shape};

/// Writes an adapter for a base of some shape.
pub fn write_adapter(path: &Path, shape: &Shape, adapter: &Adapter, name: &str) -> Result<(), GgufError> {
    let mut file = GgufWriter::new();
    let text = |text: &str| Value::Text(text.to_owned());
    file.pair("general.architecture", &text(shape.architecture.as_str()));
    file.pair("general.type", &text("adapter"));
    file.pair("general.name", &text(name));
    file.pair("adapter.type", &text("lora"));
    file.pair("adapter.lora.alpha", &Value::F32(adapter.settings().alpha));
    let rank = adapter.settings().rank as u64;
    let mut ranges = Vec::with_capacity(2 * adapter.slots().len());
    for slot in adapter.slots() {
        let tensor = slot.tensor();
        file.tensor(&format!("{tensor}.lora_a"), &[slot.inputs as u64, rank], TensorType::F32)?;
        file.tensor(&format!("{tensor}.lora_b"), &[rank, slot.outputs as u64], TensorType::F32)?;
        ranges.extend([slot.a.clone(), slot.b.clone()]);
    }
    let mut ranges = ranges.into_iter();
    file.write(path, &mut |_, put| {
        let values = ranges.next().and_then(|range| adapter.values.get(range)).unwrap_or_default();
        values.iter().try_for_each(|value| put(&value.to_le_bytes()))
    })
}

/// Reads an adapter back, for a base of some shape. A matrix that others' trainers left alone changes nothing.
pub fn read_adapter(path: &Path, shape: &Shape) -> Result<Adapter, ModelError> {
    let file = Gguf::open(path)?;
    if file.text("adapter.type")? != "lora" {
        return Err(ModelError::Unsupported("an adapter that is not LoRA".into()));
    }
    if file.text("general.architecture")? != shape.architecture.as_str() {
        return Err(ModelError::Inconsistent("the adapter is for another architecture".into()));
    }
    let alpha = file.float("adapter.lora.alpha")?;
    let rank = rank(&file)?;
    let mut adapter = Adapter::new(shape, LoraSettings { rank, alpha }, 0);
    adapter.values.fill(0.0);
    let mut known = 0;
    for slot in adapter.slots().to_vec() {
        let names = ["lora_a", "lora_b"].map(|part| format!("{}.{part}", slot.tensor()));
        if names.iter().all(|name| file.tensor(name).is_none()) {
            continue;
        }
        for (name, range) in names.iter().zip([slot.a.clone(), slot.b.clone()]) {
            let values = file.floats(name)?;
            if values.len() != range.len() {
                return Err(ModelError::Inconsistent(format!("{name} does not fit the base")));
            }
            adapter.values[range].copy_from_slice(&values);
        }
        known += 2;
    }
    if known != file.tensors().len() {
        let what = "an adapter that changes more than attention and feed-forward matrices";
        return Err(ModelError::Unsupported(what.into()));
    }
    Ok(adapter)
}

/// The rank that all pairs have.
fn rank(file: &Gguf) -> Result<usize, ModelError> {
    let of = |suffix: &str| file.tensors().iter().find(|tensor| tensor.name.ends_with(suffix));
    let tensor = of(".lora_a").ok_or_else(|| GgufError::Tensor("*.lora_a".into()))?;
    let rank = tensor.sizes.get(1).copied().unwrap_or(0);
    if !(1..=1024).contains(&rank) {
        return Err(ModelError::Inconsistent(format!("the adapter's rank is {rank}")));
    }
    Ok(rank as usize)
}
