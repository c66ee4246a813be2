//! Running a loop with the widest vectors this machine has.

/// Calls a function compiled for the machine at hand; what it calls must be `#[inline(always)]`.
#[inline(always)]
pub(super) fn widest<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}
