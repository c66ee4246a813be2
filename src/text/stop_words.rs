//! Words that say nothing of what a text is about, in the languages most chats are written in. The same lists tell
//! these languages apart.

use std::sync::LazyLock;

use super::word_hash::{WordId, WordList, WordMap};

/// Words that bear the grammar, by ISO 639-3 code, lower case. The first list has the most: it also judges English
/// small talk.
const FUNCTION_WORDS: [(&str, &str); 11] = [
    (
        "eng",
        "a about above after again against all also am an and any are aren't as at be because been before being \
         below between both but by can can't cannot could couldn't did didn't do does doesn't doing don't down during \
         each either else few for from further had hadn't has hasn't have haven't having he he'd he'll he's her here \
         hers herself him himself his how however i i'd i'll i'm i've if in into is isn't it it's its itself just let \
         let's me more most much my myself neither no nor not of off on once only onto or other others our ours \
         ourselves out over own rather same she she'd she'll she's should shouldn't since so some such than that \
         that's the their theirs them themselves then there there's these they they'd they'll they're they've this \
         those though through to too toward towards under unless until up upon us very was wasn't we we'd we'll we're \
         we've were weren't what what's whatever when where where's whether which while who who's whom whose why will \
         with within without won't would wouldn't yet you you'd you'll you're you've your yours yourself yourselves",
    ),
    (
        "deu",
        "aber alle allem allen aller alles als also am an ander andere anderen auch auf aus bei beim bin bis bist da \
         damit dann das dass dein deine deinen dem den denn der des dich die dies diese diesem diesen dieser dieses \
         dir doch dort du durch ein eine einem einen einer eines er es etwas euch für gegen gibt habe haben hat hatte \
         hatten hier hin ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in indem ins ist ja jede jedem jeden jeder \
         jetzt kann kannst kein keine keinen können könnte machen man mehr mein meine meinem meinen meiner mich mir \
         mit muss nach nein nicht nichts noch nun nur ob oder ohne schon sehr sein seine seinem seinen seiner selbst \
         sich sie sind so soll sollte sondern sonst über um und uns unser unsere unter vom von vor war waren warum was \
         weil welche welcher wenn werde werden wie wieder will wir wird wirst wo wollen würde würden zu zum zur zwar \
         zwischen",
    ),
    (
        "fra",
        "ai alors après as au aucun aussi autre aux avait avant avec avez avoir avons bien c'est car ce cela ces cet \
         cette ceux chez comme comment d'un d'une dans de depuis des deux doit donc dont du elle elles en encore entre \
         est et étaient était étant être eu fait faire faut ici il ils j'ai je jusqu l'on la là le les leur leurs lui \
         ma mais me même merci mes moi moins mon n'est ne ni nos notre nous on ont ou où par parce pas peu peut peux \
         plus pour pourquoi pouvez puis qu'il qu'on quand que quel quelle quelles quels qui quoi sa sans se sera ses si \
         sinon soit son sont sous suis sur ta te tes toi ton tous tout toute toutes très trop tu un une va vers voici \
         voilà vos votre voudrais vous y",
    ),
    (
        "spa",
        "a al algo algunas algunos ante antes aquí así aún como con contra cual cuando de del desde donde dos el él \
         ella ellas ellos en entonces entre era eran eres es esa esas ese eso esos esta está están estas este esto \
         estos estoy fue fueron gracias ha había hacer hace han hasta hay he la las le les lo los más me mi mis mucho \
         muchos muy nada ni no nos nosotros nuestra nuestro o os otra otras otro otros para pero poco por porque puede \
         puedes puedo que qué quien quiero se sea ser si sí sido sin sobre son soy su sus también tan tanto te tengo \
         ti tiene tienen todo todos tu tus un una unas uno unos usted y ya yo",
    ),
    (
        "ita",
        "a abbiamo agli ai al alla alle allo anche ancora avere c'è che chi ci ciò col come con cosa così cui da dagli \
         dai dal dalla dalle degli dei del dell della delle dello di dopo dove e è era erano essere fa fare fra gli \
         grazie ha hai hanno ho i il in io l'ho la le lei li lo loro lui ma me mi mia mie miei mio molto ne negli nei \
         nel nella nelle noi non nostra nostro o ogni per perché però più poi posso può puoi qual quale quando quella \
         quelle quelli quello questa queste questi questo qui sarebbe se sei senza si sì sia siamo solo sono sta stato \
         su sua sue sugli sui sul sulla suo suoi tra tu tua tuo tutti tutto un una uno vi voi vorrei",
    ),
    (
        "por",
        "a ainda ao aos aquela aquele aqui as às até bem com como da das de dela dele deles depois do dos e é ela elas \
         ele eles em entre era essa esse esta está estão estas este estes estou eu fazer foi for foram há isso isto já \
         lhe mais mas me mesmo meu meus minha minhas muito muitos na não nas nem no nos nós nossa nosso num numa o \
         obrigado os ou para pela pelas pelo pelos pode posso pode por porque qual quando que quem quero se seja sem \
         ser será seu seus só são sobre sou sua suas também te tem têm tenho ter teu toda todas todo todos tu tua um \
         uma umas uns você vocês vou",
    ),
    (
        "nld",
        "aan al alle alleen als andere ben bent bij daar dan dat de deze die dit doen door dus een eens en er geen \
         gewoon graag had hadden hebben hebt heb heeft heel hem hen het hier hij hoe hun ik in is ja je jij jouw jullie \
         kan kunnen kunt maar me meer men met mij mijn moet moeten na naar nee niet niets nog nu of om omdat ons onze \
         ook op over te tegen toch toen tot u uit uw van veel voor waar waarom wat we wel welke werd wie wij wil willen \
         word worden wordt zal ze zeer zich zij zijn zo zonder zou zouden",
    ),
    (
        "rus",
        "а без бы был была были было быть в вам вас ваш весь во вот все всё всего всех вы где да даже для до его ее её \
         если есть еще ещё же за здесь и из или им их к как какая какие какой когда который которая которые кто ли мне \
         меня мной может можешь можно мой моя мои мое моё моего моей мы на над надо нам нас не него нее неё нет ни них \
         но ну о об однако он она они оно от очень по под пожалуйста после потому почему при про с сейчас себя со \
         спасибо так также такой там те тебя тем то тобой того тоже той только том тот ты у уже хочу что чтобы чтоб эта \
         эти это этого этой этом этот я",
    ),
    (
        "pol",
        "aby ale albo ani bardzo bez bo by być był była było były chcę ci ciebie co czy dla do dlaczego gdy gdzie go i \
         ich ile im inne ja jak jaki jakie jako je jego jej jest jestem jeszcze jeśli już każdy kiedy kto która które \
         którego który których lub ma mam masz mi mnie mną mogę może możesz można mój moja moje moją mojego mojej my na \
         nad nam nas nasz nic nich nie niż o od on ona one oni oraz po pod ponieważ proszę przed przez przy się są tak \
         także tam te tego tej ten teraz też to tobie tu tutaj twój tych tylko tym u w we więc wszystko z za ze że",
    ),
    (
        "swe",
        "alla allt att av bara blev bli blir de den denna deras dess det detta dig din dina ditt du där efter ej eller \
         en ett från för ha hade han har hela hennes hon hur här i ingen inte jag ju kan kunde man med mellan men mig \
         min mina mitt mot mycket måste ni nu när någon något några och om oss på samma sedan sig sin sina sitt ska \
         skulle som så till tack under upp ut utan vad var vara varför varit vart vem vi vid vilka vilken vill är över",
    ),
    (
        "tur",
        "acaba ama bana bazı belki ben beni benim bir biri biraz biz bizim bu buna bunu bunun çok çünkü da daha de \
         değil diye en gibi göre hangi hem hep hepsi her hiç için ile ise işte kadar ki kim lütfen mı mi mu mü nasıl ne \
         neden nerede niye o olan olarak oldu olduğu olmak olur ona onlar onu onun sana sen seni senin siz sizin şey şu \
         tüm ve var veya ya yani yok",
    ),
];

