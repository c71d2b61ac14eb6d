"""A webhook that converts boxes: the first version has "hostPort", the second "host" and "port"."""

import http.server
import json
import ssl
import sys

address, port, certificate, key = sys.argv[1:5]


def convert(box, wanted):
    spec = box.get("spec", {})
    if wanted.endswith("/v2"):
        host, _, number = spec["hostPort"].partition(":")
        spec = {"host": host, "port": number}
    else:
        spec = {"hostPort": f"{spec['host']}:{spec['port']}"}
    return {**box, "apiVersion": wanted, "spec": spec}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        wanted = request["desiredAPIVersion"]
        response = {"uid": request["uid"], "result": {"status": "Success"}}
        response["convertedObjects"] = [convert(box, wanted) for box in request["objects"]]
        review = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response}
        data = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(certificate, key)
server = http.server.ThreadingHTTPServer((address, int(port)), Handler)
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
