//! The families of explicit statements: what sets each off, how it reads, and how sure it is.
//!
//! Patterns run on evened text (lower case, straight apostrophes). In them `<i>` is the speaker as a subject, `<adv>`
//! any adverbs, `<o>` the object up to the end of the sentence (it is trimmed later), and a blank any white space.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

use crate::session::Polarity::{self, Against, For};
use crate::text::trigger::{Gate, ascii};

/// How the object of a rule is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A noun phrase or gerund behind the verb; pronouns and things at hand do not count.
    Thing,
    /// As `Thing`, with an alternative that the polarity is turned against.
    Versus,
    /// A phrase that stands in front of the verb.
    Subject,
    /// What the pattern captured, as it is.
    Fixed,
    /// An order to the assistant: lasting by its wording, or about how it talks, or else weak.
    Order,
    /// As `Order`, with what shall be used instead of what.
    Exchange,
    /// A name for the speaker.
    Address,
}

/// One way to state a preference.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) kind: &'static str,
    pub(super) polarity: Polarity,
    pub(super) strength: f64,
    pub(super) shape: Shape,
    /// Lower-case pieces of which one stands in every match; `'` stands for the typographic apostrophe too.
    pub(super) triggers: &'static [&'static str],
    pub(super) pattern: &'static str,
}

impl Rule {
    /// Whether it reads an order to the assistant.
    pub(super) fn is_order(&self) -> bool {
        self.kind == "instruction"
    }

    /// What must stand around the rule's triggers, as its pattern demands.
    pub(super) fn gate(&self) -> Gate {
        if self.pattern.starts_with("<start>") || self.pattern.starts_with("(?:<start>|") {
            return Gate::Order;
        }
        if self.pattern.contains("as an?") {
            return Gate::Open;
        }
        let subject = [
            "<i>", "<im>", "<ive>", "<were>", "<been>", "<have>", "(?:<i", "(?:<were", "(?:<been",
            "(?:<have", r"\bi ", r"(?:\bi ",
        ];
        if subject.iter().any(|opening| self.pattern.starts_with(opening)) {
            Gate::Subject
        } else {
            Gate::Open
        }
    }
}

/// The compiled pattern of the rule of this number. Each is compiled when it is first needed, once in a process: most
/// sessions need few.
pub(super) fn pattern(number: usize) -> Option<&'static Regex> {
    static PATTERNS: [OnceLock<Option<Regex>>; RULES.len()] = [const { OnceLock::new() }; RULES.len()];
    let rule = RULES.get(number)?;
    // The patterns are fixed, and a test compiles them all.
    PATTERNS
        .get(number)?
        .get_or_init(|| RegexBuilder::new(&written_out(rule.pattern)).dfa_size_limit(1 << 19).build().ok())
        .as_ref()
}

const fn rule(
    kind: &'static str,
    polarity: Polarity,
    strength: f64,
    shape: Shape,
    triggers: &'static [&'static str],
    pattern: &'static str,
) -> Rule {
    Rule { kind, polarity, strength, shape, triggers, pattern }
}

/// Writes out the short forms of a pattern.
pub(super) fn written_out(pattern: &str) -> String {
    let mut full = pattern.to_owned();
    for (short, long) in SHORT_FORMS {
        full = full.replace(short, long);
    }
    ascii(full)
}

