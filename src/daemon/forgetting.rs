//! Forgetting while the daemon runs: everything under way is let go of, the stores are closed, what is wanted is
//! forgotten, and the pipeline starts again. Files that were not through wait in `work/` meanwhile, where what is
//! forgotten is taken out of them too.

use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::boot::open_stores;
use super::control::{Request, Response};
use super::run::Reply;
use super::training::Runs;
use super::working::{Working, start_pipeline};
use super::{Daemon, Report};
use crate::forget::{self, ForgetError, Order, Receipt};
use crate::pipeline::Stop;

/// How long files under way may take to finish before they are let go of.
const PATIENCE: Duration = Duration::from_secs(5);

/// An order, who waits for it, and until when what is under way may finish.
pub(super) struct Forgetting {
    order: Order,
    reply: Reply,
    until: Instant,
}

impl Daemon {
    /// Takes an order: from now on nothing new is begun.
    pub(super) fn begin_to_forget(&mut self, order: Order, reply: Reply, stopping: bool) {
        let refusal = match (stopping, &self.forgetting, order.check()) {
            (true, ..) => Some("the daemon is stopping; ask again when it has".to_owned()),
            (_, Some(_), _) => Some("the daemon is forgetting something already; ask again".to_owned()),
            (_, _, Err(problem)) => Some(problem.to_string()),
            _ => None,
        };
        if let Some(message) = refusal {
            let _ = reply.send(Response::refusal(message));
            return;
        }
        info!(what = order.what.kind(), "pausing, to forget");
        self.intake.stop();
        self.engine.stop(Stop::Draining);
        self.runs.stop();
        self.forgetting = Some(Forgetting { order, reply, until: Instant::now() + PATIENCE });
    }

    /// Forgets, now that the pipeline has ended, and starts it again. `Err` says why it could not be started.
    pub(super) async fn forget(mut self) -> Result<Self, String> {
        let Some(Forgetting { order, reply, .. }) = self.forgetting.take() else { return Ok(self) };
        let Daemon {
            home,
            state,
            engine,
            intake,
            keeper,
            observer,
            reload,
            mut asked,
            signals,
            services,
            once,
            runs,
            lock,
            ..
        } = self;
        let (statistics, started, kept_house, swept) =
            (self.statistics, self.started, self.kept_house, self.swept);
        let decode = reload.chain().load().decode.clone();
        let (at, key) = (home.clone(), services.clone());
        let mut work = tokio::task::spawn_blocking(move || {
            // A run that is under way ends within a second, and begins anew if it knew what is forgotten.
            drop(runs);
            drop(keeper);
            drop(observer);
            drop(intake);
            engine.finish();
            drop(state);
            let key =
                key.home_key(&at).map_err(|source| ForgetError::File { path: at.root.clone(), source })?;
            forget::forget(&at, &decode, key, &order, jiff::Timestamp::now())
        });
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                Some((request, reply)) = asked.recv() => {
                    let _ = reply.send(match request {
                        Request::Status => Response::Status(Box::new(Report {
                            running: true,
                            pid: Some(std::process::id()),
                            version: env!("CARGO_PKG_VERSION").into(),
                            uptime_seconds: started.elapsed().as_secs(),
                            paused: Some("something is being forgotten".into()),
                            stages: reload.stages.clone(),
                            ..Report::default()
                        }.look_at(&home))),
                        _ => Response::refusal("the daemon is forgetting something; ask again"),
                    });
                }
            }
        };
        let answer = match done {
            Ok(done) => answer(done),
            Err(panic) => Response::refusal(format!("forgetting failed: {panic}")),
        };
        let chain = reload.chain().load_full();
        let stores =
            open_stores(&home, &chain.decode, &chain.stages, &services).map_err(|error| error.to_string());
        let started_again = stores.and_then(|stores| {
            let state = stores.state.clone();
            let working = start_pipeline(&home, stores, &reload, &services, once);
            let config_dir = reload.path().parent().unwrap_or(&home.root);
            let runs = Runs::start(&home, config_dir, &reload.settings().training, once);
            Ok((state, working.map_err(|error| error.to_string())?, runs.map_err(|error| error.to_string())?))
        });
        let _ = reply.send(answer);
        let (state, working, runs) = started_again.inspect_err(|reason| error!(reason, "cannot go on"))?;
        let Working { engine, intake, keeper, observer } = working;
        Ok(Daemon {
            home,
            state,
            engine,
            intake,
            keeper,
            observer,
            reload,
            asked,
            signals,
            statistics,
            runs: std::sync::Arc::new(runs),
            started,
            kept_house,
            swept,
            services,
            once,
            forgetting: None,
            lock,
        })
    }
}

/// Passes when what is under way has had its time; never where nothing is to be forgotten.
pub(super) async fn patience(forgetting: Option<&Forgetting>) {
    match forgetting {
        Some(forgetting) if forgetting.until > Instant::now() => {
            tokio::time::sleep_until(forgetting.until.into()).await;
        }
        _ => std::future::pending().await,
    }
}

fn answer(done: Result<Receipt, ForgetError>) -> Response {
    match done {
        Ok(receipt) => Response::Forgot(Box::new(receipt)),
        Err(problem) => {
            warn!(error = %problem, "could not forget");
            Response::Error { message: problem.to_string(), hint: problem.hint().map(str::to_owned) }
        }
    }
}
