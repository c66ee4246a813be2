//! How people say things of themselves: what sets each statement off, how it reads, and how sure it is.
//!
//! Patterns run on evened text (lower case, straight apostrophes). In them `<im>` is "I am", `<ive>` "I have" before a
//! participle, `<have>` "I have got", `<adv>` adverbs, `<v>` the value up to the end of the sentence (it is trimmed
//! later), and a blank any white space. The groups `rel` and `class` fill the `{}` of an attribute.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

use super::words::{ANIMALS, BREEDS, CONDITIONS, JOBS, LANGUAGES, NATIONS, PASTIMES, THINGS, WORKS};
use crate::text::trigger::{Gate, ascii};

/// How a value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// What the pattern captured.
    Exact,
    /// A phrase of at most so many words that names something.
    Phrase(usize),
    /// A person's or an animal's name.
    Name,
    /// The name behind "I'm", where much else may stand.
    Shy,
    /// A place.
    Place,
    /// A company or institution.
    Employer,
    /// Tools, each with its category.
    Tools,
    /// A place the speaker has left.
    Left,
    /// A phrase that begins with an article or a number: a thing.
    Item(usize),
    /// As `Tools`, where only tools of the list count.
    Known,
    /// As `Known`, for phones and computers only.
    Device,
    /// A phrase that holds a time.
    Dated,
    /// Human languages.
    Tongues,
    /// A number of years that a person can have.
    Years,
}

/// How animals and breeds begin.
const ANIMAL_TRIGGERS: &[&str] = &[
    " australian shepherd",
    " axolotl",
    " beagle",
    " border collie",
    " boxer dog",
    " budgie",
    " bulldog",
    " bunnies",
    " bunny",
    " canaries",
    " canary",
    " cat",
    " chickens",
    " chihuahua",
    " chinchilla",
    " cockatiel",
    " cocker spaniel",
    " corgi",
    " dachshund",
    " dalmatian",
    " dog",
    " donkey",
    " ducks",
    " ferret",
    " french bulldog",
    " gecko",
    " gerbil",
    " german shepherd",
    " goats",
    " golden retriever",
    " goldendoodle",
    " goldfish",
    " great dane",
    " greyhound",
    " guinea pig",
    " hamster",
    " hedgehog",
    " hens",
    " horse",
    " huskies",
    " husky",
    " kitten",
    " lab",
    " lizard",
    " maltese dog",
    " parrot",
    " ponies",
    " pony",
    " poodle",
    " pug",
    " puppies",
    " puppy",
    " python snake",
    " rabbit",
    " rats",
    " rottweiler",
    " samoyed",
    " sheep",
    " shih tzu",
    " snake",
    " spaniel",
    " tarantula",
    " terrier",
    " tortoise",
    " turtle",
    " whippet",
];
/// How conditions begin.
const CONDITION_TRIGGERS: &[&str] = &[
    " a heart condition",
    " a pacemaker",
    " acid reflux",
    " add",
    " adhd",
    " an anxiety disorder",
    " anaemia",
    " anemia",
    " anxiety",
    " arthritis",
    " asthma",
    " autism",
    " bipolar disorder",
    " breast cancer",
    " cancer",
    " celiac disease",
    " coeliac disease",
    " color blindness",
    " colour blindness",
    " copd",
    " crohn's",
    " cystic fibrosis",
    " depression",
    " diabetes",
    " dyslexia",
    " eczema",
    " endometriosis",
    " epilepsy",
    " fibromyalgia",
    " gerd",
    " glaucoma",
    " gout",
    " hay fever",
    " hearing loss",
    " heart condition",
    " heart disease",
    " high blood pressure",
    " hiv",
    " hypertension",
    " hyperthyroidism",
    " hypothyroidism",
    " ibs",
    " insomnia",
    " kidney disease",
    " leukaemia",
    " leukemia",
    " low blood pressure",
    " lupus",
    " migraines",
    " ms",
    " multiple sclerosis",
    " ocd",
    " osteoporosis",
    " pacemaker",
    " parkinson's",
    " pcos",
    " psoriasis",
    " ptsd",
    " reflux",
    " rheumatoid arthritis",
    " scoliosis",
    " sleep apnea",
    " tinnitus",
    " type 1 diabetes",
    " type 2 diabetes",
    " type one diabetes",
    " type two diabetes",
    " ulcerative colitis",
    " vertigo",
];
/// How nationalities begin.
const NATION_TRIGGERS: &[&str] = &[
    " afghan",
    " albanian",
    " algerian",
    " american",
    " argentinian",
    " armenian",
    " australian",
    " austrian",
    " bangladeshi",
    " belgian",
    " bosnian",
    " brazilian",
    " british",
    " bulgarian",
    " canadian",
    " chilean",
    " chinese",
    " colombian",
    " croatian",
    " cuban",
    " czech",
    " danish",
    " dutch",
    " egyptian",
    " english",
    " ethiopian",
    " filipina",
    " filipino",
    " finnish",
    " french",
    " georgian",
    " german",
    " ghanaian",
    " greek",
    " hungarian",
    " icelandic",
    " indian",
    " indonesian",
    " iranian",
    " iraqi",
    " irish",
    " israeli",
    " italian",
    " japanese",
    " kenyan",
    " korean",
    " lebanese",
    " malaysian",
    " mexican",
    " moroccan",
    " nepali",
    " nigerian",
    " norwegian",
    " pakistani",
    " persian",
    " peruvian",
    " polish",
    " portuguese",
    " romanian",
    " russian",
    " scottish",
    " serbian",
    " slovak",
    " south african",
    " spanish",
    " swedish",
    " swiss",
    " syrian",
    " thai",
    " tunisian",
    " turkish",
    " ukrainian",
    " vietnamese",
    " welsh",
];
/// How things worth owning begin.
const THING_TRIGGERS: &[&str] = &[
    " 3d printer",
    " allotment",
    " apartment",
    " backyard",
    " bakery",
    " balcony",
    " bicycle",
    " bike",
    " boat",
    " bookstore",
    " business",
    " cabin",
    " cafe",
    " café",
    " camera",
    " camper",
    " car",
    " company",
    " condo",
    " cottage",
    " driver's license",
    " driving licence",
    " drone",
    " e-bike",
    " espresso machine",
    " farm",
    " flat",
    " garden",
    " greenhouse",
    " heat pump",
    " home",
    " horse farm",
    " house",
    " kayak",
    " motorbike",
    " motorcycle",
    " piano",
    " pool",
    " ranch",
    " record player",
    " restaurant",
    " rv",
    " sailboat",
    " sauna",
    " scooter",
    " sewing machine",
    " shop",
    " store",
    " swimming pool",
    " telescope",
    " tesla",
    " truck",
    " van",
    " vegetable garden",
    " vineyard",
    " vinyl collection",
    " workshop",
    " yacht",
];

