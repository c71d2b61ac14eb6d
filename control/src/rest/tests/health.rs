//! What the health endpoints say in which state of the server.

use super::*;

#[tokio::test]
async fn health_is_told_check_by_check() {
    let stopping = CancellationToken::new();
    stopping.cancel();
    let whole = company();
    let reading = Company {
        progress: Arc::new(Progress::reading()),
        ..company()
    };
    let without_driver = Company {
        progress: Arc::default(),
        ..company()
    };
    let stopping = Company { stopping, ..company() };
    let sync = "[-]informer-sync failed: reason withheld";
    let rows = [
        (&whole, "/healthz", 200, "ok"),
        (&whole, "/readyz", 200, "ok"),
        (
            &whole,
            "/livez?verbose",
            200,
            "[+]store-write ok\n[+]driver ok\nlivez check passed\n",
        ),
        (&whole, "/readyz?verbose", 200, "[+]shutdown ok\nreadyz check passed\n"),
        (&whole, "/readyz/driver", 200, "ok"),
        (&whole, "/readyz/nothing", 404, "NotFound"),
        (&whole, "/livez/shutdown", 404, "NotFound"),
        (
            &whole,
            "/readyz?verbose&exclude=driver",
            200,
            "[+]driver excluded: ok\n",
        ),
        (&reading, "/livez", 200, "ok"),
        (&reading, "/readyz", 500, sync),
        (&reading, "/readyz?exclude=informer-sync", 200, "ok"),
        (&reading, "/readyz/informer-sync", 500, "internal server error"),
        (&without_driver, "/livez", 500, "[-]driver failed: reason withheld"),
        (&stopping, "/livez", 200, "ok"),
        (&stopping, "/readyz", 500, "[-]shutdown failed: reason withheld"),
    ];
    for (company, path, code, part) in rows {
        let server = server_with(company.clone()).await;
        let answer = server.get(path).await;
        let text = String::from_utf8_lossy(&answer.bytes);
        assert_eq!(answer.status.as_u16(), code, "{path}: {text}");
        assert!(text.contains(part), "{path}: {text}");
    }
}
