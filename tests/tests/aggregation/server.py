"""An API server of one kind, as small as it can be: it believes only who shows the front proxy's certificate."""

import http.server
import json
import ssl
import sys
import time

address, port, certificate, key, authority = sys.argv[1:6]
GROUP, VERSION = "shop.example.com", "v1"
ROOT = f"/apis/{GROUP}/{VERSION}"
KIND = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Order"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def caller(self):
        peer = self.connection.getpeercert() or {}
        subject = [value for part in peer.get("subject", ()) for _, value in part]
        if subject != ["front-proxy-client"]:
            return None
        return {
            "user": self.headers.get("X-Remote-User"),
            "groups": self.headers.get_all("X-Remote-Group") or [],
            "authorization": self.headers.get("Authorization"),
        }

    def answer(self, code, body):
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def order(self, name, **more):
        return {**KIND, "metadata": {"name": name, "namespace": "default"}, **more}

    def do_GET(self):
        path, _, query = self.path.partition("?")
        caller = self.caller()
        if caller is None:
            return self.answer(401, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 401})
        if path == ROOT:
            kind = {"name": "orders", "singularName": "order", "namespaced": True, "kind": "Order"}
            kind["verbs"] = ["get", "list", "watch", "create"]
            body = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}"}
            return self.answer(200, {**body, "resources": [kind]})
        orders = f"{ROOT}/namespaces/default/orders"
        if path == orders and "watch=" in query:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number in range(2):
                event = json.dumps({"type": "ADDED", "object": self.order(f"watched-{number}")}) + "\n"
                self.wfile.write(f"{len(event):x}\r\n{event}\r\n".encode())
                self.wfile.flush()
                time.sleep(0.2)
            self.wfile.write(b"0\r\n\r\n")
            return None
        if path == orders:
            body = {"apiVersion": KIND["apiVersion"], "kind": "OrderList", "metadata": {}}
            return self.answer(200, {**body, "items": [self.order("one", caller=caller)]})
        if path.startswith(orders + "/"):
            return self.answer(200, self.order(path.rsplit("/", 1)[1], caller=caller))
        return self.answer(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(201, {**body, "caller": self.caller()})

    def log_message(self, *_):
        pass


tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(certificate, key)
tls.load_verify_locations(authority)
tls.verify_mode = ssl.CERT_OPTIONAL
server = http.server.ThreadingHTTPServer((address, int(port)), Handler)
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
