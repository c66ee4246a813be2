//! How a tensor's weights are stored.

/// The layouts of ggml that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are ggml's own")]
#[expect(non_camel_case_types, reason = "the names are ggml's own")]
pub enum TensorType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    Q8_K,
}

/// Kind, number in ggml, weights per block, bytes per block.
const TABLE: [(TensorType, u32, usize, usize); 14] = [
    (TensorType::F32, 0, 1, 4),
    (TensorType::F16, 1, 1, 2),
    (TensorType::Q4_0, 2, 32, 18),
    (TensorType::Q4_1, 3, 32, 20),
    (TensorType::Q5_0, 6, 32, 22),
    (TensorType::Q5_1, 7, 32, 24),
    (TensorType::Q8_0, 8, 32, 34),
    (TensorType::Q2_K, 10, 256, 84),
    (TensorType::Q3_K, 11, 256, 110),
    (TensorType::Q4_K, 12, 256, 144),
    (TensorType::Q5_K, 13, 256, 176),
    (TensorType::Q6_K, 14, 256, 210),
    (TensorType::Q8_K, 15, 256, 292),
    (TensorType::BF16, 30, 1, 2),
];

impl TensorType {
    /// The kinds that are read, for messages.
    pub const NAMES: &'static str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q8_K";

    /// Every kind.
    pub fn all() -> impl Iterator<Item = TensorType> {
        TABLE.iter().map(|row| row.0)
    }

    /// The kind of a number in ggml.
    pub fn from_number(number: u32) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == number).map(|row| row.0)
    }

    fn row(self) -> (u32, usize, usize) {
        TABLE.iter().find(|row| row.0 == self).map_or((0, 1, 4), |row| (row.1, row.2, row.3))
    }

    /// The kind's number in ggml.
    pub fn number(self) -> u32 {
        self.row().0
    }

    /// Weights in a block.
    pub fn block_weights(self) -> usize {
        self.row().1
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        self.row().2
    }

    /// Bytes of so many weights, which must fill whole blocks.
    pub fn bytes_for(self, weights: u64) -> Option<u64> {
        let (_, per_block, bytes) = self.row();
        if !weights.is_multiple_of(per_block as u64) {
            return None;
        }
        (weights / per_block as u64).checked_mul(bytes as u64)
    }
}
