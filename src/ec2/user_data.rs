//! User data: the script that a fresh instance runs once, as root, and what is put into it.
//!
//! The built-in script (`bootstrap.sh`) is for Linux on x64 and arm64. `user_data_file` replaces it; in such a file
//! these words are replaced, wherever they stand, and everything else is left as it is:
//!
//! | word | becomes |
//! |---|---|
//! | `{{jit_config}}` | what the runner starts with (`ACTIONS_RUNNER_INPUT_JITCONFIG`): base64, about 4 KiB; needed |
//! | `{{runner_name}}` | the runner's name, of letters, digits, `.`, `_` and `-` |
//! | `{{idle_timeout_seconds}}` | the pool's `idle_timeout` |
//! | `{{max_lifetime_seconds}}` | the pool's `max_lifetime` |

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::config::{Launch, Pool, UserData};
use crate::engine::RunnerName;

/// EC2's limit for user data before base64, in bytes.
const LIMIT: usize = 16_384;
/// The largest JIT config that is planned for, in bytes; they have been 4,000 and more since June 2025.
const LARGEST_JIT_CONFIG: usize = 8_192;
/// GitHub's limit for a runner's name.
const LONGEST_NAME: usize = 64;

const BOOTSTRAP: &str = include_str!("bootstrap.sh");

/// Checks that a pool's user data can hold any JIT config that GitHub may return; called before anything is.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn check_user_data(pool: &Pool) -> Result<(), String> {
    pool.launch.as_ref().map_or(Ok(()), check_launch)
}

fn check_launch(launch: &Launch) -> Result<(), String> {
    if let UserData::File(text) = &launch.user_data
        && !text.contains("{{jit_config}}")
    {
        return Err("`user_data_file` has no `{{jit_config}}`: its runner could never start".to_owned());
    }
    let name = RunnerName::new("n".repeat(LONGEST_NAME));
    render(launch, &name, &SecretString::from("A".repeat(LARGEST_JIT_CONFIG))).map(|_| ())
}

/// Returns a launch's user data, before base64.
///
/// # Errors
/// What is wrong with the values or the size; no value is in the message but the name.
pub(super) fn render(launch: &Launch, name: &RunnerName, jit_config: &SecretString) -> Result<SecretString, String> {
    render_in("", launch, name, jit_config)
}

/// As [`render`], with all of the built-in script's paths below `root`, which tests set.
pub(super) fn render_in(
    root: &str,
    launch: &Launch,
    name: &RunnerName,
    jit_config: &SecretString,
) -> Result<SecretString, String> {
    // The values stand inside quotes in a script that runs as root: none may hold what could end them.
    let jit_config = jit_config.expose_secret();
    if jit_config.is_empty() || !jit_config.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=-_".contains(&b)) {
        return Err("GitHub's JIT config is not base64".to_owned());
    }
    let name = name.as_str();
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)) {
        return Err(format!("runner name `{name}` has other characters than letters, digits, `.`, `_` and `-`"));
    }
    let template = match &launch.user_data {
        UserData::BuiltIn => BOOTSTRAP,
        UserData::File(text) => text,
    };
    let mut text = template
        .replace("{{runner_name}}", name)
        .replace("{{idle_timeout_seconds}}", &seconds(launch.idle_timeout))
        .replace("{{max_lifetime_seconds}}", &seconds(launch.max_lifetime));
    if launch.user_data == UserData::BuiltIn {
        text = text.replace("{{root}}", root);
    }
    let text = text.replace("{{jit_config}}", jit_config);
    if text.len() > LIMIT {
        return Err(format!(
            "user data is {} bytes, with a JIT config of {}; EC2 takes {LIMIT}: shorten `user_data_file` by {}",
            text.len(),
            jit_config.len(),
            text.len() - LIMIT
        ));
    }
    Ok(SecretString::from(text))
}

/// Returns whole seconds, at least one: a timer of none would end the instance at once.
fn seconds(time: Duration) -> String {
    time.as_secs().max(1).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Image;

    fn launch(user_data: UserData) -> Launch {
        Launch {
            image: Image::Ami("ami-1".to_owned()),
            security_groups: Vec::new(),
            tags: [].into(),
            user_data,
            idle_timeout: Duration::from_mins(10),
            max_lifetime: Duration::from_hours(12),
        }
    }

    fn rendered(text: &str) -> Result<String, String> {
        let launch = launch(UserData::File(text.to_owned()));
        render(&launch, &"acme-linux-001".into(), &SecretString::from("and0"))
            .map(|text| text.expose_secret().to_owned())
    }

    fn checked(user_data: UserData) -> Result<(), String> {
        check_launch(&launch(user_data))
    }

    #[test]
    fn the_built_in_script_leaves_room_for_the_largest_jit_config() {
        assert_eq!(checked(UserData::BuiltIn), Ok(()));
    }

    #[test]
    fn no_word_of_the_built_in_script_stays_unfilled() {
        let text = render(&launch(UserData::BuiltIn), &"n".into(), &SecretString::from("and0")).unwrap();
        assert!(!text.expose_secret().contains("{{"));
    }

    #[test]
    fn a_file_has_its_words_filled_and_the_rest_left() {
        let text =
            "{{jit_config}} {{runner_name}} {{idle_timeout_seconds}} {{max_lifetime_seconds}} {{.Names}} {{root}}";
        assert_eq!(rendered(text).unwrap(), "and0 acme-linux-001 600 43200 {{.Names}} {{root}}");
    }

    #[test]
    fn a_file_without_the_jit_config_is_refused() {
        let error = checked(UserData::File("#!/bin/sh\n{{ jit_config }}".to_owned())).unwrap_err();
        assert!(error.contains("`{{jit_config}}`"), "{error}");
    }

    #[test]
    fn a_file_that_leaves_no_room_for_a_jit_config_is_refused_by_its_excess() {
        let fits = "{{jit_config}}".to_owned() + &"x".repeat(LIMIT - LARGEST_JIT_CONFIG);
        assert_eq!(checked(UserData::File(fits.clone())), Ok(()));
        let error = checked(UserData::File(fits + "x")).unwrap_err();
        assert!(error.ends_with("by 1"), "{error}");
    }

    #[test]
    fn values_that_could_end_their_quotes_are_refused_and_not_repeated() {
        for value in ["a'b", "a\nb", "$(a)", "", "{{runner_name}}"] {
            let error = render(&launch(UserData::BuiltIn), &"n".into(), &SecretString::from(value)).unwrap_err();
            assert_eq!(error, "GitHub's JIT config is not base64");
        }
        assert!(render(&launch(UserData::BuiltIn), &"a'b".into(), &SecretString::from("and0")).is_err());
    }
}
