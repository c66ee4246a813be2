//! Words that tell how somebody writes.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use crate::text::word_hash::{WordId, WordList, WordMap};

/// What a single word tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Please, thanks and the like.
    Polite,
    /// A term that people use who know a field.
    Term,
    /// Part of how people say that they are new to something.
    Hint,
}

const POLITE: &str = "please pls plz thanks thank thx kindly appreciate appreciated grateful cheers sorry apologies \
                      bitte danke merci gracias grazie obrigado obrigada bedankt alstublieft tack пожалуйста спасибо";

/// Terms of many fields; a text of an expert holds several in a hundred words, everyday talk hardly one.
const TERMS: &str = "abstraction adversarial aggregate algorithm algorithmic allocation allocator ambient amortized \
    anisotropic api appellate architecture arbitrage asymptotic async asynchronous atomic attribution autoregressive \
    backend backpressure backpropagation bandwidth baseline batch bayesian benchmark binary bytecode cache cached \
    caching callback canonical cardinality causal checkpoint classifier closure coefficient coercion collinearity \
    compiler compile-time concurrency concurrent confounder consensus constraint container convergence convex \
    correlation covariance covariant cryptographic cytokine daemon dataset deadlock decoder decoupled denormalized \
    dependency derivative deserialize deterministic differential discriminator disposition distributed downstream \
    eigenvalue eigenvector electrolyte embedding encoder endpoint entropy epistemic etiology eventual executor \
    exogenous federated fiduciary filesystem firmware foreign-key fragmentation gluten gradient heap heterogeneous \
    heteroscedasticity heuristic hydration hypervisor idempotent immutable implementation index inference inheritance \
    instrumentation integral interface invariant inverse isomorphic isolation iterator jurisdiction kernel kubernetes \
    latency latent lemma lifetime likelihood linear liquidity load-balanced logarithmic lookup macro manifold marginal \
    maillard matrix memoize metadata methodology microservice middleware migration monad mutable mutex namespace \
    nondeterministic normalization nullable optimistic optimizer orchestration orthogonal overhead parameter parametric \
    parser partition percentile permutation pharmacokinetics pipeline plaintiff pointer polymorphism polynomial \
    posterior preconditioner predicate preemption probabilistic procedural propagation protocol provenance proxy \
    quantization quantized quantum query race recursion recursive redundancy refactor reference regression \
    regularization reproducible rollback runtime scalability scheduler schema semantics serialization sharding \
    socket spectral stack stateful stateless stochastic subnet substrate symmetric synchronous syntax tensor theorem \
    thermodynamic thread threshold throughput tokenizer topology tort transaction transactional transformer transient \
    tuple upstream utilization variance vector vectorized virtualization volatility wavelength yield-to-maturity";

/// How people say that they are new to something, in lower case; each must stand in one sentence.
const NOVICE: [&str; 26] = [
    "i'm new to",
    "i am new to",
    "i’m new to",
    "i'm a beginner",
    "i am a beginner",
    "i’m a beginner",
    "total beginner",
    "complete beginner",
    "absolute beginner",
    "for beginners",
    "just started learning",
    "started learning",
    "never done this",
    "never used",
    "first time using",
    "my first time",
    "explain like i",
    "eli5",
    "in simple terms",
    "in simple words",
    "in plain english",
    "for dummies",
    "no idea how",
    "no idea what",
    "don't know anything about",
    "what does it mean",
];

/// Words of which each of the phrases above holds one.
const HINTS: &str = "new beginner beginners learning used using never first explain eli5 simple plain dummies idea anything mean";

static MEANINGS: LazyLock<WordList<Meaning>> = LazyLock::new(|| {
    let mut words = WordMap::default();
    for (list, meaning) in [(TERMS, Meaning::Term), (POLITE, Meaning::Polite), (HINTS, Meaning::Hint)] {
        for word in list.split_ascii_whitespace() {
            words.insert(WordId::of(word), meaning);
        }
    }
    words.into()
});

// The phrases are fixed, so the automaton is built; were it not, nobody would pass for new.
static NOVICES: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| AhoCorasick::new(NOVICE).ok());

/// What a lower-case word tells.
pub(super) fn meaning(word: WordId) -> Option<Meaning> {
    MEANINGS.get(word).copied()
}

/// Whether somebody says, in lower case, that they are new to something.
pub(super) fn is_novice(sentence: &str) -> bool {
    NOVICES.as_ref().is_some_and(|novices| novices.is_match(sentence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::words::runs;

    #[test]
    fn every_phrase_of_somebody_new_holds_a_word_that_hints_at_it() {
        for phrase in NOVICE {
            assert!(runs(phrase).iter().any(|run| meaning(run.id) == Some(Meaning::Hint)), "{phrase}");
            assert!(is_novice(&format!("well, {phrase} it")));
        }
    }
}
