use api::node_stream::ReplyEnd;

use super::*;
use crate::rest::streams::remote::End;

fn subprotocol(name: &str) -> Subprotocol {
    Subprotocol::choose(&[name.to_owned()]).unwrap_or_else(|| panic!("{name} is not known"))
}

#[test]
fn the_first_known_offer_is_chosen() {
    for (offered, chosen) in [
        (vec!["v5.channel.k8s.io"], Some("v5.channel.k8s.io")),
        (
            vec!["v9.channel.k8s.io", "v4.channel.k8s.io"],
            Some("v4.channel.k8s.io"),
        ),
        (
            vec!["base64.channel.k8s.io", "v5.channel.k8s.io"],
            Some("base64.channel.k8s.io"),
        ),
        (vec![], Some("")),
        (vec!["soap"], None),
    ] {
        let offer: Vec<String> = offered.iter().map(|name| (*name).to_owned()).collect();
        let found = Subprotocol::choose(&offer).map(|found| found.name);
        assert_eq!(found, chosen, "{offered:?}");
    }
}

#[test]
fn messages_of_clients_are_understood() {
    let data = |bytes: &'static [u8]| Some(Inbound::Data(Bytes::from_static(bytes)));
    let size = TerminalSize { columns: 80, rows: 24 };
    let binary = |bytes: &'static [u8]| Message::binary(Bytes::from_static(bytes));
    for (name, message, understood) in [
        ("v5.channel.k8s.io", binary(b"\0hello"), data(b"hello")),
        ("v5.channel.k8s.io", binary(b"\0"), data(b"")),
        ("v5.channel.k8s.io", binary(&[255, 0]), Some(Inbound::End)),
        ("v5.channel.k8s.io", binary(&[255, 1]), None),
        ("v4.channel.k8s.io", binary(&[255, 0]), None),
        (
            "v4.channel.k8s.io",
            binary(b"\x04{\"Width\":80,\"Height\":24}"),
            Some(Inbound::Size(size)),
        ),
        ("v4.channel.k8s.io", binary(b"\x04{}"), None),
        ("v4.channel.k8s.io", binary(b""), None),
        ("v4.channel.k8s.io", binary(b"\x09x"), None),
        ("base64.channel.k8s.io", Message::text("0aGVsbG8="), data(b"hello")),
        ("base64.channel.k8s.io", Message::text("0!"), None),
        ("channel.k8s.io", Message::Pong(Bytes::new()), Some(Inbound::Alive)),
    ] {
        assert_eq!(
            subprotocol(name).decode(message.clone()),
            understood,
            "{name} {message:?}"
        );
    }
}

#[test]
fn messages_to_clients_are_written_as_they_are_read() {
    let end = |status, exit_code| {
        Outbound::End(End(ReplyEnd {
            status,
            message: "m".to_owned(),
            exit_code,
        }))
    };
    let v4 = subprotocol("v4.channel.k8s.io");
    let text = |message: Option<Message>| {
        let bytes = message.map(Message::into_data).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    for (name, outbound, written) in [
        ("v4.channel.k8s.io", Outbound::Stdout(b"x".to_vec()), "\x01x"),
        ("v4.channel.k8s.io", Outbound::Stderr(b"x".to_vec()), "\x02x"),
        (
            "base64.channel.k8s.io",
            Outbound::Stderr(b"hello".to_vec()),
            "2aGVsbG8=",
        ),
        (
            "v4.channel.k8s.io",
            end(200, Some(0)),
            "\x03{\"metadata\":{},\"status\":\"Success\"}",
        ),
        ("channel.k8s.io", end(200, Some(0)), ""),
        (
            "channel.k8s.io",
            end(200, Some(7)),
            "\x03command terminated with exit code 7",
        ),
        ("channel.k8s.io", end(500, None), "\x03Internal error occurred: m"),
    ] {
        assert_eq!(
            text(subprotocol(name).encode(&outbound)),
            written,
            "{name} {outbound:?}"
        );
    }
    assert_eq!(text(Some(v4.first(true, true))), "\x01");
    assert_eq!(text(Some(v4.first(false, true))), "\x02");
    assert_eq!(text(Some(v4.first(false, false))), "\x03");
}

#[test]
fn an_exit_code_is_a_cause_of_the_status() {
    let end = End(ReplyEnd {
        status: 200,
        message: String::new(),
        exit_code: Some(7),
    });
    let expected = serde_json::json!({
        "metadata": {},
        "status": "Failure",
        "message": "command terminated with exit code 7",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": "7"}]},
    });
    assert_eq!(end.status(), expected);
}
