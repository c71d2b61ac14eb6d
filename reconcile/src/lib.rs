//! Every decision of the cluster as a pure function: `plan(world, key, context) -> Plan`.
//!
//! Never here: clocks, randomness, async, files, sockets. `now` and `seed` are arguments ([`plan::Context`]).
//! The one driver in `control` carries plans out; the agent carries out those of the pod machine.

pub mod plan;
pub mod planners;
pub mod world;

pub use plan::{Action, Context, Plan, Planner, Removal, Waiting};
pub use planners::{PlannerConfig, planners};
pub use world::World;
