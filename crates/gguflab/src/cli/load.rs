//! Arguments of a bench under load.

use clap::Args;
use gguflab_lab::dataset::Unit;

/// What says of prompts what a dataset says by itself.
const PROMPTS: [&str; 6] = ["prompt", "workload", "depth", "depths", "text", "random_tokens"];

/// A server under load; each of these, or several values of --concurrency, asks for that.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server under load")]
pub(crate) struct LoadArguments {
    /// Requests per second at random moments, such as 0.5,1,2, whether earlier ones have ended or not
    #[arg(long, value_name = "RATE", value_delimiter = ',')]
    pub(crate) rate: Vec<f64>,
    /// A server that runs already, http://HOST:PORT, in place of a model and an engine; with /v1/chat/completions
    /// behind it chats are asked for
    #[arg(long, value_name = "URL", conflicts_with_all = ["model", "profile", "set", "cold"])]
    pub(crate) endpoint: Option<String>,
    /// Environment variable that holds the key which that server wants; the key is sent, and not kept anywhere
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    pub(crate) api_key_env: Option<String>,
    /// What a request has to keep to, such as first-token<500ms or inter-token<50ms: how many do is measured; may be
    /// given several times
    #[arg(long, value_name = "FIGURE<BOUND")]
    pub(crate) slo: Vec<String>,
    /// How long requests are measured, for each load [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = crate::settings::parse_time)]
    pub(crate) window: Option<f64>,
    /// Most requests that are measured, for each load
    #[arg(long, value_name = "N")]
    pub(crate) requests: Option<u32>,
    /// Prompts from this text or dataset, each as long as it is, in a random order by --seed
    #[arg(long, value_name = "NAME", conflicts_with_all = PROMPTS)]
    pub(crate) prompts_from: Option<String>,
    /// What a prompt is where they come from a plain text: line, paragraph or file [default: paragraph in .txt files, else
    /// file]
    #[arg(long, value_name = "UNIT", value_parser = super::dataset::unit, requires = "prompts_from")]
    pub(crate) by: Option<Unit>,
    /// Most tokens that such a prompt may have; longer ones are left out and counted [default: what the context holds]
    #[arg(long, value_name = "TOKENS", requires = "prompts_from")]
    pub(crate) longest_prompt: Option<u32>,
    /// Longest time of one request; a longer one counts as failed [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = crate::settings::parse_time)]
    pub(crate) timeout_per_request: Option<f64>,
}
