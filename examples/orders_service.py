#!/usr/bin/env python3
"""An internal service with orders: JSON-RPC at /rpc, and GET /orders/{id}. It accepts calls that Threadline has signed, and
returns a widget for the user in addition to the result for the model.

It needs only Python. `examples/agents.toml` defines its tools, and the tests start it. The key is in ORDERS_CONTEXT_KEY;
without a key, calls need no signature.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = os.environ.get("ORDERS_CONTEXT_KEY", "")
ORDERS = {
    "1001": {"id": "1001", "status": "shipped"},
    "1002": {"id": "1002", "status": "open"},
    "1003": {"id": "1003", "status": "open"},
}


def card(order):
    """Return the widget of an order. Its button has an action, which calls the tool of that name."""
    state = [{"type": "Badge", "label": order["status"]}]
    if order["status"] == "open":
        cancel = {"type": "cancel_order", "payload": {"order_id": order["id"]}}
        state.append({"type": "Button", "label": "Cancel", "size": "sm", "onClickAction": cancel})
    # The part that changes has an id, so an update contains only that part.
    title = {"type": "Title", "value": f"Order {order['id']}", "size": "sm"}
    return {"type": "Card", "size": "sm", "children": [title, {"type": "Row", "id": "state", "children": state}]}


def unsealed(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def caller(token):
    """Return the claims of a token that is signed with our key and not expired; None for any other token."""
    try:
        head, claims, signature = token.split(".")
        if json.loads(unsealed(head)).get("alg") != "HS256":
            return None
        wanted = hmac.new(KEY.encode(), f"{head}.{claims}".encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(wanted, unsealed(signature)):
            return None
        claims = json.loads(unsealed(claims))
        return claims if claims["exp"] > time.time() else None
    except (ValueError, KeyError):
        return None


class Orders(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        user = self.user()
        if user is None:
            return self.reply(401, {"error": "who asks?"})
        path = self.path.split("?")[0].split("/")
        order = ORDERS.get(path[2]) if len(path) == 3 and path[1] == "orders" else None
        if order is None:
            return self.reply(404, {"error": "there is no such order"})
        self.reply(200, {**order, "asked_by": user, "widget": card(order)})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        user = self.user()
        if user is None:
            return self.reply(401, {"error": "who asks?"})
        request = json.loads(body)
        reply = {"jsonrpc": "2.0", "id": request.get("id")}
        order = ORDERS.get(request.get("params", {}).get("order_id"))
        if request.get("method") != "orders.cancel":
            reply["error"] = {"code": -32601, "message": "there is no such method"}
        elif order is None:
            reply["error"] = {"code": 404, "message": "there is no such order"}
        elif order["status"] != "open":
            reply["error"] = {"code": 409, "message": f"the order is {order['status']}"}
        else:
            order["status"] = "cancelled"
            reply["result"] = {**order, "cancelled_by": user, "widget": card(order)}
        self.reply(200, reply)

    def user(self):
        if not KEY:
            return "nobody in particular"
        claims = caller(self.headers.get("x-threadline-context", ""))
        return claims and claims["sub"]

    def reply(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9000, help="0 is any free port")
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Orders)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
