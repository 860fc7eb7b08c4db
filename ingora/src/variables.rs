//! A flag beats variables: its own, as clap has it, and those of the flags that exclude it.
use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{Arg, Command, Id};

/// The command line without the variables that a flag in `words` beats. Two variables that exclude each other stay, and
/// clap tells about them.
pub(crate) fn without_beaten(command: Command, words: &[std::ffi::OsString]) -> Command {
    let deaf = command.clone().mut_subcommands(|command| command.mut_args(deafen));
    // What is wrong here is wrong with variables too, and told then.
    let Ok(matches) = deaf.try_get_matches_from(words) else { return command };
    let Some((name, matches)) = matches.subcommand() else { return command };
    let given: Vec<&Id> =
        matches.ids().filter(|id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine)).collect();
    command.mut_subcommand(name, |command| {
        let beaten = beaten(&command, &given);
        command.mut_args(|arg| if beaten.contains(arg.get_id()) { deafen(arg) } else { arg })
    })
}

fn deafen(arg: Arg) -> Arg {
    arg.env(Resettable::Reset)
}

/// What is not given and excludes, or is excluded by, something given.
fn beaten(command: &Command, given: &[&Id]) -> Vec<Id> {
    let mut beaten = Vec::new();
    for arg in command.get_arguments() {
        for other in command.get_arg_conflicts_with(arg) {
            for (one, other) in [(arg.get_id(), other.get_id()), (other.get_id(), arg.get_id())] {
                if given.contains(&one) && !given.contains(&other) {
                    beaten.push(other.clone());
                }
            }
        }
    }
    beaten
}