/// English words that say something, but never what a chat is about.
const SMALL_TALK: &str = "able absolutely actually almost already always amazing another anything anyway around aspect awesome away awful \
     back bad basically become beautiful believe best better big bit bring bunch bye call came care case certain \
     certainly chance change check come comes coming common considered cool couple course cute day days deal \
     definitely depend depends different difficult done easier easy end enjoy enough especially etc even ever every \
     everyone everything exactly example excited exciting extra fact fantastic far fast feel feeling feels felt \
     find fine first five follow following found four fun full general generally get gets getting give given gives \
     glad go goes going gonna good got gotta great guess guy guys haha hand happen happened happens happy hard hear \
     heard hello help helped helpful helping helps hey hi hmm hope hour hours huge i'd idea ideas imagine important \
     include including incredible inspiring instead interested interesting issue keep kind kinds knew know known last \
     late lately later learn least left less life like liked likely little live lol long longer look looked looking \
     looks lot lots love loved lovely made main make makes making many matter may maybe mean meaning means met might \
     mind moment moments month months morning must name need needed needs never new next nice night nope nothing now \
     number often oh ok okay old one ones open opportunity otherwise overall pain part particular past people perfect \
     perhaps person picture place plan plans please point possible pretty probably problem proud provide put question \
     questions quick quickly quite read ready real realize really reason recently recommend remember right run said \
     saw say saying says second see seeing seem seems seen set several shall share sharing short show shown similar \
     simple simply small somehow someone something sometimes soon sorry sort sounds sound special specific start \
     started starting starts stay step steps still stop stuff suggest super support supportive sure surely take taken \
     takes taking talk tell ten tend thank thanks thing things think thinking thought thoughts three time times today \
     together told tomorrow tonight took totally tough tried true truly try trying turn two type understand unfortunately \
     use used useful uses using usually various via wait wanna want wanted wants way ways week weekend weeks welcome \
     well went whole wish without wonder wonderful wondering word words work worked working works world worries worry \
     worth wow wrong yay yeah year years yep yes yesterday yet shares photo image along anyone appreciate appreciated \
     brought busy chill congrats congratulations dealing difference experience experiences favorite favourite figure \
     finally finished giving hilarious impressive inspired motivated passionate pic pics positive process progress \
     reminding reminds rewarding shared thankful thankfully watched welcome";

