//! Sessions of any size that read like chats, the same for the same number.

use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

const ASKS: &[&str] = &[
    "How do I read a file line by line in {} without loading it all?",
    "I get an error when I call the endpoint twice in a row, it says the connection is closed.",
    "Could you explain how {} handles errors compared to exceptions?",
    "What is the difference between a list and a tuple?",
    "What can I cook with {} for six people in half an hour?",
    "That works, thanks. Now the query takes four seconds on a table with two million rows.",
    "Please rewrite this paragraph so that it sounds friendlier, it is for a customer who waited three weeks.",
    "We are planning a trip to {} in October, by train if possible. What should we not miss?",
    "No, that is not what I meant: the second column should be sorted, the first one stays as it is.",
    "Can you show me how the test for that would look, and where it belongs in the project?",
    "The build on the server fails with a missing symbol although it works on my machine, what should I check first?",
    "What does this sentence mean in English, and is it polite enough for somebody I do not know well?",
    "How long does the dough have to rest in the fridge, and what happens if I leave it over night?",
    "Why is the second version faster when both do the same number of comparisons?",
    "Give me three subject lines for the newsletter, none of them longer than six words.",
    "How do I split the bill fairly when one of us only had a soup and the others shared two bottles of wine?",
    "What would be the next step if the tests are green but the page is still blank in the browser?",
];
const STATEMENTS: &[&str] = &[
    "I live near {} and I work as a nurse, so evenings are difficult.",
    "I prefer short answers with one example.",
    "My sister is visiting next week and she is vegetarian.",
    "I always use tabs, please keep it that way.",
];
const ANSWERS: &[&str] = &[
    "There are two good ways. The simplest is to open the file and iterate over it, because the iterator reads a buffer at a time and hands you one line after the other; memory stays flat however long the file is.",
    "The connection pool closes idle connections after a while, and the second call still holds the old one. Ask the pool for a connection for every call, or turn on the health check, and the error goes away.",
    "Errors are ordinary values there: a function returns either a result or an error, and the caller has to look at it. That makes the paths visible in the code, at the price of some more lines than with exceptions.",
    "Add an index on the two columns that the filter uses, in the order in which you filter. Then look at the plan again: it should say that it searches with the index instead of scanning the whole table.",
    "A risotto would work well: it takes half an hour, most of it stirring, and it forgives small mistakes. Toast the rice, add the stock one ladle at a time, and finish with butter and a little cheese.",
    "Take the early train, it is less crowded and the views are on the left side. Stay two nights in the old town, and keep the museum for the afternoon when it is too hot to walk around.",
];
const THINGS: &[&str] =
    &["Python", "Rust", "Lisbon", "lentils", "Slovenia", "Kyoto", "Go", "aubergines", "Leipzig"];

/// A small generator of numbers, the same on every machine.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }
}

/// A session file of about so many bytes in so many messages.
pub(crate) fn session(number: usize, bytes: usize, messages: usize) -> String {
    let mut numbers = Numbers(number as u64 + 1);
    let each = bytes / messages - 70;
    let mut out = format!(
        "{{\n \"session_id\": \"bench-{number:06}\",\n \"user_id\": \"user-{}\",\n \"app\": \"bench\",\n \"start_time\": \"2026-05-{:02}T10:{:02}:00\",\n \"messages\": [",
        number % 50,
        1 + number % 28,
        number % 60
    );
    for index in 0..messages {
        let (role, lines) = if index % 2 == 0 { ("user", ASKS) } else { ("assistant", ANSWERS) };
        // In real chats about one session in three says something lasting about its user.
        let mut text = match numbers.next(30) {
            0 if index % 2 == 0 => {
                STATEMENTS[numbers.next(STATEMENTS.len())].replace("{}", THINGS[numbers.next(THINGS.len())])
                    + " "
            }
            _ => String::new(),
        };
        while text.len() < each {
            let line = lines[numbers.next(lines.len())].replace("{}", THINGS[numbers.next(THINGS.len())]);
            let _ = write!(text, "{line} (case {}) ", numbers.next(100_000));
        }
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(out, "{comma}\n  {{\"role\": \"{role}\", \"content\": \"{}\"}}", text.trim_end());
    }
    out + "\n ]\n}\n"
}

/// Writes the sessions of these numbers into a folder.
pub(crate) fn fill(folder: &Path, numbers: Range<usize>, bytes: usize, messages: usize) {
    std::fs::create_dir_all(folder).expect("the folder can be made");
    for number in numbers {
        let path = folder.join(format!("bench-{number:06}.json"));
        std::fs::write(path, session(number, bytes, messages)).expect("a session can be written");
    }
}
