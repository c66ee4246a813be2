//! Reading prose: what several stages share.
