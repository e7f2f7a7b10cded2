//! The addresses of servers.

/// The address of a server as a URL: HOST:PORT is plain, as are `http://` and `grpc://`; `https://` and
/// `grpcs://` are encrypted.
///
/// # Errors
/// Any other scheme: a connection that is meant to be encrypted must not fall back to plain text.
pub fn url(address: &str) -> Result<String, String> {
    let Some((scheme, rest)) = address.split_once("://") else {
        return Ok(format!("http://{address}"));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "grpc" => Ok(format!("http://{rest}")),
        "https" | "grpcs" => Ok(format!("https://{rest}")),
        _ => Err(scheme.to_owned()),
    }
}

/// Whether a URL names a server, with a port that there is, and nothing else.
pub fn is_server(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    let Some(authority) = uri.authority() else { return false };
    let after_host = authority.as_str().strip_prefix(authority.host());
    let is_port =
        |port: &str| port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    after_host.is_some_and(|rest| rest.is_empty() || is_port(rest)) && uri.path() == "/"
}

/// Whether a URL is encrypted.
pub fn is_encrypted(url: &str) -> bool {
    url.starts_with("https://")
}

/// Whether a URL names this machine, from which nothing leaves it.
pub fn is_loopback(url: &str) -> bool {
    let host = url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    host.is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

/// The innermost cause of an error: outer ones only say that the transport failed.
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_plain_or_encrypted_or_refused() {
        assert_eq!(url("127.0.0.1:5").unwrap(), "http://127.0.0.1:5");
        assert_eq!(url("HTTP://a:5").unwrap(), "http://a:5");
        assert_eq!(url("HTTPS://a:5").unwrap(), "https://a:5");
        assert_eq!(url("grpc://a:5").unwrap(), "http://a:5");
        assert!(is_encrypted(&url("grpcs://a:5").unwrap()));
        for other in ["ftp://a:5", "unix:///x"] {
            assert!(other.starts_with(&url(other).unwrap_err()));
        }
    }

    #[test]
    fn a_server_is_a_host_and_a_port() {
        for good in ["http://a", "http://a:1", "https://[::1]:50051", "http://a:1/"] {
            assert!(is_server(good), "{good}");
        }
        for bad in ["http://a:99999", "http://a:1/path", "http://u:p@a:1", "http://", "http://a:"] {
            assert!(!is_server(bad), "{bad}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (address, is_local) in [
            ("http://127.0.0.1:5", true),
            ("http://localhost:5", true),
            ("http://[::1]:5", true),
            ("http://localhost.evil.org:5", false),
            ("http://10.0.0.1:5", false),
        ] {
            assert_eq!(is_loopback(address), is_local, "{address}");
        }
    }
}
