//! The mirror's life: what a sync carries, what it costs, and what it leaves as it was where something is wrong.

mod cuts;
mod faults;
mod gitlab_answers;
mod host_answers;
mod plain;
mod poor_servers;
mod refusals;
mod replay_2020;
mod replay_staging;
mod requests;
mod round_trips;
mod shapes;
mod three_way_against_git;
mod whole_life;
