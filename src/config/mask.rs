//! Wrong lines are drawn as they stand in the file, and a wrong line may hold a secret in the wrong place: what looks
//! like one is drawn as stars.

/// How a token of GitHub begins: <https://docs.github.com/authentication> "GitHub's token formats".
const TOKENS: [&str; 6] = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"];
/// How keys end that the configuration doesn't have, and that operators put secrets under: `github_token`, `Password`.
const KEYS: [&str; 4] = ["token", "password", "secret", "private_key"];
/// A run of letters, digits and underscores, of both letters and digits, is taken for a secret when it is that long:
/// GitHub's classic tokens are 40 hexadecimal digits, and EC2's ids have 21 characters, a hyphen among them.
const LONG: usize = 36;

/// Returns the text with stars for what looks like a secret. It is as long as before, in bytes and lines, so that
/// spans still fit.
pub(super) fn mask(text: &str) -> String {
    // Each byte of a secret becomes one star: whole characters are covered, so it stays UTF-8.
    let mut bytes = text.as_bytes().to_vec();
    for prefix in TOKENS {
        for start in ends_of(text, prefix) {
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            cover(&mut bytes, text, start, |c| !is_part(c));
        }
    }
    for start in ends_of(text, "://") {
        let authority = text[start..].split(|c: char| c.is_whitespace() || "/\"'".contains(c)).next().unwrap_or("");
        if let Some(at) = authority.rfind('@') {
            bytes[start..start + at].fill(b'*');
        }
    }
    for start in ends_of(text, "-----BEGIN ") {
        let line = text[start..].split_once("-----");
        if let Some((kind, rest)) = line.filter(|(kind, _)| kind.ends_with("PRIVATE KEY")) {
            let start = start + kind.len() + "-----".len();
            let end = start + rest.find("-----END").unwrap_or(rest.len());
            for byte in bytes[start..end].iter_mut().filter(|byte| !matches!(byte, b'\n' | b'\r')) {
                *byte = b'*';
            }
        }
    }
    let mut start = 0;
    for run in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        let word = run.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let has = |is: fn(&u8) -> bool| word.as_bytes().iter().any(is);
        if word.len() >= LONG && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic) {
            bytes[start..start + word.len()].fill(b'*');
        }
        start += run.len();
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// Returns the text of a file as [`mask`] has it, with stars too for all that is assigned to a key which sounds like a
/// secret's. Messages are not read that way: `GITHUB_TOKEN=… ghascale` is what a hint says.
pub(super) fn mask_file(text: &str) -> String {
    let mut bytes = mask(text).into_bytes();
    let folded = text.to_ascii_lowercase();
    for key in KEYS {
        for start in ends_of(&folded, key) {
            let after = text[start..].trim_start_matches(['"', '\'', ' ', '\t']);
            if after.starts_with('=') {
                cover(&mut bytes, text, text.len() - after.len() + 1, |c| matches!(c, '\n' | '\r'));
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// Returns where each occurrence of a word ends.
fn ends_of(text: &str, word: &str) -> Vec<usize> {
    text.match_indices(word).map(|(start, _)| start + word.len()).collect()
}

/// Covers from `start` to the first character that ends it.
fn cover(bytes: &mut [u8], text: &str, start: usize, ends: impl Fn(char) -> bool) {
    let length = text[start..].find(ends).unwrap_or(text.len() - start);
    bytes[start..start + length].fill(b'*');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_covered() {
        assert_eq!(mask("token_env = \"ghp_abc123\" # x"), "token_env = \"ghp_******\" # x");
        assert_eq!(mask("url = \"https://me:pä@github.com/acme\""), "url = \"https://******@github.com/acme\"");
        assert_eq!(mask_file("{ \"token\" = \"0af3\" }\nmax = 1"), "{ \"token\" =*********\nmax = 1");
        assert_eq!(mask_file("Client_Secret = 'x'\nmax = 1"), "Client_Secret =****\nmax = 1");
        let classic = "0af3".repeat(10);
        assert_eq!(mask(&format!("`{classic}` is not set")), format!("`{}` is not set", "*".repeat(40)));
        assert_eq!(
            mask("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nMIIE\n-----END RSA PRIVATE KEY-----\nmax = 1"),
            "-----BEGIN RSA PRIVATE KEY-----\n****\n****\n-----END RSA PRIVATE KEY-----\nmax = 1"
        );
    }

    #[test]
    fn what_names_a_secret_is_no_secret() {
        for text in [
            "token_env = \"GITHUB_TOKEN\"",
            "token_file = \"token\"",
            "private_key_file = \"app.pem\"",
            "url = \"https://github.com/acme\" # ask me@acme.example",
            "image = \"ami-0123456789abcdef0\"",
            "user_data_file = \"/var/lib/ghascale/some/rather/long/path/to/user-data-2026.sh\"",
            "# ______________________________________________________________",
            "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        ] {
            assert_eq!(mask_file(text), text);
        }
    }
}