/// In this order: later ones may stand in earlier ones.
const SHORT_FORMS: [(&str, &str); 20] = [
    (
        "<start>",
        concat!(
            r"(?:^<intro>|[,;:–—-]\s*|\b(?:you to|you should|you must|remember to) ",
            r"|^(?:can|could|would|will) you |(?:^<intro>|[,.;] ?)(?:please )?(?:make|be) sure (?:to|you|that you) )(?:(?:please|pls|kindly|just|also|then|and|so),? )*",
            r"(?:(?:from now on|from here on|going forward|in (?:the )?future|in general|generally|henceforth),? )?",
            r"(?:(?:please|pls|kindly|just),? )*",
        ),
    ),
    (
        "<intro>",
        concat!(
            r"(?:(?:and|but|so|also|ok|okay|well|oh|ugh|hey|hi|yes|yeah|no|personally|honestly|frankly|actually|btw|sorry|",
            r"please|pls|thanks|great|note|ps|to be honest|by the way|one more thing|just so you know|for the record|",
            r"in general|generally)[ ,:]+)*",
        ),
    ),
    ("<i>", r"\b(?:i|we)"),
    ("<im>", r"\b(?:i'm|i am|im|we're|we are)"),
    ("<ive>", r"\b(?:i've|i have|ive|we've|we have)"),
    ("<not>", r"(?:don't|do not|dont|do n't)"),
    ("<cant>", r"(?:can't|cannot|can not|cant|couldn't)"),
    (
        "<adv>",
        concat!(
            r"(?:(?:really|just|honestly|personally|generally|usually|mostly|always|also|still|absolutely|truly|actually|do|",
            r"definitely|strongly|strictly|religiously|certainly|genuinely|particularly|especially|kind of|kinda|sort of|",
            r"normally|typically|often|simply|quite|rather|totally|completely|utterly|very much|much|so|literally|deeply|",
            r"both|now|sometimes|secretly|greatly|highly|severely|deathly|mildly|slightly|extremely|badly|very|super|",
            r"pretty|too|all|even|thoroughly|clearly|currently|lately|mainly|primarily|almost|nearly) )*",
        ),
    ),
    ("<o>", r"(?P<object>\S(?s:.*))"),
    (
        "<use>",
        concat!(
            r"(?:use|eat|drink|buy|wear|read|write|watch|fly|listen to|drive|cook|cook with|work with|work in|code in|run|",
            r"travel|travel with|travel by|stay in|stay at|shop at|order|smoke|take|train|trust|book|choose|pick|go for|",
            r"play|program in|develop in|pay with|pay in|sleep in|sleep on|sit in)",
        ),
    ),
    (
        "<big>",
        r"(?:(?:big|huge|great|massive|real|true|total|lifelong|long-time|longtime|major|avid|such a|particular) )?",
    ),
    (
        "<fear>",
        r"(?:(?:strong|real|deep|big|huge|slight|serious|severe|bit of a|personal|total|irrational|clear|general|mild) )*",
    ),
    (
        "<diet>",
        concat!(
            r"(?:vegans?|vegetarians?|pescatarian|pescetarian|pescatarians|flexitarian|coeliac|celiac|teetotal|teetotall?er|carnivore|",
            r"gluten[- ]free|dairy[- ]free|lactose[- ]free|plant[- ]based)",
        ),
    ),
    (
        "<eating>",
        concat!(
            r"(?:kosher|halal|keto|paleo|vegan|vegetarian|low[- ]carb|low[- ]fodmap|low[- ]fat|low[- ]sodium|gluten[- ]free|",
            r"dairy[- ]free|lactose[- ]free|sugar[- ]free|plant[- ]based|mediterranean|high[- ]protein|whole30|raw)",
        ),
    ),
    (
        "<imp>",
        concat!(
            r"(?:answer|respond|reply|use|write|give|include|add|explain|show|cite|format|keep|put|end|start|begin|make|provide|",
            r"return|speak|talk|call|address|refer|tell|ask|say|assume|stick|translate|convert|comment|name|wrap|indent|",
            r"quote|mention|list|suggest|recommend|apologi[sz]e|swear|repeat|avoid|be|send|generate|create|produce|output|",
            r"summari[sz]e|number|spell|capitali[sz]e|document|annotate|leave|skip|propose|offer|treat|follow|highlight|",
            r"correct|double-check|check|think|state|specify|print|choose|pick|warn|remind|greet|switch|remove|omit|drop|",
            r"interrupt|judge|lecture|hallucinate|invent|make up|guess|sugarcoat|patroni[sz]e|link|prefer|do|round|sign|",
            r"order|book|cook|plan|let|test|type|consider|break|lie|flatter|agree|pretend|sound|act)",
        ),
    ),
    (
        "<imping>",
        concat!(
            r"(?:using|saying|apologi[sz]ing|giving|adding|asking|repeating|writing|including|making|calling|putting|being|",
            r"telling|suggesting|explaining|responding|answering|talking|assuming|lecturing|ending|starting|doing|",
            r"summari[sz]ing|sending|showing|listing|recommending|rewriting|hallucinating|guessing|treating|addressing|",
            r"patroni[sz]ing|inventing|interrupting|agreeing|flattering|mentioning|offering|reminding|providing|switching|",
            r"with)",
        ),
    ),
    (
        "<short>",
        concat!(
            r"(?:short(?:er)?|brief(?:er)?|concise|simple(?:r)?|succinct|formal|informal|casual|polite|friendly|professional|",
            r"light|clean|minimal|honest|direct|blunt|precise|detailed|thorough|technical|to the point|on point|terse|",
            r"high[- ]level|beginner[- ]friendly|straightforward|crisp|snappy|compact|long(?:er)?|plain|strict|",
            r"critical|playful|funny|serious|neutral|patient|encouraging)",
        ),
    ),
    (
        "<talk>",
        r"(?:answers?|repl(?:y|ies)|responses?|messages?|explanations?|summar(?:y|ies)|sentences|texts?|code|outputs?|tone|language|wording)",
    ),
    (
        "<tongue>",
        concat!(
            r"(?:(?:simple|plain|british|american|easy|formal|informal|brazilian|basic|swiss|high) )?",
            r"(?:english|german|french|spanish|italian|portuguese|dutch|polish|russian|ukrainian|turkish|arabic|hebrew|",
            r"hindi|urdu|bengali|chinese|mandarin|cantonese|japanese|korean|vietnamese|thai|indonesian|swedish|norwegian|",
            r"danish|finnish|czech|slovak|hungarian|romanian|bulgarian|greek|croatian|serbian|catalan|latin|welsh|irish|",
            r"tamil|telugu|persian|farsi|swahili|tagalog|bullet points|plain text|markdown|simple terms|layman's terms|",
            r"lower ?case|full sentences|short sentences|metric|deutsch|español|français)\b",
        ),
    ),
    (
        "<manner>",
        concat!(
            r"(?:emojis?|emoticons?|bullet(?:[- ]points?|s)?|lists?|jargon|markdown|disclaimers?|headings?|headers|tables?|bold|",
            r"slang|fillers?|fluff|preambles?|exclamation (?:marks?|points?)|em[- ]dash(?:es)?|hashtags?|latex|swear words?|",
            r"passive voice|long answers?|explanations?|caveats?|apolog\w+|pleasantries|flattery|compliments|intros?|",
            r"introductions?|outros?|conclusions?|summar(?:y|ies)|follow-up questions|buzzwords|acronyms|abbreviations|",
            r"clich[eé]s|metaphors|warnings|moralizing|walls? of text|corporate speak|technical terms|code blocks?|",
            r"contractions|puns|jokes|sarcasm|anglicisms|footnotes|placeholders)",
        ),
    ),
];

