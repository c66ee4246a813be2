//! What a wish for advice and a preference can have in common without sharing a word: "what should I cook?" and "I am
//! vegan" are both about food.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::text::words::words;

/// Fields of life, each with words of questions and of preferences, by their beginnings.
const FIELDS: [&str; 11] = [
    "cook dinner lunch breakfast recipe meal eat restaurant food snack dish menu bake baking dessert cake grill \
     barbecue vegan vegetarian meat fish seafood gluten dairy lactose nut peanut allerg spicy spice cilantro coriander \
     mushroom olive cheese soup salad pasta chicken pork beef tofu sushi pizza diet halal kosher sugar sweet sour \
     vegetable fruit garlic onion pescatarian keto cuisine groceries supper brunch picnic buffet cater",
    "drink coffee tea wine beer cocktail alcohol bar juice soda espresso decaf whisky toast",
    "travel trip holiday vacation flight fly flying hotel hostel train beach mountain hike hiking camping airbnb \
     itinerary weekend getaway city museum visit cruise ferry seat airport sightsee tour destination island road",
    "code coding program function script library framework language python rust javascript typescript java golang \
     editor vim emacs tabs spaces indent test tests database sql api backend frontend linux terminal deploy docker \
     variable comment comments type typed semicolon refactor app website tool stack orm",
    "music song album band playlist concert jazz rock pop classical opera techno metal guitar piano listen headphone",
    "film movie movies series show watch cinema horror comedy documentary thriller anime netflix subtitle dubbed \
     genre evening",
    "book books novel read reading author fantasy biography poetry audiobook fiction mystery",
    "sport sports exercise workout gym run running yoga swim swimming cycling bike football tennis climb climbing \
     fitness training marathon stretch knee class",
    "write writing email letter answer answers reply explain explanation summary summarise summarize tone formal \
     informal emoji emojis bullet bullets paragraph concise short brief detailed metric imperial units celsius \
     fahrenheit jargon text post essay message report draft headline",
    "gift present birthday party wear clothes outfit dress shirt shoes colour color decor furniture wool leather \
     perfume scent fragrance jewelry jewellery",
    "animal pet dog cat hamster rabbit bird reptile fur garden plant plants flower flowers balcony",
];

/// The words of all fields, each with its fields as bits.
static WORDS: LazyLock<HashMap<&'static str, u16>> = LazyLock::new(|| {
    let mut words = HashMap::new();
    for (bit, list) in FIELDS.iter().enumerate() {
        for word in list.split_ascii_whitespace() {
            *words.entry(word).or_insert(0) |= 1 << bit;
        }
    }
    words
});

/// Letters that a word may have behind one of ours of at least [`STEM`] letters: `cook` is in `cooking`.
const ENDING: usize = 4;
const STEM: usize = 4;

/// The fields that a text in lower case touches, as bits.
pub(super) fn fields(text: &str) -> u16 {
    words(text).map(|range| fields_of(&text[range])).fold(0, |all, some| all | some)
}

fn fields_of(word: &str) -> u16 {
    let known = |part: &str| WORDS.get(part).copied().unwrap_or(0);
    let shortest = word.len().saturating_sub(ENDING).max(STEM);
    let stems = (shortest..word.len()).filter_map(|end| word.get(..end));
    stems.map(known).fold(known(word), |all, some| all | some)
}

/// Kinds of preference that belong to a field whatever their words are.
pub(super) fn fields_of_kind(kind: &str) -> u16 {
    if kind == "diet" { 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_and_a_preference_meet_in_a_field_and_not_in_another() {
        for (wish, preference, meet) in [
            ("what should i cook tonight?", "vegan", true),
            ("any restaurants near the station?", "mushrooms", true),
            ("plan a trip to rome", "flying", true),
            ("recommend a film", "horror movies", true),
            ("what should i cook tonight?", "horror movies", false),
            ("which framework should i use?", "cilantro", false),
        ] {
            assert_eq!(fields(wish) & fields(preference) != 0, meet, "{wish} {preference}");
        }
    }
}
