//! Keys for tests, made anew each time.

use aws_lc_rs::encoding::AsDer as _;

/// Returns a fresh key in PEM form.
pub(crate) fn private_key() -> String {
    let key = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = key.as_der().unwrap();
    let lines = data_encoding::BASE64.encode(der.as_ref());
    let lines: Vec<&str> = lines.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}