/// All rules. Where two match the same words, the stronger counts.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    rule("dislike", Against, 0.9, Shape::Thing,
        &["hate", "detest", "loathe", "despise", "abhor", "dislike", "t stand ", "not stand ",
          "t bear ", "not bear ", "t tolerate ", "not tolerate ", "t abide "],
        r"(?:<i> <adv>|^<intro>)(?:hate|detest|loathe|despise|abhor|dislike|<cant> (?:stand|bear|tolerate|abide)) <o>"),
    rule("dislike", Against, 0.75, Shape::Thing,
        &["t like ", "not like ", "lly like ", "t enjoy", "not enjoy", "lly enjoy", "t much like",
          "t much enjoy", "care for ", "particularly "],
        r"<i> <adv><not> <adv>(?:particularly )?(?:like|enjoy|care for) <o>"),
    rule("dislike", Against, 0.75, Shape::Thing,
        &["never "],
        r"<ive> never (?:really |much |particularly )?(?:liked|enjoyed|loved|cared for|(?:been )(?:much )?(?:into|an? <big>fan of|fond of|keen on)) <o>"),
    rule("dislike", Against, 0.75, Shape::Thing,
        &["fan of", "into ", "interested in", "keen on", "fond of", "crazy about", "big on",
          "lover of", "comfortable with", "one for "],
        r"(?:<im> <adv>|^<intro>)not <adv>(?:an? <big>(?:fan|lover|friend) of|into|interested in|keen on|fond of|crazy about|big on|comfortable with|one for) <o>"),
    rule("dislike", Against, 0.65, Shape::Thing,
        &["afraid of", "scared of", "terrified of"],
        r"<im> <adv>(?:afraid|scared|terrified) of <o>"),
    rule("dislike", Against, 0.75, Shape::Thing,
        &["aversion", "dislike ", "fear of", "phobia of", "hatred"],
        r"<i>(?: <adv>have| have got|'ve got|'ve| suffer from| struggle with) (?:an? )?<fear>(?:aversion (?:to|towards|against)|dislike (?:of|for|to)|fear of|phobia of|hatred (?:of|for)) <o>"),
    rule("dislike", Against, 0.75, Shape::Thing,
        &["interest in", "patience for", "love for", "desire to"],
        r"<i>(?: <adv>have| have got|'ve got|'ve) (?:absolutely |really )?(?:no|zero|little) (?:interest in|patience for|love for|desire to) <o>"),
    rule("avoid", Against, 0.75, Shape::Thing,
        &["avoid", "steer clear", "away from", "stay clear", "keep clear"],
        r"<i> <adv>(?:(?:try|tend|prefer|do my best) (?:hard )?to )?<adv>(?:avoid|steer clear of|stay away from|keep away from|stay clear of|shy away from|keep clear of) <o>"),
    rule("refuse", Against, 0.8, Shape::Thing,
        &["refuse to"],
        r"<i> <adv>refuse to <o>"),
    rule("refuse", Against, 0.65, Shape::Thing,
        &["won't ", "will not ", "will never", "would never"],
        r"<i> (?:won't|will not|will never|would never) (?:ever )?(?:eat|drink|touch|use|wear|buy|fly|watch|smoke) <o>"),
    rule("prefer", For, 0.85, Shape::Versus,
        &["prefer "],
        r"(?:<i> <adv>(?:tend to )?|^<intro>)prefer <o>"),
    rule("prefer", For, 0.75, Shape::Versus,
        &["better than", "more than"],
        r"<i> <adv>(?:like|love) (?P<object>\S.*? (?:better|more) than .*)"),
    rule("prefer", For, 0.75, Shape::Thing,
        &["preference for", "passion for", "weakness for", "soft spot for", "love for", "love of",
          "fondness for", "liking for", "thing for", "obsession with"],
        r"<i>(?: <adv>have| have got|'ve got|'ve| <adv>share) (?:an? )?<fear>(?:\w+ )?(?:preference|passion|weakness|soft spot|love|fondness|liking|thing|obsession) (?:for|of|with) <o>"),
    rule("prefer", For, 0.65, Shape::Thing,
        &[" best with", " best by", " best in", " best from", " best through", " best at",
          " best when"],
        r"<i> <adv>(?:learn|work|sleep|focus|concentrate|study|remember things|understand things) best (?:with|by|in|from|through|at|when) <o>"),
    rule("only", For, 0.8, Shape::Thing,
        &["only ", "exclusively ", "solely "],
        r"<i> <adv>(?:only|exclusively|solely) (?:ever )?<use> <o>"),
    rule("only", For, 0.75, Shape::Thing,
        &["only "],
        r"<i> <adv><use> (?:only|exclusively|nothing but) <o>"),
    rule("only", For, 0.75, Shape::Thing,
        &["exclusively"],
        r"<i> <adv><use> (?P<object>\S.*?) exclusively\b"),
    rule("habit", For, 0.65, Shape::Thing,
        &["i always", "we always"],
        r"<i> always <use> <o>"),
    rule("avoid", Against, 0.7, Shape::Thing,
        &["i never", "we never", "no longer "],
        r"<i> (?:never|no longer) (?:use|buy|wear|read|watch|fly|listen to|drive|cook with|like|enjoy|want|smoke|order|play) <o>"),
    rule("avoid", Against, 0.75, Shape::Thing,
        &["stopped ", "given up", "gave up", "quit ", "sworn off", "cut out"],
        r"(?:<ive>|<i>) (?:recently |finally |completely )?(?:(?:stopped|quit|given up|gave up) (?:eating|drinking|using|buying|watching|wearing|smoking)|given up|gave up|sworn off|cut out) <o>"),
    rule("avoid", Against, 0.7, Shape::Fixed,
        &["quit smoking", "quit drinking", "stopped smoking", "stopped drinking"],
        r"(?:<ive>|<i>) (?:recently |finally )?(?:quit|stopped|given up) (?P<object>smoking|drinking)\b"),
    rule("habit", For, 0.65, Shape::Thing,
        &["follow ", "adhere to", "stick to", "stick with", "swear by"],
        r"<i> <adv>(?:follow|adhere to|stick to|stick with|swear by) <o>"),
    rule("like", For, 0.75, Shape::Thing,
        &["love ", "adore ", "enjoy "],
        r"(?:(?:<i> <adv>|^<intro>)(?:love|adore)|<i> <adv>enjoy) <o>"),
    rule("like", For, 0.6, Shape::Thing,
        &["like "],
        r"<i> <adv>like <o>"),
    rule("like", For, 0.6, Shape::Thing,
        &["i appreciate", "ly appreciate", "lways appreciate"],
        r"<i> <adv>appreciate <o>"),
    rule("like", For, 0.75, Shape::Thing,
        &["always "],
        r"<ive> always (?:really )?(?:loved|liked|enjoyed|adored|preferred|(?:been )(?:an? <big>fan of|into|fond of|keen on|drawn to|fascinated by)) <o>"),
    rule("like", For, 0.7, Shape::Thing,
        &["come to ", "grown to ", "learned to ", "learnt to ", "started to ", "begun to "],
        r"(?:<ive>|<i>) (?:really )?(?:come|grown|learned|learnt|started|begun) to (?:really )?(?:love|like|enjoy|prefer|appreciate) <o>"),
    rule("like", For, 0.7, Shape::Thing,
        &["fan of", "into ", "fond of", "keen on", "crazy about", "mad about", "obsessed with",
          "passionate about", "addicted to", "partial to", "big on", "sucker for", "lover of",
          "enthusiastic about", "fascinated by"],
        r"(?:<im> <adv>(?:an? )?|^<intro>|<ive> been (?:an? )?<adv>)(?:<big>(?:fan|lover) of|into|fond of|keen on|crazy about|mad about|obsessed with|passionate about|addicted to|partial to|big on|sucker for|enthusiastic about|fascinated by) <o>"),
    rule("like", For, 0.65, Shape::Fixed,
        &[" fan", " lover", " enthusiast", " buff", " nerd", " geek", " fanatic", " addict", " junkie",
          " aficionado"],
        r"<im> <adv>an? <big>(?P<object>[\w'-]+(?: [\w'-]+)?) (?:fan|lover|enthusiast|buff|nerd|geek|fanatic|addict|junkie|aficionado)\b"),
    rule("like", For, 0.65, Shape::Fixed,
        &[" person"],
        r"<im> <adv>(?:more of )?an? <big>(?P<object>morning|night|evening|cat|dog|tea|coffee|beach|mountain|city|country|outdoors?|indoors?|tabs|spaces|mac|windows|linux|android|iphone|book|movie|summer|winter|wine|beer|meat|dessert|breakfast|horse) person\b"),
    rule("dislike", Against, 0.7, Shape::Thing,
        &[" find "],
        r"<i> <adv>find (?P<object>\S.*?) (?:to be )?<adv>(?:boring|annoying|irritating|tedious|exhausting|stressful|distracting|disgusting|awful|terrible|unpleasant|overrated|dull|ugly|intimidating|depressing|draining|frustrating|gross|repulsive|tiring|insufferable|unbearable|pointless|condescending|patroni[sz]ing|off-putting|too (?:sweet|loud|spicy|salty|long|slow|dry|verbose|heavy))\b"),
    rule("like", For, 0.65, Shape::Thing,
        &[" find "],
        r"<i> <adv>find (?P<object>\S.*?) (?:to be )?<adv>(?:relaxing|fascinating|soothing|enjoyable|fun|calming|inspiring|delicious|therapeutic|exciting|motivating|rewarding|beautiful|helpful|useful|wonderful|comforting|satisfying|amazing|adorable|easier to (?:read|follow|understand))\b"),
    rule("favourite", For, 0.8, Shape::Thing,
        &["favorite", "favourite"],
        r"\b(?:my|our) (?:all[- ]time |absolute |personal |very |current |new |own )*favou?rite (?:[\w'-]+ ){1,4}?(?:is|are|has always been|have always been|was always|will always be|would have to be|must be|is probably|is definitely|is still|is by far) (?:definitely |probably |still |always |by far |either )*<o>"),
    rule("favourite", For, 0.8, Shape::Thing,
        &["favorites are", "favourites are", "favorite is", "favourite is"],
        r"\b(?:my|our) (?:all[- ]time |absolute |personal )*favou?rites? (?:is|are) (?:definitely |probably |still |always )*<o>"),
    rule("favourite", Against, 0.8, Shape::Thing,
        &["least favo"],
        r"\bmy least favou?rite (?:[\w'-]+ ){1,4}?(?:is|are|has always been|would have to be) <o>"),
    rule("favourite", For, 0.75, Shape::Subject,
        &["favorite", "favourite"],
        r"(?:^<intro>|[,;:] |\band |\bbut )(?P<object>[^,;:]{2,60}?)(?: (?:is|are|was always|has always been|have always been|will always be)|'s) (?:(?:definitely|still|probably|easily|by far|always|also|one of) )*my (?:all[- ]time |absolute |personal )*favou?rites?\b"),
    rule("dislike", Against, 0.7, Shape::Subject,
        &["my thing", "cup of tea", "my jam", "for me", "my style", "my taste"],
        r"(?:^<intro>|[,;:] |\band |\bbut )(?P<object>[^,;:]{2,60}?) (?:(?:is|are) (?:really |just |simply |definitely |so )?not|isn't|aren't|isnt|arent) (?:really |exactly |quite )?(?:my (?:thing|cup of tea|jam|style|taste)|for me)\b"),
    rule("diet", For, 0.85, Shape::Fixed,
        &["vegan", "vegetarian", "pescatarian", "pescetarian", "flexitarian", "coeliac", "celiac",
          "teetotal", "carnivore", "free", "plant"],
        r"(?:(?:<im>|<ive> been) <adv>(?:an? )?(?:strict |strictly |lifelong |proud |committed |devout )?|\bas an? (?:strict |lifelong |proud |committed |devout )?|^<intro>)(?P<object><diet>)(?:$|[.,!;)]| (?:and|but|so|for|since|now|too|here|as well|by the way|btw|myself|these days|because|i|my|who|with)\b)"),
    rule("diet", Against, 0.6, Shape::Fixed,
        &["no longer "],
        r"<im> no longer (?:an? )?(?:strict )?(?P<object><diet>|<eating>)\b"),
    rule("diet", For, 0.8, Shape::Fixed,
        &["kosher", "halal", "keto", "paleo", "vegan", "vegetarian", "low", "free", "plant",
          "mediterranean", "high", "whole30", "raw"],
        r"<i> <adv>(?:only )?(?:keep|eat|follow|do|cook|am on|stick to) (?:an? |the )?(?:strictly |mostly |only |strict )*(?P<object><eating>)\b"),
    rule("diet", For, 0.8, Shape::Fixed,
        &[" diet"],
        r"(?:<im> (?:currently )?on|<i> <adv>(?:follow|keep to|stick to|eat)) (?:an? |the )?(?:strict |special )?(?P<object>[\w-]+(?: [\w-]+)?) diet\b"),
    rule("diet", For, 0.8, Shape::Fixed,
        &["celiac", "coeliac"],
        r"<i>(?: have| have got|'ve got|'ve) (?P<object>(?:coeliac|celiac)(?: disease)?)\b"),
    rule("diet", Against, 0.95, Shape::Thing,
        &["allergic to"],
        r"(?:<im> <adv>|^<intro>(?:\w+ly )?)allergic to <o>"),
    rule("diet", Against, 0.9, Shape::Fixed,
        &["intolerant"],
        r"<im> <adv>(?P<object>[\w-]+)[ -]intolerant\b"),
    rule("diet", Against, 0.9, Shape::Thing,
        &["intolerant", "allergy to", "intolerance", "sensitivity to", "allergies to"],
        r"(?:<im> <adv>intolerant (?:to|of)|<i>(?: have| have got|'ve got|'ve) (?:an? )?<fear>(?:allergy|allergies|intolerance|sensitivity) (?:to|against)) <o>"),
    rule("diet", Against, 0.9, Shape::Fixed,
        &["allergy", "allergies", "intolerance"],
        r"(?:<i>(?: have| have got|'ve got|'ve| suffer from)|\bmy|\bdue to my|\bbecause of my) (?:an? )?(?:severe |bad |strong |serious |slight |mild |terrible |seasonal )*(?P<object>[\w-]+(?: [\w-]+)?) (?:allergy|allergies|intolerance)\b"),
    rule("diet", Against, 0.8, Shape::Thing,
        &["t eat", "not eat", "never eat", "longer eat", "ly eat", "t drink", "not drink",
          "never drink", "longer drink", "ly drink", "t consume", "not consume", "t digest",
          "not digest", "never consume", "lso eat"],
        r"<i> (?:<adv><not>|<cant>|never|no longer|won't) (?:<adv>)?(?:eat|drink|consume|digest) (?:any )?<o>"),
    // Orders to the assistant.
    rule("instruction", For, 0.35, Shape::Order,
        &["always", "never", "from now on", "from here on", "going forward", "in future",
          "in the future", "every time", "each time", "whenever", "when you ", "in general",
          "henceforth", "by default", "for all ", "in all ", "ever again", "for the rest",
          "your answers", "your repl", "your respon", "in any of", "any of your", "don't ", "do not ",
          "dont ", "for me", "throughout", "anymore", "any more", "every answer", "every reply",
          "every response", "every message", "as a rule", "unless i ask"],
        r"<start>(?P<neg>(?:don't|do not|dont) )?(?:(?P<ever>always|never|ever|only) )?(?:(?:please|just|also) )?(?P<object><imp>\b(?s:.*))"),
    rule("instruction", For, 0.85, Shape::Order,
        &["to always ", "to never "],
        r"\b(?:want|need|ask|like|prefer|expect|tell|told) you to (?P<ever>always|never) <o>"),
    rule("instruction", Against, 0.75, Shape::Order,
        &["stop ", "quit ", "refrain from"],
        r"<start>(?:(?P<ever>always) )?(?:stop|quit|refrain from) (?P<object><imping> (?s:.+)|(?:apologi[sz]ing|summari[sz]ing|lecturing|guessing|hallucinating|repeating yourself)\b)"),
    rule("instruction", Against, 0.35, Shape::Order,
        &["avoid"],
        r"<start>(?:(?P<ever>always) )?avoid <o>"),
    rule("instruction", Against, 0.7, Shape::Order,
        &["no more ", "enough with "],
        r"<start>(?:no more|enough with(?: the)?) (?P<object>(?:\w+ )?<manner>\b(?s:.*))"),
    rule("instruction", Against, 0.6, Shape::Fixed,
        &["no emo", "no bul", "no lis", "no jar", "no mark", "no discl", "no head", "no tab",
          "no bold", "no slang", "no fill", "no fluff", "no prea", "no excl", "no em", "no hash",
          "no intro", "no cav", "no apol", "no pleas", "no summ", "no moral", "no buzz"],
        r"(?:^<intro>|[,;:–—-]\s*|\band )(?:with )?no (?P<object>(?:emojis?|bullet(?: points?|s)|lists|jargon|markdown|disclaimers?|headings|tables|bold|slang|filler|fluff|preambles?|exclamation marks|em[- ]dashes|hashtags|intros?|caveats|apologies|pleasantries|summaries|moralizing|buzzwords))\b"),
    rule("instruction", Against, 0.65, Shape::Order,
        &["don't want", "do not want", "don't need", "do not need"],
        r"<i> <not> (?:ever )?(?:want|need) (?:any |to see |you to use |your |the )*(?P<object><manner>\b(?s:.*))"),
    rule("instruction", For, 0.5, Shape::Fixed,
        &["keep it ", "keep things", "keep them", "keep the ", "keep everything"],
        r"<start>keep (?:it|things|them|the <talk>|everything) (?P<object>(?:(?:very|super|nice and|more|really) )?<short>)(?:$|[.,!;)]| (?:and|please|from|for me|pls|thanks|in|but|-)\b)"),
    rule("instruction", For, 0.8, Shape::Fixed,
        &["keep your", "make your", "keep all", "make all", "keep of your"],
        r"<start>(?:keep|make) (?:all )?(?:of )?your <talk> (?P<object>(?:(?:very|super|nice and|more|really|as) )?<short>)\b"),
    rule("instruction", For, 0.6, Shape::Exchange,
        &["instead of", "rather than", "in place of", " not "],
        r"<start>(?:always )?use (?P<object>\S.*?)(?:,? instead of|,? rather than|,? in place of|,? (?:and )?not) (?P<other>.*)"),
    rule("instruction", For, 0.65, Shape::Fixed,
        &["answer in ", "reply in ", "respond in ", "write in ", "speak in ", "talk in ",
          "explain in ", "me in ", "back in ", "everything in ", "things in ", "us in ", "only in ",
          "exclusively in ", "speak ", "talk "],
        r"<start>(?:(?:always|only) )?(?:(?:answer|reply|respond|write|speak|talk|explain)(?: to)?(?: me| us| back| everything| things| all)?(?: only| exclusively)? in|speak|talk) (?P<object><tongue>)(?:$|[.,!;)]| (?:please|pls|from|only|and|now|for|when|with|to|unless|in|even)\b)"),
    rule("instruction", For, 0.75, Shape::Address,
        &["call me", "address me", "refer to me"],
        r"(?:<start>|\byou (?:can|may|should) )(?:always |just )?(?:call me|address me(?: as| with| by)?|refer to me as) <o>"),
    rule("instruction", For, 0.55, Shape::Fixed,
        &["be short", "be brief", "be concise", "be simple", "be succinct", "be formal", "be informal",
          "be casual", "be polite", "be friendly", "be professional", "be light", "be honest",
          "be direct", "be blunt", "be precise", "be detailed", "be thorough", "be technical",
          "be terse", "be plain", "be strict", "be critical", "be playful", "be funny", "be serious",
          "be neutral", "be patient", "be encouraging", "be more", "be less", "be very", "be as",
          "be always", "be to the point", "be straight", "be crisp", "be a bit"],
        r"<start>be (?:always )?(?P<object>(?:(?:more|less|very|as|a bit more) )?<short>)(?:$|[.,!;)]| (?:and|please|with me|in your|from|when|with)\b)"),
    rule("instruction", For, 0.65, Shape::Fixed,
        &["answers", "replies", "responses", "explanations"],
        r"<i> <adv>(?:only )?(?:want|need|expect) (?:all )?(?:my |your |the )?(?P<object><short> (?:answers|replies|responses|explanations))\b"),
    rule("instruction", For, 0.65, Shape::Fixed,
        &["answers ", "replies ", "responses ", "explanations "],
        r"<i> <adv>(?:want|need|expect) (?:all )?(?:your |the |my )?(?:answers|replies|responses|explanations) (?:to be )?(?P<object>(?:very |in )?(?:<short>|<tongue>))\b"),
];

