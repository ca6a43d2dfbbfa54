//! What the command line says.

use std::error::Error;
use std::str::FromStr;
use std::time::Duration;

use disgateway::v1::CheckpointKey;
use pico_args::Arguments;

pub struct Args {
    pub target: String,
    pub key: CheckpointKey,
    pub client_id: String,
    pub generation_id: String,
    pub commit_every: u32,
    pub commit_after: Duration,
    pub interval: Duration,
}

impl Args {
    pub fn parse() -> Result<Self, Box<dyn Error>> {
        let mut args = Arguments::from_env();
        let text = |args: &mut Arguments, flag, otherwise: &str| {
            args.opt_value_from_str(flag).map(|value| value.unwrap_or(otherwise.to_owned()))
        };
        let parsed = Self {
            target: text(&mut args, "--target", "127.0.0.1:50551")?,
            key: CheckpointKey {
                stream_name: text(&mut args, "--stream", "")?,
                app_name: text(&mut args, "--app", "")?,
                partition_id: text(&mut args, "--partition", "0")?,
                ..Default::default()
            },
            client_id: text(&mut args, "--client-id", "")?,
            generation_id: text(&mut args, "--generation-id", "")?,
            commit_every: above_zero(&mut args, "--commit-every", 10)?,
            commit_after: Duration::from_secs_f32(above_zero(&mut args, "--commit-seconds", 1.0)?),
            interval: Duration::from_millis(u64::from(above_zero::<u32>(&mut args, "--interval-ms", 100)?)),
        };
        if parsed.key.stream_name.is_empty() || parsed.key.app_name.is_empty() {
            return Err("--stream and --app are mandatory".into());
        }
        match args.finish().as_slice() {
            [] => Ok(parsed),
            unknown => Err(format!("there is no flag {}", unknown[0].display()).into()),
        }
    }
}

/// A number up to a billion.
fn above_zero<T>(args: &mut Arguments, flag: &'static str, otherwise: T) -> Result<T, String>
where
    T: FromStr + Copy + Into<f64>,
{
    let number = match args.opt_value_from_str::<_, String>(flag).map_err(|error| error.to_string())? {
        Some(text) => text.parse().map_err(|_| format!("{flag} is no number: {text}"))?,
        None => otherwise,
    };
    if number.into() > 0.0 && number.into() <= 1e9 {
        Ok(number)
    } else {
        Err(format!("{flag} is not above 0, or too large"))
    }
}
