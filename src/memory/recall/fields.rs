//! What a wish for advice and a preference can have in common without sharing a word: "what should I cook?" and "I am
//! vegan" are both about food.

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

/// The fields that a text in lower case touches, as bits.
pub(super) fn fields(text: &str) -> u16 {
    let mut bits = 0;
    for range in words(text) {
        let word = &text[range];
        for (bit, list) in FIELDS.iter().enumerate() {
            if list.split_ascii_whitespace().any(|known| is_form_of(word, known)) {
                bits |= 1 << bit;
            }
        }
    }
    bits
}

/// Whether a word is the known one with an ending of a few letters.
fn is_form_of(word: &str, known: &str) -> bool {
    word.strip_prefix(known).is_some_and(|ending| {
        ending.is_empty()
            || known.len() >= 4 && ending.len() <= 4 && ending.bytes().all(|byte| byte.is_ascii_lowercase())
    })
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
