use serde::{Deserialize, Serialize};

use super::Role;

/// One turn of a chat that is to be learned from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpokenTurn {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    #[serde(serialize_with = "crate::text::json::text")]
    pub text: String,
    /// Whether an assistant's turn is worth learning; others are context anyway.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub learn: bool,
}
