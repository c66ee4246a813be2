//! Where Ollama listens.

/// The default port.
const PORT: u16 = 11434;

/// The address in pipeline.toml, else what `$OLLAMA_HOST` says (`host`, `host:port`, `:port` or a URL), else the
/// default.
pub(in crate::publish) fn address(url: Option<&str>, host: Option<&str>) -> String {
    if let Some(url) = url {
        return url.to_owned();
    }
    let host = host.map(str::trim).map(|host| host.trim_matches(['"', '\''])).unwrap_or_default();
    let (scheme, rest) = host.split_once("://").unwrap_or(("http", host));
    let rest = rest.trim_end_matches('/');
    let default_port = match scheme {
        _ if !host.contains("://") => PORT,
        "https" => 443,
        _ => 80,
    };
    let (name, port) = match rest.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port.parse().unwrap_or(default_port)),
        _ => (rest, default_port),
    };
    // A server that listens everywhere is reached here.
    let name = match name {
        "" | "0.0.0.0" => "127.0.0.1",
        "[::]" | "::" => "[::1]",
        name => name,
    };
    format!("{scheme}://{name}:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_read_as_ollama_reads_it() {
        for (host, expected) in [
            ("", "http://127.0.0.1:11434"),
            ("0.0.0.0", "http://127.0.0.1:11434"),
            ("0.0.0.0:8000", "http://127.0.0.1:8000"),
            (":8000", "http://127.0.0.1:8000"),
            ("gpu.lan", "http://gpu.lan:11434"),
            ("[::]:9", "http://[::1]:9"),
            ("[::1]", "http://[::1]:11434"),
            ("https://models.example.org", "https://models.example.org:443"),
            ("http://models.example.org:1234/", "http://models.example.org:1234"),
            (" \"gpu.lan:1\" ", "http://gpu.lan:1"),
        ] {
            assert_eq!(address(None, Some(host)), expected, "{host}");
        }
        assert_eq!(address(None, None), "http://127.0.0.1:11434");
        assert_eq!(address(Some("http://a:1"), Some("b")), "http://a:1");
    }
}
