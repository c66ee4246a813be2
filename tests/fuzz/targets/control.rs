use atles::daemon::{Request, Response};
use atles::forget::{Order, What};

use crate::driver::Target;

/// Lines that come in at the control socket, and the answers that a client reads.
pub(crate) struct Requests;

impl Target for Requests {
    const NAME: &'static str = "control";
    const INPUTS: u64 = 5000;
    const VARIANTS: usize = 1;
    const WORDS: &'static [&'static str] = &[
        "ask",
        "status",
        "take_back",
        "name",
        "forget",
        "order",
        "what",
        "session",
        "user",
        "fact",
        "matching",
        "dry_run",
        "stop",
        "answer",
        "ok",
        "error",
        "message",
        "hint",
        "forgot",
    ];

    fn new() -> Self {
        Requests
    }

    fn seeds() -> Vec<Vec<u8>> {
        let order = |what| Order { what, user: Some("ada".into()), dry_run: true };
        let mut requests = vec![
            Request::Status,
            Request::Stop,
            Request::TakeBack { name: b"caf\xe9.json".to_vec() },
            Request::Forget { order: order(What::Session("s".into())) },
            Request::Forget { order: order(What::Fact(7)) },
            Request::Forget { order: order(What::Matching("gin and tonic".into())) },
        ];
        requests.push(Request::Forget { order: Order { user: None, ..order(What::User(String::new())) } });
        let mut seeds: Vec<Vec<u8>> = requests.iter().map(|it| serde_json::to_vec(it).unwrap()).collect();
        for answer in [Response::Ok, Response::Error { message: "m".into(), hint: Some("h".into()) }] {
            seeds.push(serde_json::to_vec(&answer).unwrap());
        }
        seeds
    }

    fn take(&mut self, input: &[u8], _: usize) {
        let _ = serde_json::from_slice::<Response>(input);
        let Ok(request) = serde_json::from_slice::<Request>(input) else { return };
        if let Request::Forget { order } = &request {
            let _ = order.check();
        }
        let line = serde_json::to_vec(&request).unwrap();
        assert!(!line.contains(&b'\n'));
        assert_eq!(serde_json::from_slice::<Request>(&line).unwrap(), request);
    }
}