/// Function words of these languages and small talk, each with the languages (bits, in the order of the table) that
/// have it.
static WORDS: LazyLock<WordList<u16>> = LazyLock::new(|| {
    let mut words = WordMap::default();
    for (bit, (_, list)) in FUNCTION_WORDS.iter().enumerate() {
        for word in list.split_ascii_whitespace() {
            *words.entry(WordId::of(word)).or_insert(0) |= 1 << bit;
        }
    }
    for word in SMALL_TALK.split_ascii_whitespace() {
        words.entry(WordId::of(word)).or_insert(SMALL_TALK_BIT);
    }
    words.into()
});

const SMALL_TALK_BIT: u16 = 1 << 15;

/// Whether a lower-case word is a function word of one of these languages, or English small talk.
pub(crate) fn is_stop_word(word: WordId) -> bool {
    WORDS.get(word).is_some()
}

/// Whether a lower-case word is an English function word.
pub(crate) fn is_english_function_word(word: &str) -> bool {
    WORDS.get(WordId::of(word)).is_some_and(|languages| languages & 1 == 1)
}

/// Counts of function words by language.
#[derive(Debug, Default)]
pub(crate) struct FunctionWords {
    counts: [u32; FUNCTION_WORDS.len()],
}

impl FunctionWords {
    /// Counts one lower-case word.
    pub(crate) fn add(&mut self, word: &str) {
        if let Some(languages) = WORDS.get(WordId::of(word)) {
            for (bit, count) in self.counts.iter_mut().enumerate() {
                *count += u32::from(languages >> bit & 1);
            }
        }
    }

    /// The language with the most, their number, and the number of the runner-up.
    pub(crate) fn leader(&self) -> (&'static str, u32, u32) {
        let mut order: Vec<usize> = (0..self.counts.len()).collect();
        order.sort_unstable_by_key(|bit| std::cmp::Reverse(self.counts[*bit]));
        (FUNCTION_WORDS[order[0]].0, self.counts[order[0]], self.counts[order[1]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_word_is_lower_case_and_found() {
        for list in FUNCTION_WORDS.iter().map(|(_, list)| *list).chain([SMALL_TALK]) {
            for word in list.split_ascii_whitespace() {
                assert_eq!(word, word.to_lowercase());
                assert!(is_stop_word(WordId::of(word)), "{word}");
            }
        }
        assert!(!is_stop_word(WordId::of("kubernetes")));
    }

    #[test]
    fn the_language_with_most_function_words_leads() {
        let mut words = FunctionWords::default();
        "ich habe das nicht in der stadt".split(' ').for_each(|word| words.add(word));
        let (leader, most, second) = words.leader();
        assert_eq!((leader, most), ("deu", 6));
        assert!(second < most);
    }
}