/// Orders about how the assistant talks hold beyond the answer at hand.
pub(super) const MANNERS: &str = concat!(
    r"\b(?:emojis?|emoticons?|bullet(?:[- ]points?|s)?|jargon|markdown|disclaimers?|slang|fillers?|fluff|preambles?|",
    r"exclamation (?:marks?|points?)|em[- ]dash(?:es)?|hashtags?|swear words?|caveats?|apolog\w+|pleasantries|flattery|",
    r"compliments|follow-up questions|buzzwords|moralizing|walls? of text|corporate speak|anglicisms)\b",
    r"|\b(?:sources|your answers?|your repl|your respon|british|american|metric|imperial|celsius|fahrenheit|lecture|",
    r"sugarcoat|patroni[sz]|flatter|swear|lie to me|hallucinate|repeat (?:yourself|my|the question|what i)|",
    r"ask (?:me )?(?:if|whether|back|permission|follow)|call me|treat me|talk (?:down )?to me|remind me that you|",
    r"tell me (?:to|that you|you)|as an ai|judge me|interrupt me|agree with me|be so|explain (?:the )?basics)",
);

/// What makes an order last.
pub(super) const LASTING: &str = concat!(
    r"\b(?:from (?:now|here) on|going forward|henceforth|by default|as a rule|ever again|for the rest of|all the time|",
    r"in (?:all|any) (?:of )?(?:your|my|our|answers|replies|responses|code|python|the code you)|",
    r"(?:for|with) (?:all|any) (?:of )?(?:your|my|future|code|answers|replies|responses|the code you)|",
    r"(?:all|any) of (?:your|my)|all (?:your|my)|your (?:answers|replies|responses|messages|explanations|code)|",
    r"(?:each|every) (?:answer|reply|response|message)|to my code|",
    r"(?:when|whenever|if|every ?time|each time) (?:you|i) (?:write|answer|explain|reply|respond|give|code|talk|translate|suggest|show|",
    r"review|correct|ask|send|say|paste|post|share|want|need)|(?:in|throughout) (?:this|our) (?:chats?|conversations?|sessions?)|",
    r"unless i (?:ask|say|tell)|anymore|any more)\b",
    r"|^(?:in (?:the )?future|in general|generally|whenever|every ?time)\b|\b(?:in (?:the )?future|in general|every ?time)[.!]*$",
    r"|,\s+ever\b|\bever,",
);

/// What ties an order to the thing at hand.
pub(super) const MOMENTARY: &str = concat!(
    r"\b(?:here|this time|for now|right now|today|tonight|tomorrow|at the moment|just once|line \d+|above|below|the following|",
    r"(?:in|for|to|of|on|from|with) (?:this|that|these|those) (?:function|file|code|class|method|snippet|text|paragraph|section|essay|",
    r"e-?mail|letter|table|query|script|case|one|example|line|loop|test|part|exercise|problem|question|task|project|component|page|chapter|story)|",
    r"(?:the|this) (?:function|signature|file|loop|first|second|third|last|next|previous|original|current|existing|other|header|button|test|",
    r"server|component|class|method|paragraph|variable|imports?|table|column|row|field|page|sentence|word|line|title))\b",
);
