//! Flags of the last good state on disk.
use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use controller::StateDir;

/// The last good state.
#[derive(Args, Debug)]
#[command(next_help_heading = "Last good state")]
pub(crate) struct StateArgs {
    /// Folder in which the last good state is kept, so that a restart serves it while the API server is away
    #[arg(long, env = "INGORA_STATE_DIR", value_name = "DIR", conflicts_with = "manifests")]
    state_dir: Option<PathBuf>,

    /// Keep Secrets in it too, with the keys of certificates (mode 0600); without it TLS hosts get the default certificate
    #[arg(long, env = "INGORA_STATE_DIR_SECRETS", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    state_dir_secrets: bool,
}

impl StateArgs {
    /// Where it is kept, if it is.
    pub(crate) fn state(&self) -> Option<StateDir> {
        self.state_dir.clone().map(|folder| StateDir { folder, secrets: self.state_dir_secrets })
    }
}
