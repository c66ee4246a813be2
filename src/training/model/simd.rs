//! Running a loop with the widest vectors this machine has, or narrower ones where that is wanted.

use std::sync::OnceLock;

use pulp::Arch;

static CHOSEN: OnceLock<Arch> = OnceLock::new();

/// The vectors that are used by this process.
#[inline(always)]
pub(super) fn vectors() -> Arch {
    *CHOSEN.get_or_init(Arch::new)
}

/// Leaves AVX-512 alone, to see how a machine without it fares. For the whole process, and only before the first engine
/// is made; false where it is too late, or the machine has no AVX2.
pub fn without_avx512() -> bool {
    narrower().is_some_and(|arch| CHOSEN.set(arch).is_ok())
}

/// AVX2, where the machine has it.
pub(super) fn narrower() -> Option<Arch> {
    #[cfg(target_arch = "x86_64")]
    return pulp::x86::V3::try_new().map(Arch::V3);
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// Calls a function compiled for the machine at hand; what it calls must be `#[inline(always)]`.
#[inline(always)]
pub(super) fn widest<R>(work: impl FnOnce() -> R) -> R {
    vectors().dispatch(work)
}
