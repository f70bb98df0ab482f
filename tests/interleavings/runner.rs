//! Runs one interleaving.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::blocked::Waits;
use crate::history::{Event, Happened};
use crate::script::Play;
use crate::session::Session;
use crate::stage::Stage;
use crate::step::Step;

/// Between questions who is blocked, while a step runs. Nothing depends on it but how often is asked.
const PAUSE: Duration = Duration::from_millis(3);
/// A step that takes so long hangs.
const HANG: Duration = Duration::from_secs(60);

/// What a session is doing.
#[derive(Debug)]
enum Doing {
    Idle(Box<Session>),
    Busy(Busy),
    /// While it passes from one to the other.
    Between,
}

#[derive(Debug)]
struct Busy {
    task: JoinHandle<(Box<Session>, Happened)>,
    step: Step,
    began: u64,
    resumed: u64,
}

/// Sessions, and what they have done in the present interleaving.
#[derive(Debug)]
pub(crate) struct Runner {
    names: Vec<String>,
    doing: Vec<Doing>,
    round: u64,
    events: Vec<Event>,
}

impl Runner {
    pub(crate) async fn new(stage: &Stage, sessions: usize) -> Self {
        let mut doing = Vec::new();
        let mut names = Vec::new();
        for number in 0..sessions {
            let session = Session::new(stage, number).await;
            names.push(session.name.clone());
            doing.push(Doing::Idle(Box::new(session)));
        }
        Self {
            names,
            doing,
            round: 0,
            events: Vec::new(),
        }
    }

    pub(crate) const fn sessions(&self) -> usize {
        self.doing.len()
    }

    pub(crate) const fn round(&self) -> u64 {
        self.round
    }

    /// Takes the steps of a play in an order; a session that waits for another takes its next steps when
    /// it goes on. Returns what happened, or what cannot be.
    pub(crate) async fn run(
        &mut self,
        stage: &Stage,
        play: &Play,
        order: &[usize],
    ) -> Result<Vec<Event>, String> {
        self.round = 0;
        self.events.clear();
        for (session, step) in &play.setup {
            self.begin(*session, *step);
            self.until_quiet(stage).await?;
            if !self.is_idle(*session) {
                return Err(format!("{step:?} of the setup waits for another session"));
            }
        }
        let mut taken = vec![0; self.doing.len()];
        let mut waiting: Vec<VecDeque<Step>> = vec![VecDeque::new(); self.doing.len()];
        for session in order {
            waiting[*session].push_back(play.scripts[*session][taken[*session]]);
            taken[*session] += 1;
            while let Some(next) = (0..waiting.len())
                .find(|session| self.is_idle(*session) && !waiting[*session].is_empty())
            {
                let step = waiting[next].pop_front().expect("it is not empty");
                self.begin(next, step);
                self.until_quiet(stage).await?;
            }
        }
        let stuck: Vec<_> = (0..self.doing.len())
            .filter(|session| !self.is_idle(*session))
            .collect();
        if !stuck.is_empty() {
            return Err(format!("sessions {stuck:?} wait for ever"));
        }
        Ok(self.events.clone())
    }

    /// What has happened until now.
    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    /// All sessions vanish.
    pub(crate) async fn vanish(&mut self) {
        for doing in &mut self.doing {
            if let Doing::Idle(session) = doing {
                session.vanish().await;
            }
        }
    }

    /// Lets their members go, once nothing is looked at any more.
    pub(crate) async fn dismiss(&mut self) {
        let anew = self
            .events
            .iter()
            .any(|event| matches!(event.step, Step::Seek(..) | Step::Cancel(_) | Step::Drop));
        for doing in &mut self.doing {
            if let Doing::Idle(session) = doing {
                session.dismiss(anew).await;
            }
        }
    }

    fn is_idle(&self, session: usize) -> bool {
        matches!(self.doing[session], Doing::Idle(_))
    }

    fn begin(&mut self, session: usize, step: Step) {
        self.round += 1;
        let began = self.round;
        match std::mem::replace(&mut self.doing[session], Doing::Between) {
            Doing::Idle(mut idle) => {
                let task = tokio::spawn(async move {
                    let happened = idle.take(step).await;
                    (idle, happened)
                });
                self.doing[session] = Doing::Busy(Busy {
                    task,
                    step,
                    began,
                    resumed: began,
                });
            }
            other => self.doing[session] = other,
        }
    }

    /// Until every step has ended, or waits for a session that has no step under way.
    async fn until_quiet(&mut self, stage: &Stage) -> Result<(), String> {
        let quiet = async {
            // Those that are not known to wait; at first the one that has just begun.
            let mut moving: BTreeSet<usize> = (0..self.doing.len())
                .filter(|session| {
                    matches!(&self.doing[*session], Doing::Busy(busy) if busy.began == self.round)
                })
                .collect();
            loop {
                self.harvest(stage, &moving).await;
                let busy = self.busy();
                if busy.is_empty() {
                    return;
                }
                let waits = Waits::read(&stage.observer, &self.names).await;
                let stuck = waits.stuck(&busy);
                moving = busy.difference(&stuck).copied().collect();
                if self.harvest(stage, &BTreeSet::new()).await == 0 && moving.is_empty() {
                    for doing in &mut self.doing {
                        if let Doing::Busy(busy) = doing {
                            busy.resumed = self.round + 1;
                        }
                    }
                    return;
                }
            }
        };
        match tokio::time::timeout(HANG, quiet).await {
            Ok(()) => Ok(()),
            Err(_) => Err("a step neither ends nor waits for another session".to_owned()),
        }
    }

    fn busy(&self) -> BTreeSet<usize> {
        (0..self.doing.len())
            .filter(|session| !self.is_idle(*session))
            .collect()
    }

    /// Takes in what has ended; tells how many steps. It gives those that move a moment.
    async fn harvest(&mut self, stage: &Stage, moving: &BTreeSet<usize>) -> usize {
        let mut ended = 0;
        for session in 0..self.doing.len() {
            let Doing::Busy(busy) = &mut self.doing[session] else {
                continue;
            };
            let result = if moving.contains(&session) {
                tokio::time::timeout(PAUSE, &mut busy.task).await.ok()
            } else if busy.task.is_finished() {
                Some((&mut busy.task).await)
            } else {
                None
            };
            let Some(result) = result else {
                continue;
            };
            let (idle, happened) = result.expect("no step panics");
            let Doing::Busy(busy) = std::mem::replace(&mut self.doing[session], Doing::Idle(idle))
            else {
                continue;
            };
            ended += 1;
            self.events.push(Event {
                session,
                step: busy.step,
                began: busy.began,
                resumed: busy.resumed,
                ended: self.round,
                clock: fanout_core::Clock::now(&*stage.clock),
                happened,
            });
        }
        ended
    }
}
