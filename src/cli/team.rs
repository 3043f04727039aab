//! The load machines that drive a run together; most runs have one.

use crate::cli::args::RunArgs;
use crate::cli::exit::Failure;
use crate::generate::WorkerNumber;
use crate::history::Header;
#[cfg(feature = "live")]
use crate::run::{Common, Running, Worker};
use crate::workload::Workload;

/// This machine among them.
pub(crate) struct Team {
    pub(crate) own: WorkerNumber,
    #[cfg(feature = "live")]
    met: Met,
}

#[cfg(feature = "live")]
enum Met {
    Alone,
    There(Worker),
    Running(Running),
}

#[cfg(not(feature = "live"))]
impl Team {
    #[expect(clippy::unnecessary_wraps, reason = "as with live targets")]
    pub(crate) fn meet(_: &RunArgs, _: &Workload, _: u64) -> Result<Self, Failure> {
        Ok(Self { own: WorkerNumber::default() })
    }

    pub(crate) fn seed(&self, seed: u64) -> u64 {
        seed
    }

    pub(crate) fn run_name(&self) -> Option<String> {
        None
    }

    pub(crate) fn header(&self, header: Header) -> Header {
        header
    }

    #[expect(clippy::unnecessary_wraps, reason = "as with live targets")]
    pub(crate) fn start(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    pub(crate) fn clock_error_ns(&mut self) -> u64 {
        0
    }
}

#[cfg(feature = "live")]
impl Team {
    /// Waits for the others, if there shall be any.
    pub(crate) fn meet(args: &RunArgs, workload: &Workload, seed: u64) -> Result<Self, Failure> {
        let (Some(worker), Some(address)) = (&args.worker, &args.coordinator) else {
            return Ok(Self { own: WorkerNumber::default(), met: Met::Alone });
        };
        if let crate::workload::TargetChoice::Store(store) = &workload.target {
            return Err(Failure::bad_input(format!(
                "--worker {worker}: nobody else reaches the simulated store {}; the workload needs a \
                 target file",
                store.name
            )));
        }
        let numbers = worker.split_once('/');
        let own = numbers
            .and_then(|(number, of)| WorkerNumber::new(number.parse().ok()?, of.parse().ok()?));
        let own = own.ok_or_else(|| {
            Failure::bad_input(format!("--worker {worker}: expected one such as 2/3"))
        })?;
        let run = crate::target::name_of_run();
        let common = Common { workload: workload.name.clone(), seed, run };
        let met = Worker::meet(address, own, common)
            .map_err(|error| Failure::target(format!("no meeting at {address}: {error}")))?;
        Ok(Self { own, met: Met::There(met) })
    }

    /// The seed of this machine; all of one seed together make the same run.
    pub(crate) fn seed(&self, seed: u64) -> u64 {
        match &self.met {
            Met::There(worker) => worker.common.seed.wrapping_add(u64::from(self.own.number()) - 1),
            Met::Alone | Met::Running(_) => seed,
        }
    }

    /// What the keys begin with, where several machines use them.
    pub(crate) fn run_name(&self) -> Option<String> {
        match &self.met {
            Met::There(worker) => Some(worker.common.run.clone()),
            Met::Alone | Met::Running(_) => None,
        }
    }

    /// The header of a history, with what it says of the machine. Until the run is over, nothing is known
    /// of its clock.
    pub(crate) fn header(&self, header: Header) -> Header {
        if let Met::Alone = self.met {
            return header;
        }
        let worker = format!("{}/{}", self.own.number(), self.own.of());
        Header { worker: Some(worker), clock_error_ns: Some(u64::MAX), ..header }
    }

    /// Waits until all are ready. When it comes back the run begins.
    pub(crate) fn start(&mut self) -> Result<(), Failure> {
        if let Met::There(worker) = std::mem::replace(&mut self.met, Met::Alone) {
            let running = worker.start().map_err(|error| {
                Failure::target(format!("the load machines do not start together: {error}"))
            })?;
            self.met = Met::Running(running);
        }
        Ok(())
    }

    /// How far the clock was from that of the first machine at most.
    pub(crate) fn clock_error_ns(&mut self) -> u64 {
        match std::mem::replace(&mut self.met, Met::Alone) {
            Met::Running(running) => running.clock_error_ns(),
            Met::Alone | Met::There(_) => 0,
        }
    }
}