/// One way to say something of oneself.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) attribute: &'static str,
    pub(super) exclusive: bool,
    pub(super) confidence: f64,
    pub(super) value: Value,
    /// Lower-case pieces of which one stands in every match.
    pub(super) triggers: &'static [&'static str],
    pub(super) pattern: &'static str,
}

const ONE: bool = true;
const MANY: bool = false;

impl Rule {
    /// What must stand around the rule's triggers, as its pattern demands.
    pub(super) fn gate(&self) -> Gate {
        if self.triggers.first() == Some(&"i'm ") {
            match self.value {
                Value::Shy => return Gate::Capital,
                Value::Years => return Gate::Digit,
                _ => {}
            }
        }
        let own = ["<my>", r"\bmy ", r"\b(?:my ", r"(?:\bmy ", "(?:<my>"];
        if own.iter().any(|opening| self.pattern.starts_with(opening)) {
            return Gate::Own;
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
    attribute: &'static str,
    exclusive: bool,
    confidence: f64,
    value: Value,
    triggers: &'static [&'static str],
    pattern: &'static str,
) -> Rule {
    Rule { attribute, exclusive, confidence, value, triggers, pattern }
}

/// Writes out the short forms of a pattern.
fn written_out(pattern: &str) -> String {
    let mut full = pattern.to_owned();
    for (short, long) in SHORT_FORMS {
        full = full.replace(short, long);
    }
    for (short, list) in LISTS {
        if full.contains(short) {
            full = full.replace(short, &format!("(?:{})", list.replace(' ', "|").replace('_', "[ -]")));
        }
    }
    ascii(full)
}

const LISTS: [(&str, &str); 9] = [
    ("<job>", JOBS),
    ("<animal>", ANIMALS),
    ("<breed>", BREEDS),
    ("<condition>", CONDITIONS),
    ("<nation>", NATIONS),
    ("<tongue>", LANGUAGES),
    ("<pastime>", PASTIMES),
    ("<thing>", THINGS),
    ("<work>", WORKS),
];

#[rustfmt::skip]
const SHORT_FORMS: [(&str, &str); 13] = [
    ("<adv>", r"(?:(?:currently|now|still|both|actually|also|originally|just|really|recently|finally|mostly|mainly|usually|always|proudly|happily|generally|only|primarily|basically|technically|already|all|officially|about) )*"),
    ("<im>", r"\b(?:i'm|i am|im)"),
    ("<were>", r"\b(?:i'm|i am|im|we're|we are)"),
    ("<ive>", r"\b(?:i've|i have|ive|we've|we have|i|we)"),
    ("<been>", r"\b(?:i've|i have|ive|we've|we have) been"),
    ("<have>", r"\b(?:i have|i've|i have got|i've got|we have|we've got|we have got|i also have)"),
    ("<i>", r"\b(?:i|we)"),
    ("<v>", r"(?P<value>\S(?s:.*))"),
    ("<my>", r"\b(?:my|our)"),
    ("<age>", r"(?:(?:older|younger|little|big|elder|eldest|youngest|oldest|twin|late|dear|lovely|own|new|best|step|half|beloved|\d+[- ]year[- ]old|two-year-old|three-year-old|four-year-old|five-year-old) )*"),
    ("<kin>", r"(?P<rel>wife|husband|spouse|partner|girlfriend|boyfriend|fiancee|fiancé|fiancée|fiance|mother|mom|mum|mama|father|dad|papa|sister|brother|son|daughter|grandmother|grandma|granny|grandfather|grandpa|grandson|granddaughter|aunt|uncle|niece|nephew|cousin|stepmother|stepfather|stepson|stepdaughter|mother-in-law|father-in-law|sister-in-law|brother-in-law|best friend|roommate|flatmate)"),
    ("<kins>", r"(?P<rel>kids|children|sons|daughters|brothers|sisters|siblings|grandchildren|grandkids|nieces|nephews|cousins|stepchildren|brother|sister|son|daughter|kid|child|baby|toddler|grandson|granddaughter|grandchild|niece|nephew)"),
    ("<count>", r"(?:an?|one|two|three|four|five|six|seven|several|a few|\d{1,2})"),
];

/// All rules. A sentence may match several.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    // Who.
    rule("name", ONE, 0.95, Value::Name, &["my name", "name's "], r"(?:\bmy (?:full |real |first |own )?name(?: is|'s|:)|^name's) <v>"),
    rule("name", ONE, 0.85, Value::Name, &["i go by", "people call me", "friends call me", "everyone calls me", "i'm called", "i am called"], r"(?:\bi go by|\b(?:people|friends|my friends) call me|\beveryone calls me|<im> called) <v>"),
    rule("name", ONE, 0.8, Value::Shy, &["i'm ", "i am ", "this is "], r"(?:^|[,.!:–—-]\s*|\band )(?:(?:hi|hello|hey|hallo|hola|greetings|good (?:morning|afternoon|evening))[ ,!.]+(?:there|all|everyone|everybody|team|folks)?[ ,!.]*)?(?:i'm|i am) <v>"),
    rule("age", ONE, 0.9, Value::Years, &["years old", "year old", "year-old", "years-old", " yo ", " yo.", "y/o", "yrs old"], r"<im> <adv>(?:an? )?(?P<value>\d{1,3})(?: years?[- ]old|[- ]years?[- ]old|-year-old| yrs? old| ?y/?o\b)"),
    rule("age", ONE, 0.7, Value::Years, &["i'm ", "i am ", "im "], r"<im> <adv>(?P<value>\d{2})(?:$|[.,!;)]\s*(?:$|[a-z])| (?:and (?:live|have|work|want|from|my|i|a)|now|this year|from|male|female|and still))"),
    rule("age", ONE, 0.85, Value::Years, &["turned ", "turning "], r"(?:<ive>|<im>) <adv>(?:turned|turning) (?P<value>\d{2})\b"),
    rule("age", ONE, 0.75, Value::Exact, &["in my early", "in my mid", "in my late", "in my twenties", "in my thirties", "in my forties", "in my fifties", "in my sixties"], r"<im> <adv>in my (?P<value>(?:(?:early|mid|late)[- ])?(?:twenties|thirties|forties|fifties|sixties|seventies|eighties|\d0s))\b"),
    rule("birthday", ONE, 0.9, Value::Dated, &["birthday is", "birthday's"], r"\bmy birthday(?: is|'s) (?:on )?<v>"),
    rule("birthday", ONE, 0.85, Value::Dated, &["born on", "born in"], r"\bi was born (?:on|in) <v>"),
    rule("family.status", ONE, 0.8, Value::Exact, &["married", "single", "divorced", "engaged", "widow", "separated"], r"<were> <adv>(?:(?:happily|newly|recently) )?(?P<value>married|single|divorced|engaged|widowed|a widow|a widower|separated)(?:$|[.,!;)]| (?:and|with|to|for|now|since|so|but|mom|mother|dad|father|parent)\b)"),
    // Where.
    rule("lives_in", ONE, 0.9, Value::Place, &["i live", "we live", "i currently live", "i now live", "i still live", "i reside", "ly live"], r"<i> <adv>(?:live|reside) (?:here )?(?:in|at|near|outside|on|close to|just outside) <v>"),
    rule("lives_in", ONE, 0.85, Value::Place, &["based in", "located in", "living in", "residing in"], r"(?:<were> <adv>|<been> )(?:based|located|living|residing) (?:here )?(?:in|near|outside) <v>"),
    rule("lives_in", ONE, 0.8, Value::Place, &["moved ", "relocated "], r"<ive> <adv>(?:moved|relocated) (?:back |here |over |out |down |up )?(?:from [^,.]{1,30}? )?to <v>"),
    rule("lives_in", ONE, 0.7, Value::Left, &["no longer live", "longer living", "moved away from", "moved out of", "don't live in"], r"(?:<i> (?:no longer live|don't live)|<were> no longer living|<ive> <adv>moved (?:away from|out of))(?: in)? <v>"),
    rule("from", ONE, 0.85, Value::Place, &["'m from", "am from", "come from", "originally from", "re from", "im from", "are from"], r"(?:<were> <adv>|\bi <adv>(?:come|hail) )from <v>"),
    rule("from", ONE, 0.85, Value::Place, &["grew up", "born in", "raised in"], r"\bi (?:grew up|was born and raised|was raised|was born|was born and grew up) in <v>"),
    rule("from", ONE, 0.65, Value::Place, &["-old ", "man from", "girl from", "guy from", "student from", "developer from", "teacher from"], r"<im> <adv>an? (?:[\w-]+ ){1,4}?from <v>"),
    rule("from", ONE, 0.75, Value::Exact, NATION_TRIGGERS, r"<im> <adv>(?:an? )?(?:half[- ])?(?P<value><nation>)(?:$|[.,!;)]| (?:and|but|so|by birth|born|living|citizen|who|expat|originally)\b)"),
    rule("from", ONE, 0.85, Value::Place, &["hometown is", "home town is", "home country is"], r"<my> (?:hometown|home town|home country) is <v>"),
    rule("time_zone", ONE, 0.9, Value::Exact, &["time zone", "timezone"], r"\bmy time ?zone(?: is|'s|:) (?P<value>(?:utc|gmt)(?: ?[+-] ?\d{1,2}(?::\d\d)?)?|[a-z]{2,4}t\b(?:/[a-z]{3,4})?|[a-z]+/[a-z_]+|(?:eastern|central|mountain|pacific|central european|eastern european|western european|british|indian|japan|china|australian)(?: (?:standard|summer|daylight))?(?: time)?)"),
    rule("time_zone", ONE, 0.85, Value::Exact, &["i'm in ", "i'm on ", "i am in ", "i am on ", "i live in the"], r"(?:<im> (?:in|on|at)|\bi live in) (?:the )?(?P<value>(?:utc|gmt)(?: ?[+-] ?\d{1,2}(?::\d\d)?)?|cet|cest|est|edt|cst|cdt|mst|mdt|pst|pdt|ist|jst|aest|bst|eet|wet|msk|eastern time|central time|mountain time|pacific time)\b"),
    // Work and study.
    rule("works_as", ONE, 0.9, Value::Phrase(6), &["work as", "working as", "employed as", "living as"], r"(?:<i> <adv>work|<im> <adv>(?:working|employed)|<been> working|\bi make (?:a|my) living|\bi earn my living) as (?:an? )?<v>"),
    rule("works_as", ONE, 0.8, Value::Exact, &["i'm a", "i am a", "im a", "ly a", "as a", "now a", "also a", "i'm an", "i am an"], r"<im> <adv>(?:an? )(?P<value>(?:[\w-]+ ){0,4}?<job>)(?:$|[.,!;:)]| (?:and|at|in|for|from|by|with|who|working|living|but|so|based|here|on|specializing|specialising|of|turned|since|now|myself|to|trying|looking)\b)"),
    rule("works_as", ONE, 0.8, Value::Exact, &["retired", "unemployed", "self-employed", "self employed", "freelanc", "stay-at-home", "stay at home"], r"<im> <adv>(?:an? )?(?P<value>retired(?: (?:[\w-]+ ){0,2}?<job>)?|unemployed|self[- ]employed|freelancing|freelancer|stay[- ]at[- ]home (?:mom|mum|mother|dad|father|parent))(?:$|[.,!;)]| )"),
    rule("works_as", ONE, 0.8, Value::Exact, &["my job is", "my profession is", "my occupation is", "my day job is"], r"\bmy (?:day )?(?:job|profession|occupation|trade) is (?:being )?(?:an? )?(?P<value>(?:[\w-]+ ){0,3}?<job>|teaching|nursing|carpentry|accounting)\b"),
    rule("works_at", ONE, 0.85, Value::Employer, &["i work", "we work", "i also work", "ly work", "now work"], r"<i> <adv>work (?:full[- ]time |part[- ]time )?(?:at|for) <v>"),
    rule("works_at", ONE, 0.85, Value::Employer, &["working at", "working for", "employed at", "employed by", "employed with"], r"(?:<im> <adv>|<been> )(?:working (?:at|for)|employed (?:at|by|with)) <v>"),
    rule("works_at", ONE, 0.75, Value::Employer, &["i'm a", "i am a", "im a", "ly a", "now a", "also a"], r"<im> <adv>(?:an? )(?:[\w-]+ ){0,4}?<job> (?:at|for) <v>"),
    rule("works_at", ONE, 0.7, Value::Employer, &["i volunteer"], r"\bi <adv>volunteer (?:at|for|with) <v>"),
    rule("works_at", ONE, 0.75, Value::Employer, &["new job at", "my employer is", "my company is called", "job at "], r"(?:\bi (?:just |recently )?(?:got|started|have) a (?:new )?job at|\bmy employer is|\bmy company is called) <v>"),
    rule("works_in", ONE, 0.7, Value::Exact, &["work in"], r"<i> <adv>work in (?:the )?(?P<value>(?:[\w-]+ )?<work>)\b"),
    rule("studies", ONE, 0.85, Value::Phrase(4), &["studying ", "majoring in", "degree in", "phd in", "master's in", "bachelor's in", "masters in"], r"(?:<im> <adv>|<been> )(?:studying|majoring in|doing (?:an?|my) (?:phd|doctorate|master's|masters|master|bachelor's|bachelors|bachelor|degree|ba|bsc|msc|mba)(?: degree)? in|getting (?:an?|my) (?:degree|phd|master's) in) <v>"),
    rule("studies", ONE, 0.8, Value::Phrase(4), &["i study", "i major in", "my major is", "ly study"], r"(?:\bi <adv>(?:study|major in)|\bmy major is) <v>"),
    rule("studies", ONE, 0.8, Value::Exact, &["student"], r"<im> <adv>an? (?P<value>(?:[\w-]+ ){0,4}?student)(?:$|[.,!;)]| (?:and|at|in|from|of|who|studying|majoring|so|but|living)\b)"),
    rule("languages", MANY, 0.85, Value::Tongues, &["i speak", "we speak", "also speak", "i can speak", "ly speak"], r"<i> <adv>(?:can )?speak <v>"),
    rule("languages", MANY, 0.85, Value::Tongues, &["fluent in", "native language", "mother tongue", "first language", "native speaker"], r"(?:<im> <adv>(?:almost |nearly )?fluent in|\bmy (?:native language|native tongue|mother tongue|first language) is|<im> a native) <v>"),
    rule("languages", MANY, 0.8, Value::Exact, &["learning "], r"(?:<im> <adv>(?:trying to learn|learning|teaching myself)|<been> (?:learning|teaching myself)) (?P<value>(?:to speak )?<tongue>)\b"),
    // People and animals.
    rule("family.{}", MANY, 0.85, Value::Name, &["wife", "husband", "spouse", "partner", "girlfriend", "boyfriend", "fianc", "mother", "mom", "mum", "mama", "father", "dad", "papa", "sister", "brother", "daughter", "grandm", "grandf", "grandp", "granny", "grandson", "aunt", "uncle", "niece", "nephew", "cousin", "stepson", "roommate", "flatmate", "best friend", "my son", "our son", "er son", "st son", "old son", "le son", "in son"], r"<my> <age><kin>(?:'s name is| is called| is named|, whose name is|,)? <v>"),
    rule("family.{}", MANY, 0.75, Value::Exact, &["wife", "husband", "spouse", "partner", "girlfriend", "boyfriend", "fianc", "mother", "mom", "mum", "mama", "father", "dad", "papa", "sister", "brother", "daughter", "grandm", "grandf", "grandp", "granny", "grandson", "aunt", "uncle", "niece", "nephew", "cousin", "stepson", "roommate", "flatmate", "best friend", "my son", "our son", "er son", "st son", "old son", "le son", "in son"], r"<my> <age><kin>(?: [a-z]+)? (?P<value>(?:is|works as|was) (?:(?:also|now|originally) )?(?:an? (?:[\w-]+ ){0,3}?<job>|(?:about |almost )?(?:\d{1,2}|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve) (?:years|months) old|vegan|vegetarian|retired|(?:lactose|gluten)[- ]intolerant|allergic to [\w-]+(?: and [\w-]+)?|from [\w]+(?: [\w]+)?|<nation>|pregnant|deaf|blind|autistic|diabetic)\b|(?:lives|works|grew up) (?:in|at|for|near) (?:the |an? )?[\w-]+(?: [\w-]+)?|(?:speaks|studies|teaches) [\w-]+|has (?:<condition>)|(?:loves|likes|hates|collects|plays) [\w-]+)"),
    rule("family.{}", MANY, 0.85, Value::Exact, &["kids", "child", "sons", "daughter", "brother", "sister", "sibling", "grand", "niece", "nephew", "cousin", " son", "baby", "toddler"], r"<have> (?P<value><count> (?:(?:older|younger|little|big|twin|grown|adult|small|young|teenage|beautiful|wonderful|adopted|\d+[- ]year[- ]old|[a-z]+-(?:year|month)-old) )*<kins>)(?:$|[.,!;)]| (?:and|who|named|called|aged|with|in|at|so|but|together|now|from|under|living)\b)"),
    rule("family.status", ONE, 0.75, Value::Exact, &["father of", "mother of", "mom of", "mum of", "dad of", "parent of", "mom to", "dad to"], r"<im> <adv>(?:an? )?(?P<value>(?:proud |single |working |new )*(?:father|mother|mom|mum|dad|parent) (?:of|to) (?:<count>|twins|triplets)(?: (?:kids|children|boys|girls|sons|daughters))?)\b"),
    rule("pet.{}", MANY, 0.85, Value::Exact, ANIMAL_TRIGGERS, r"(?:<have>|<i> (?:own|adopted)|<ive> (?:just |recently )?(?:adopted|got)) (?P<value>(?:<count>|some|my) (?:(?:old|young|little|big|small|black|white|brown|grey|gray|orange|ginger|tabby|rescue|cute|lovely|rescued|adorable|male|female|shelter|senior|fluffy|pet|service|guide|therapy) )*(?P<rel><animal>|<breed>)(?:,? (?:named|called) [\w'-]+(?: and [\w'-]+)?|, an? [\w-]+(?: [\w-]+)?)?)(?:$|[.,!;)]| (?:and|who|that|at|in|from|with|so|but|for|now|which|since|to|puppy|puppies|dog|dogs|cat|cats|mix)\b)"),
    rule("pet.{}", MANY, 0.9, Value::Name, ANIMAL_TRIGGERS, r"<my> (?:(?:old|little|new|beloved|older|younger|other|first|second) )*(?P<rel><animal>|<breed>)(?:'s name is| is called| is named|,)? <v>"),
    // Tools, works, things.
    rule("uses{}", MANY, 0.75, Value::Tools, &["i use", "we use", "i'm using", "i am using", "we're using", "i mostly use", "i usually use", "i mainly use", "i always use", "i still use", "i currently use", "i also use", "i run ", "we run ", "i'm running", "i am running", "i'm on ", "i am on "], r"(?:<i> <adv>(?:use|run)|<were> <adv>(?:using|running|on)) <v>"),
    rule("uses{}", MANY, 0.75, Value::Tools, &["i work with", "i work on", "i code in", "i program in", "i write in", "i develop in", "i code with", "i develop on", "i mostly work with", "i mostly code", "i usually code", "ly work with", "ly write in", "we work with"], r"<i> <adv>(?:work with|work on|code in|code with|program in|write in|develop in|develop on|develop with) <v>"),
    rule("uses{}", ONE, 0.85, Value::Tools, &["switched ", "switching "], r"(?:<ive> <adv>switched|<were> <adv>switching) (?:over )?(?:from [^,.]{1,30}? )?to <v>"),
    rule("uses{}", ONE, 0.8, Value::Known, &["migrated ", "moved from", "moved over to", "moved to", "moved back to"], r"<ive> <adv>(?:migrated|moved) (?:over |back )?(?:from [^,.]{1,30}? )?to <v>"),
    rule("uses{}", MANY, 0.7, Value::Device, &["iphone", "android", "pixel", "samsung", "galaxy", "oneplus", "fairphone", "macbook", "imac", "mac", "thinkpad", "lenovo", "dell", "surface", "chromebook", "raspberry", "framework", "steam", "ipad"], r"(?:<have>|<i> (?:own|got|bought)|<ive> <adv>bought) <v>"),
    rule("project", MANY, 0.75, Value::Exact, &["building", "developing", "writing", "designing", "creating", "working on", "making", "launching", "coding", "composing", "recording"], r"(?:<were> <adv>|<been> )(?:building|developing|making|writing|designing|creating|working on|launching|coding|composing|recording|programming) (?P<value>(?:an?|my|our|my own|our own|the) (?:[\w'+#.-]+ ){0,5}?(?:app|apps|application|website|web site|web app|webapp|site|game|compiler|library|novel|book|thesis|dissertation|startup|start-up|chatbot|bot|blog|platform|plugin|extension|engine|robot|podcast|course|album|screenplay|memoir|cookbook|dashboard|programming language|operating system|online store|online shop|web shop|framework|simulator|paper|documentary|film|comic|trilogy|board game|newsletter|saas|marketplace|emulator|kernel|database engine|interpreter|treehouse|tiny house)(?: (?:about|for|on|in|called|named|that|with|using|to|where|of) [^,.;!?]{2,50})?)(?:$|[.,;!?)]| (?:and|so|but|which|because|at|right|now|as|from|these|this|lately|together)\b)"),
    rule("project", MANY, 0.8, Value::Phrase(8), &["project is", "thesis is", "dissertation is", "novel is", "startup is", "project called", "project, "], r"<my> (?:current |new |side |pet |hobby |personal |school |phd |master's |latest )*(?:side[- ]project|pet project|current project|hobby project|personal project|thesis|dissertation|novel|startup)(?: is|'s| is called) <v>"),
    rule("favourite.{}", ONE, 0.85, Value::Phrase(6), &["favourite ", "favorite "], r"<my> (?:all[- ]time |absolute |personal |very |current )*favou?rite (?P<class>[a-z-]+(?: [a-z-]+)?(?: of all time)?) (?:is|are|has always been|have always been|will always be|would have to be) (?:definitely |probably |still |always |by far )*<v>"),
    rule("favourite.{}", ONE, 0.8, Value::Exact, &["favourite ", "favorite "], r"(?:^|[,;:] |\band |\bbut )(?P<value>[^,;:]{2,40}?)(?: (?:is|are|has always been|will always be)|'s) (?:definitely |still |probably |by far )?my (?:all[- ]time |absolute |personal )*favou?rite (?P<class>[a-z-]+(?: [a-z-]+)?)(?:$|[.,!;)]| (?:and|because|of all time|so|but|to|in)\b)"),
    rule("hobby", MANY, 0.85, Value::Phrase(6), &["hobby is", "hobbies are", "hobbies include", "hobby's", "free time", "spare time"], r"(?:<my> (?:main |biggest |favou?rite |new )?hobb(?:y|ies) (?:is|are|include)|\bin my (?:free|spare) time,? i (?:(?:really|usually|mostly|often) )?(?:like to|love to|enjoy|like|love)?) ?<v>"),
    rule("hobby", MANY, 0.75, Value::Exact, &["i play", "i also play", "ly play", "i've played", "we play", "been playing"], r"(?:<i> <adv>play|<been> playing|\bi've played) (?:the )?(?P<value><pastime>)\b"),
    rule("hobby", MANY, 0.7, Value::Exact, &["i go ", "i often go", "ly go ", "i do ", "i practice ", "i practise "], r"\bi <adv>(?:often )?(?:go (?P<value>climbing|bouldering|running|jogging|hiking|swimming|cycling|fishing|surfing|sailing|skiing|snowboarding|dancing|camping|kayaking|birdwatching|diving|rowing|horse riding|mountain biking)|(?:do|practi[cs]e) (?P<value2>yoga|pilates|karate|judo|crossfit|ballet|taekwondo|aikido|calligraphy|archery|gymnastics|meditation|tai chi|jiu[- ]jitsu|kickboxing|woodworking|triathlons|ceramics))\b(?:$|[.,!;)]| (?:every|once|twice|each|on|regularly|a lot|often|in|with|at|and|three|weekly|daily|as|most|to|for)\b)"),
    rule("hobby", MANY, 0.75, Value::Phrase(4), &["i collect "], r"\bi <adv>collect <v>"),
    rule("hobby", MANY, 0.7, Value::Exact, &["keen ", "avid ", "passionate ", "hobby ", "amateur "], r"<im> <adv>an? (?P<value>(?:keen|avid|passionate|hobby|amateur) [a-z]+(?: [a-z]+(?:er|ist))?)(?:$|[.,!;)]| )"),
    rule("owns", MANY, 0.75, Value::Item(6), &["i own", "we own"], r"<i> <adv>own <v>"),
    rule("owns", MANY, 0.75, Value::Exact, THING_TRIGGERS, r"(?:<have>|<ive> <adv>bought|<ive> <adv>got) (?P<value>(?:<count>|my own|our own|our|our first|my first) (?:[\w-]+ ){0,3}?<thing>)(?:$|[.,!;)]| (?:and|with|in|behind|at|near|that|which|from|for|on|so|but|by|outside|last|this|now|of|where)\b)"),
    rule("owns", MANY, 0.75, Value::Item(5), &["i drive", "we drive", "i ride a"], r"<i> <adv>(?:drive|ride) <v>"),
    // What is to come.
    rule("plan", MANY, 0.8, Value::Dated, &["going to", "flying to", "travelling to", "traveling to", "planning to", "moving to", "visiting ", "getting married", "starting ", "training for", "running a", "running the", "retiring", "hoping to", "expecting", "graduating", "going on", "planning a", "taking part", "headed to", "launching"], r"<were> <adv>(?P<value>(?:going to|flying to|travell?ing to|planning to|hoping to|planning on|moving to|moving in|visiting|getting married|starting|training for|running (?:a|the|my)|retiring|expecting|graduating|going on|planning a|taking part in|headed to|launching|driving to)\b(?s:.*))"),
    rule("plan", MANY, 0.8, Value::Exact, &["getting married", "moving to", "planning my", "planning our", "planning a", "expecting a", "expecting our", "expecting my", "training for"], r"<were> <adv>(?P<value>getting married|moving to [a-z]+(?: [a-z]+)?|planning (?:my|our|an?) (?:[\w-]+ ){0,2}?(?:wedding|trip|holiday|vacation|honeymoon|road trip|move|gap year|sabbatical|retirement|renovation|birthday party)(?: (?:to|in|through|across|around|for) [^,.;!?]{2,40})?|expecting (?:a baby|twins|our \w+ (?:child|baby)|my \w+ (?:child|baby))|training for (?:a|an|the|my first|my) [^,.;!?]{3,40})"),
    rule("plan", MANY, 0.75, Value::Dated, &["i plan to", "we plan to", "i want to", "i intend to", "i'll be", "we'll be", "i will be", "we will be"], r"<i>(?: <adv>(?:plan|intend|want) to| will be|'ll be) <v>"),
    rule("event.{}", ONE, 0.8, Value::Dated, &["wedding", "exam is", "exams are", "exam starts", "interview is", "surgery is", "operation is", "anniversary is", "graduation is", "flight is", "appointment is", "due date is", "deadline is", "defense is", "defence is", "marathon is", "audition is", "vacation is", "vacation starts", "holiday is", "holiday starts", "driving test is"], r"<my> (?:[a-z-]+ )?(?P<class>wedding|exam|exams|interview|job interview|surgery|operation|anniversary|wedding anniversary|graduation|flight|appointment|due date|deadline|thesis defen[sc]e|marathon|audition|vacation|holiday|driving test) (?:is|are|starts|begins) <v>"),
    rule("event.{}", ONE, 0.75, Value::Dated, &["i have a", "i've got a", "we have a"], r"<have> (?:an?|my) (?:[a-z-]+ ){0,2}?(?P<class>wedding|exam|interview|surgery|audition|flight|marathon|driving test|operation) (?:coming up )?<v>"),
    // Body.
    rule("health", MANY, 0.85, Value::Exact, CONDITION_TRIGGERS, r"(?:<have>|\bi (?:also )?(?:suffer from|live with|struggle with)|\bi (?:was|got|am|'ve been|have been)(?: recently| just)? diagnosed with|\bi've been diagnosed with|\bi've (?:recently |just )?been diagnosed with) (?:an? )?(?:severe |mild |chronic |slight |bad )*(?P<value><condition>)\b"),
    rule("health", MANY, 0.85, Value::Exact, &["diabetic", "asthmatic", "blind", "deaf", "dyslexic", "autistic", "pregnant", "epileptic", "hard of hearing", "wheelchair", "anaemic", "anemic", "bipolar", "left-handed"], r"<im> <adv>(?:an? )?(?:(?:type [12]|partially|legally|slightly|severely|completely|red-green) )?(?P<value>diabetic|asthmatic|colou?r[- ]?blind|blind|deaf|dyslexic|autistic|pregnant|epileptic|hard of hearing|ana?emic|bipolar|left-handed)(?:$|[.,!;)]| (?:and|so|but|with|in|since|from|on)\b)"),
    rule("diet", MANY, 0.9, Value::Exact, &["vegan", "vegetarian", "pescatarian", "coeliac", "celiac", "gluten", "lactose"], r"(?:<im>|\bi've been|\bi have been) <adv>(?:an? )?(?:strict |lifelong )?(?P<value>vegan|vegetarian|pescatarian|coeliac|celiac|(?:lactose|gluten)[- ]intolerant|gluten[- ]free)(?:$|[.,!;)]| (?:and|but|so|for|since|now|too|by the way|btw|because|who|with)\b)"),
    rule("diet", MANY, 0.95, Value::Phrase(7), &["allergic to"], r"<im> (?:\w+ly )?(?P<value>allergic to \S(?s:.*))"),
];
