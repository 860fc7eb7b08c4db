//! Proofs of the algorithms that choose endpoints: on the pure code, with seeds, in virtual time.

#[cfg(test)]
mod absurd;
#[cfg(test)]
mod allocation;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod distribution;
#[cfg(test)]
mod hashing;
#[cfg(test)]
mod slow_pods;
